"""The guide's boxes about MongoDB Atlas, judged of what its API tells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_network

from mngdb.checks.catalogue import Judge, checks
from mngdb.facts.atlas import AtlasFacts
from mngdb.findings import Check, Judgement, Severity, judged, listed, not_applicable
from mngdb.words import many

#: The guide's limits.
_TIER, _NODES, _LENGTH, _PREFIX = 10, 3, 16, 8
#: Days before the credentials end, and how grave it is from then on.
_ENDS: tuple[tuple[float, Severity], ...] = ((1, "critical"), (7, "high"), (30, "medium"))
_ALERTS = {
    "cpu": "CPU over 80 %",
    "connections": "connections over 80 %",
    "disk": "disk over 80 %",
    "lag": "replication lag over 10 s",
    "backup": "failed backups",
}
_OPTIONS = {"retryWrites": "true", "w": "majority"}


def _here(judge: Judge[AtlasFacts]) -> Judge[AtlasFacts | None]:
    """Judges a stack that has a cluster in Atlas."""

    def judge_cluster(facts: AtlasFacts | None) -> Judgement:
        return not_applicable("the stack has no Atlas cluster") if facts is None else judge(facts)

    return judge_cluster


def _tier(facts: AtlasFacts) -> Judgement:
    number = re.fullmatch(r"[MR]([0-9]+).*", facts.tier)
    bad = [] if number and int(number[1]) >= _TIER else [f"tier {facts.tier or 'unknown'}"]
    bad += [f"{facts.nodes} electable members"] if facts.nodes < _NODES else []
    bad += ["paused"] if facts.paused else []
    return listed(bad, f"{facts.tier}, {facts.nodes} electable members")


def _region(facts: AtlasFacts) -> Judgement:
    return judged(facts.region == facts.wants_region, facts.region)


def _protection(facts: AtlasFacts) -> Judgement:
    bad = [] if facts.grows else ["the disk does not grow by itself"]
    why = "" if facts.wants_protected else " ('protected: false' in the file)"
    bad += [] if facts.protected else [f"no termination protection{why}"]
    return listed(bad, "termination protection, disk autoscaling")


def _private(facts: AtlasFacts) -> Judgement:
    if not facts.wants_private:
        return judged(False, "apps come by public addresses")
    states = [f"private endpoint {one}" for one in facts.endpoints]
    states += [f"peering {one}" for one in facts.peers]
    bad = [one for one in states if not one.endswith(" AVAILABLE")]
    bad += [] if facts.private_string else ["no private connection string"]
    return listed(bad, ", ".join(states))


def _dns(facts: AtlasFacts) -> Judgement:
    if facts.private_dns is None:
        return not_applicable("the cluster has no private way")
    text = "host names resolve" if facts.private_dns else "DNS host names or support are disabled"
    return judged(facts.private_dns, text)


def _access(facts: AtlasFacts) -> Judgement:
    def bad() -> Iterator[str]:
        for name in facts.access:
            found = ip_network(name)
            if name in facts.reasons:
                continue
            if found.prefixlen < _PREFIX:
                yield f"{name} is open to {'everybody' if not found.prefixlen else 'too many'}"
            elif facts.wants_private and not found.is_private:
                yield f"{name} is public beside a private way"

    given = [f"{name} ({why})" for name, why in facts.reasons.items() if name in facts.access]
    text = many(len(facts.access), "CIDR block") + (
        f"; accepted: {', '.join(given)}" if given else ""
    )
    return listed([*bad()], text)


def _users(facts: AtlasFacts) -> Judgement:
    logins = {one.name: one for one in facts.logins}

    def bad() -> Iterator[str]:
        for name, app in facts.apps.items():
            login = logins.get(app.login)
            if login is None:
                yield f"{name} has no user"
                continue
            more = [
                f"{role}@{base}" if base else role
                for role, base in sorted(login.roles - app.rights)
            ]
            if more:
                yield f"{name} also has {', '.join(more)}"
            elif not login.roles:
                yield f"{name} has no rights"

    return listed([*bad()], f"{many(len(facts.apps), 'app')}, each with its own user")


def _known(facts: AtlasFacts) -> Judgement:
    apps = {facts.admin, *facts.apps, *(f"{name}.2" for name in facts.apps)}
    others = sorted(one.name for one in facts.logins if one.name not in apps)
    return listed(others, "no other user")


def _passwords(facts: AtlasFacts) -> Judgement:
    def bad() -> Iterator[str]:
        for name, app in facts.apps.items():
            if app.length < _LENGTH:
                yield f"{name}: {app.length} characters"
            elif not app.mixed:
                yield f"{name}: not of all kinds"
            elif not app.encoded:
                yield f"{name}: not percent-encoded in its connection string"

    shortest = min((app.length for app in facts.apps.values()), default=0)
    return listed([*bad()], f"at least {shortest} characters" if facts.apps else "no apps")


def _connection(facts: AtlasFacts) -> Judgement:
    def bad() -> Iterator[str]:
        for name, app in facts.apps.items():
            lacks = [] if app.scheme == "mongodb+srv" else ["SRV"]
            lacks += [] if app.tls else ["TLS"]
            lacks += [f"{k}={v}" for k, v in _OPTIONS.items() if app.options.get(k) != v]
            if lacks:
                yield f"{name}: no {', '.join(lacks)}"

    return listed([*bad()], "SRV, TLS, retryWrites, w=majority")


def _backup(facts: AtlasFacts) -> Judgement:
    bad = [] if facts.backup else ["cloud backup is off"]
    if facts.wants_window:
        bad += [] if facts.continuous else ["continuous backup is off"]
        short = facts.continuous and facts.window < facts.wants_window
        bad += [f"it covers {facts.window} days, not {facts.wants_window}"] if short else []
    else:
        bad.append("the file asks for no point in time ('point_in_time: 0s')")
    return listed(bad, f"point in time of the last {facts.window * 24} hours")


def _schedule(facts: AtlasFacts) -> Judgement:
    if not facts.backup:
        return judged(False, "cloud backup is off")
    lacks = sorted({one[0] for one in facts.wants_kept - facts.kept})
    bad = [f"{name} snapshots differ from the file" for name in lacks]
    bad += [f"at {facts.at} UTC, not {facts.wants_at}"] if facts.at != facts.wants_at else []
    kept = ", ".join(f"{name} for {value} {unit}" for name, _, unit, value in sorted(facts.kept))
    return listed(bad, f"{kept} at {facts.at} UTC")


def _alerts(facts: AtlasFacts) -> Judgement:
    missing = [title for name, title in _ALERTS.items() if name not in facts.alerts]
    return listed(missing, "all five")


def _channels(facts: AtlasFacts) -> Judgement:
    if not facts.alerts:
        return judged(False, "there are no alerts")
    nobody = [_ALERTS[name] for name, kinds in facts.alerts.items() if not kinds]
    if nobody:
        return listed(nobody, "")
    kinds = sorted({kind for told in facts.alerts.values() for kind in told})
    return judged(True, ", ".join(kinds).lower().replace("_", " "))


def _advisor(facts: AtlasFacts) -> Judgement:
    return listed(list(facts.advice.value), "no suggestions")


def _credentials(facts: AtlasFacts) -> Judgement:
    days = facts.expires.value
    if days is None:
        return not_applicable("API keys do not end, or Atlas does not tell when")
    text = f"the service account's secret ends in {days:.0f} days" if days > 0 else "it has ended"
    for limit, severity in _ENDS:
        if days <= limit:
            return Judgement("fail", text, severity)
    return judged(True, text)


CHECKS: tuple[Check[AtlasFacts | None], ...] = checks(
    __file__,
    {
        f"atlas.{name}": _here(judge)
        for name, judge in {
            "tier": _tier,
            "region": _region,
            "protection": _protection,
            "private-network": _private,
            "private-dns": _dns,
            "access-list": _access,
            "users": _users,
            "logins-known": _known,
            "passwords": _passwords,
            "connection": _connection,
            "backup": _backup,
            "schedule": _schedule,
            "alerts": _alerts,
            "channels": _channels,
            "advisor": _advisor,
            "credentials": _credentials,
        }.items()
    },
)
