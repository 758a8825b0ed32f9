"""Fills in `facts.atlas`: what Atlas tells of a cluster, and what apps are given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import parse_qsl, quote, urlsplit

from mngdb.errors import MngdbError, UnobservableError
from mngdb.facts.atlas import App, AtlasFacts, Login
from mngdb.findings import see
from mngdb.secret import login_of
from mngdb.spec.mongodb import MongodbGrant
from mngdb.targets.atlas import (
    access_list,
    advisor,
    alert_configs,
    backup_schedule,
    cluster,
    credentials,
    users,
)
from mngdb.targets.atlas.api import Json
from mngdb.targets.atlas.look import look
from mngdb.targets.atlas.session import ADMIN, Found, Session, Wanted


def inspect(session: Session, uri: Callable[[str], str]) -> AtlasFacts:
    """Everything that the checks judge; `uri` gives an app's connection string. Raises
    UnobservableError where there is no cluster of the stack's."""
    wanted = session.wanted
    try:
        found = look(session)
    except UnobservableError:
        raise
    except MngdbError as error:
        raise UnobservableError(error.message, error.hint) from None
    there = found.cluster
    if there is None or not cluster.ours(wanted, there):
        raise UnobservableError(f"the cluster {wanted.cluster} of this stack does not exist")
    region = cluster.region_of(there)
    hardware = region.get("electableSpecs", {})
    schedule = found.schedule or {}
    return AtlasFacts(
        tier=str(hardware.get("instanceSize", "")),
        nodes=_nodes(there),
        region=str(region.get("regionName", "")),
        wants_region=wanted.region,
        state=str(there.get("stateName", "")),
        paused=bool(there.get("paused")),
        protected=bool(there.get("terminationProtectionEnabled")),
        wants_protected=wanted.spec.protected,
        grows=bool(((region.get("autoScaling") or {}).get("diskGB") or {}).get("enabled")),
        version=str(there.get("mongoDBVersion", "")),
        backup=bool(there.get("backupEnabled")),
        continuous=bool(there.get("pitEnabled")),
        kept=frozenset(backup_schedule.found_items(schedule)),
        at=_time(schedule.get("referenceHourOfDay"), schedule.get("referenceMinuteOfHour")),
        window=int(schedule.get("restoreWindowDays") or 0),
        wants_kept=frozenset(backup_schedule.items(wanted.backup)),
        wants_at=_time(*backup_schedule.hour(wanted.backup)),
        wants_window=backup_schedule.window(wanted.backup),
        endpoints=_endpoints(wanted, found),
        peers=_peers(wanted, found),
        wants_private=bool(wanted.spec.private_link or wanted.spec.peering),
        private_string=any(name.startswith("private") for name in cluster.strings(there)),
        private_dns=found.private_dns,
        access=tuple(filter(None, map(access_list.place, found.access))),
        reasons={str(one.network): one.reason for one in wanted.spec.access if one.reason},
        logins=tuple(_logins(wanted, found)),
        admin=ADMIN,
        apps={
            name: _app(wanted, name, right, uri(name))
            for name, right in wanted.asked.instance.granted(MongodbGrant).items()
        },
        alerts={
            name: _told(rule, found.alerts)
            for name, rule in alert_configs.RULES.items()
            if any(alert_configs.fits(rule, one) for one in found.alerts)
        },
        advice=see(lambda: _advice(session)),
        expires=see(lambda: credentials.days_left(session, found.project)),
    )


def _nodes(there: Json) -> int:
    return sum(
        int(one.get("electableSpecs", {}).get("nodeCount", 0))
        for spec in there.get("replicationSpecs", ())
        for one in spec["regionConfigs"]
    )


def _time(hour: object, minute: object) -> str:
    return f"{int(str(hour or 0)):02}:{int(str(minute or 0)):02}"


def _endpoints(wanted: Wanted, found: Found) -> tuple[str, ...]:
    if wanted.spec.private_link is None:
        return ()
    return (str((found.endpoint or {}).get("connectionStatus") or "MISSING"),)


def _peers(wanted: Wanted, found: Found) -> tuple[str, ...]:
    peering = wanted.spec.peering
    if peering is None:
        return ()
    peer = next((one for one in found.peers if one.get("vpcId") == peering.vpc), {})
    return (str(peer.get("statusName") or "MISSING"),)


def _logins(wanted: Wanted, found: Found) -> Iterator[Login]:
    roles = {str(one["roleName"]): one for one in found.roles}
    for user in found.users:
        if not users.here(wanted, user):
            continue
        pairs: set[tuple[str, str]] = set()
        for held in user.get("roles", ()):
            name = str(held["roleName"])
            role = roles.get(name)
            if role is None:
                pairs.add((name, str(held["databaseName"])))
                continue
            pairs |= users.has(role)
        yield Login(str(user["username"]), frozenset(pairs))


def _app(wanted: Wanted, name: str, right: MongodbGrant, uri: str) -> App:
    parts = urlsplit(uri)
    secret = wanted.asked.secrets[name].reveal()
    kinds = (str.islower, str.isupper, str.isdigit, lambda letter: not letter.isalnum())
    options = dict(parse_qsl(parts.query))
    user = login_of(name, wanted.asked.secrets[name])
    login = f"{quote(user, safe='')}:{quote(secret, safe='')}@"
    srv = parts.scheme == "mongodb+srv"
    return App(
        login=user,
        rights=users.rights(right),
        scheme=parts.scheme,
        tls=options.get("tls", "true" if srv else "false") == "true",
        options=options,
        encoded=parts.netloc.startswith(login),
        length=len(secret),
        mixed=all(any(map(kind, secret)) for kind in kinds),
    )


def _told(rule: alert_configs.Rule, configs: list[Json]) -> tuple[str, ...]:
    fitting = (one for one in configs if alert_configs.fits(rule, one))
    kinds = (str(n["typeName"]) for one in fitting for n in one.get("notifications", ()))
    return tuple(sorted(set(kinds)))


def _advice(session: Session) -> tuple[str, ...]:
    """Raises UnobservableError where the role may not ask."""
    try:
        found = advisor.suggested(session)
    except MngdbError as error:
        raise UnobservableError(error.message) from None
    return tuple(f"{one['namespace']}: {_said(advisor.keys(one))}" for one in found)


def _said(keys: dict[str, int]) -> str:
    return f"{{{', '.join(f'{field}: {way}' for field, way in keys.items())}}}"
