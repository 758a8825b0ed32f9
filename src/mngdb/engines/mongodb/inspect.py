"""Fills in `facts.mongodb`: a bounded number of questions, none of which changes anything."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mngdb.dial import only_here
from mngdb.engines.mongodb import inspect_data, inspect_logins, look, probe
from mngdb.engines.mongodb.access import ADMIN, USERS_IN
from mngdb.engines.mongodb.client import Session
from mngdb.engines.mongodb.questions import ConnectionLost, Questions
from mngdb.engines.mongodb.render import settings, spec_of
from mngdb.facts.mongodb import App, Document, MongodbFacts, Strength
from mngdb.facts.tls import Tls
from mngdb.findings import Seen, see
from mngdb.model import DesiredInstance
from mngdb.secret import app_of
from mngdb.spec.agent import MONITOR
from mngdb.spec.mongodb import MongodbGrant


def inspect(session: Session, asked: DesiredInstance, health: bool) -> MongodbFacts:
    """Everything that the checks of MongoDB judge. What the server refuses is a reason, no error.
    Raises ConnectError when the connection is lost."""
    try:
        return _inspect(Questions(session), asked, health)
    except ConnectionLost as lost:
        raise lost.cause from None


def _inspect(questions: Questions, asked: DesiredInstance, health: bool) -> MongodbFacts:
    session, ask = questions.session, questions.ask
    at = session.client.address or (session.access.host, session.access.port)
    hello = ask("hello")
    parameters = see(lambda: ask("getParameter", "*"))
    options: Seen[Mapping[str, str]] = see(lambda: look.options(ask))
    own: dict[str, Any] = {"$ownOps": True}
    databases = see(lambda: inspect_data.databases(questions, asked), not health)
    admin = session.access.user
    if admin:
        admin = inspect_logins.login_name(admin, session.access.options.get("authSource", USERS_IN))
    secrets = {
        admin if login == ADMIN else login: secret
        for login, secret in asked.vault_secrets().items()
        if login in {ADMIN, MONITOR} or app_of(login) in asked.instance.grants
    }
    granted = asked.instance.granted(MongodbGrant)
    grants = {login: grant for app, grant in granted.items() for login in asked.logins(app)}
    mine = frozenset({admin, *grants, *([MONITOR] * asked.instance.monitored)})
    return MongodbFacts(
        status=see(lambda: ask("serverStatus", locks=0, tcmalloc=0)),
        parameters=parameters,
        options=options,
        memory=see(lambda: int(ask("hostInfo")["system"]["memLimitMB"]) << 20),
        warnings=see(lambda: tuple(_warnings(ask("getLog", "startupWarnings"))), not health),
        locked=see(lambda: bool(ask("currentOp", **own).get("fsyncLock"))),
        logins=see(lambda: inspect_logins.logins(questions, admin, secrets), not health),
        unknown=see(lambda: inspect_data.unknown(questions, asked), not health),
        replica=see(lambda: inspect_data.replica(questions, hello)),
        profilers=see(lambda: look.profilers(ask, databases.value[0])),
        slow=see(lambda: look.slow(ask), not health),
        collections=see(lambda: inspect_data.collections(questions, asked, *databases.value)),
        asked_indexes={} if health else inspect_data.asked_indexes(questions, asked),
        open_to_all=see(lambda: probe.answers_strangers(at, session.access.tls), not health),
        plain=see(lambda: not session.access.tls or probe.answers_plain(at), not health),
        zlib=see(lambda: probe.takes_zlib(at, session.access.tls), not health),
        tls=see(lambda: _tls(at, parameters)),
        modes=dict(_modes(asked)),
        apps={name: App(grant.names, grant.access == "readonly") for name, grant in grants.items()},
        strengths={name: _strength(secret.reveal()) for name, secret in secrets.items()},
        admin=admin,
        known=mine,
        wanted=settings(asked),
        version=asked.version,
        outdated=spec_of(asked).outdated,
        javascript=spec_of(asked).javascript,
        without_tls=asked.instance.spec.without_tls or "",
        enclosed=bool(asked.site and asked.site.listen),
        remote=_remote(options),
        managed=asked.managed,
        adopted=asked.instance.adopt,
    )


def _strength(secret: str) -> Strength:
    kinds = (str.islower, str.isupper, str.isdigit, lambda letter: not letter.isalnum())
    return Strength(len(secret), all(any(map(kind, secret)) for kind in kinds))


def _remote(options: Seen[Mapping[str, str]]) -> bool:
    """Whether others than this machine can reach it; where nobody tells, they can."""
    if options.missing is not None:
        return True
    found = options.value
    addresses = found.get("net.bindIp", "localhost").split(",")
    local = all(only_here(one.strip()) for one in addresses)
    return found.get("net.bindIpAll") == "true" or not local


def _tls(at: probe.Address, parameters: Seen[Document]) -> Tls | None:
    if parameters.missing is None and parameters.value.get("tlsMode") == "disabled":
        return None  # a handshake would only be a line in its log
    return probe.tls(at)


def _warnings(reply: Document) -> Iterator[tuple[str, str]]:
    for line in reply["log"]:
        found = json.loads(line)
        yield str(found["msg"]), json.dumps(found.get("attr", {}))


def _modes(asked: DesiredInstance) -> Iterator[tuple[str, int]]:
    """Permissions of what lies on this machine; in a container, nothing does."""
    site = asked.site
    if site is None or site.tunnel or not Path(site.data).is_dir():
        return
    for name, path in (
        ("key file", Path(site.conf) / "keyfile"),
        ("configuration", Path(site.conf) / "mongod.conf"),
        ("data folder", Path(site.data)),
    ):
        try:
            yield name, path.stat().st_mode & 0o777
        except OSError:
            continue  # the server's account keeps it from us: so it does from others
