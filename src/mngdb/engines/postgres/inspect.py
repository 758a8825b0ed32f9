"""Fills in `facts.postgres`: one round trip for the server, one more for each database, side by
side, and what it asks of a login from outside."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar, cast

from msgspec.structs import replace
from psycopg.sql import SQL, Identifier, Literal

from mngdb.engines.postgres import auth_probe, changes, inspect_inside, inspect_passwords, render
from mngdb.engines.postgres.batch import ask_each
from mngdb.engines.postgres.belonging import Users
from mngdb.engines.postgres.client import Session
from mngdb.engines.postgres.facts import Setting as Found
from mngdb.engines.postgres.inspect_queries import queries
from mngdb.errors import ConnectError, UnobservableError
from mngdb.facts.postgres import (
    App,
    Base,
    Demand,
    Inside,
    Login,
    Override,
    PostgresFacts,
    Reach,
    Role,
    Rule,
    Setting,
)
from mngdb.facts.tls import Tls
from mngdb.findings import Seen, see
from mngdb.model import DesiredInstance
from mngdb.spec.agent import MONITOR
from mngdb.spec.postgres import PostgresGrant

#: Looks, and waits for nobody.
_GUARDS = {
    "default_transaction_read_only": "on",
    "statement_timeout": "5s",
    "lock_timeout": "2s",
}
#: Databases looked into at the same time: few enough to leave connections to others.
_THREADS = 4
#: All databases together, in seconds.
_SECONDS = 8.0

#: Queries of who may do what.
_OF_RIGHTS = ("maps", "roles", "logins", "closed", "reach", "shared", "options")

T = TypeVar("T")
Answer = Seen[list[Any]]


def inspect(session: Session, asked: DesiredInstance, health: bool) -> PostgresFacts:
    """Everything that the checks of PostgreSQL judge. What the server refuses is a reason, no
    error. Raises ConnectError when the connection is lost."""
    wire = session.main.pgconn
    granted = asked.instance.granted(PostgresGrant)
    grants = {
        login: grant for app, grant in granted.items() for login in {app: "", **asked.logins(app)}
    }
    query = queries(wire.server_version)
    query["reach"] = query["reach"].replace("{apps}", _array(grants))
    if health:
        query = {name: text for name, text in query.items() if name not in _OF_RIGHTS}
    found = dict.fromkeys(_OF_RIGHTS, Answer(missing="not asked"))
    found |= ask_each(session.main, query, session.timeout)
    with ThreadPoolExecutor(3) as pool:
        outside = pool.submit(_outside, session, wire.db.decode())
        names = _of(found["bases"], lambda row: str(row["name"]), unless="template")
        closed = _of(found["closed"], lambda row: str(row["name"]))
        inside = pool.submit(
            lambda: see(lambda: _inside(session, names.value, closed.value, grants), not health)
        )
        logins = see(lambda: _logins(found["logins"], asked))
        plain, demand, tls = outside.result()
    server = see(lambda: cast(Mapping[str, Any], _one(found["server"])))
    asked = _as_runs(asked, wire.server_version, found["settings"])
    wanted = render.settings(asked)
    return PostgresFacts(
        settings=see(lambda: {row["name"]: _setting(row) for row in found["settings"].value}),
        sees_all=server.missing is None and bool(server.value["sees_settings"]),
        drift=see(lambda: _drift(found["settings"], wanted)),
        overrides=_of(found["overrides"], _override),
        server=server,
        sharing=_of(found["shared login"], lambda row: str(row["one"])),
        activity=see(lambda: _activity(server, found["activity"])),
        hba=_of(found["hba"], _rule),
        maps=_of(found["maps"], lambda row: str(row["name"])),
        stale_files=_of(found["files"], lambda row: str(row["path"])),
        wrong_settings=_of(found["wrong"], _wrong),
        roles=_of(found["roles"], _role),
        logins=logins,
        bases=_of(found["bases"], lambda row: Base(**row)),
        reach=see(lambda: {row["app"]: _reach(row) for row in found["reach"].value}),
        inside=inside.result(),
        shared_rights=_of(found["shared"], lambda row: str(row["one"])),
        shared_options=_of(found["options"], lambda row: str(row["one"])),
        slots=_of(found["slots"], lambda row: str(row["one"])),
        prepared=_of(found["prepared"], lambda row: str(row["one"])),
        checkpoints=see(lambda: _pair(_one(found["checkpoints"]))),
        archiver=see(lambda: cast(Mapping[str, Any], _one(found["archiver"]))),
        wal_rate=see(lambda: next((row["rate"] for row in found["wal rate"].value), None)),
        demand=demand,
        plain=plain,
        tls=tls,
        apps={
            login: App(grant.names, grant.prefixes, grant.create_databases)
            for login, grant in grants.items()
        },
        extensions=frozenset(one for grant in grants.values() for one in grant.extensions),
        admin=session.access.user,
        known=frozenset({session.access.user, render.ADMIN, MONITOR, *grants}),
        monitor=MONITOR if asked.instance.monitored else "",
        password_lengths={
            login: len(secret.reveal())
            for login, secret in asked.secrets.items()
            if login in granted.keys() - asked.unknown or login == "admin"
        },
        wanted=wanted,
        version=asked.version,
        memory=asked.site.memory if asked.site else 0,
        without_tls=asked.instance.spec.without_tls or "",
        own_network=bool(asked.site and asked.site.listen),
        managed=asked.managed,
        adopted=asked.instance.adopt,
        recovery_point=asked.instance.recovery_point,
        archive=render.slot(asked),
    )


def _array(names: Iterable[str]) -> str:
    return "ARRAY[" + ",".join(_text(name) for name in names) + "]::text[]"


def _text(value: str) -> str:
    return Literal(value).as_string(None)


def _as_runs(asked: DesiredInstance, number: int, answer: Answer) -> DesiredInstance:
    """With the program that runs: to log in, nobody has looked for it."""
    if asked.site is None:
        return asked
    version = f"{number // 10000}.{number % 10000}"
    rows = [] if answer.missing else answer.value
    choices = next((row["choices"] for row in rows if row["name"] == "wal_compression"), None)
    lacks = frozenset[str]() if choices is None or "lz4" in choices else frozenset({"lz4"})
    program = replace(asked.site.program, version=version, lacks=lacks)
    return replace(asked, site=replace(asked.site, program=program))


def _one(answer: Answer) -> dict[str, Any]:
    (row,) = answer.value
    return cast(dict[str, Any], row)


def _of(
    answer: Answer, make: Callable[[dict[str, Any]], T], unless: str = ""
) -> Seen[tuple[T, ...]]:
    return see(lambda: tuple(make(row) for row in answer.value if not (unless and row[unless])))


def _setting(row: Mapping[str, Any]) -> Setting:
    return Setting(row["value"], row["unit"], row["source"], row["pending"])


def _drift(answer: Answer, wanted: Mapping[str, str]) -> tuple[str, ...]:
    found = {
        row["name"]: Found(row["value"], row["unit"], row["kind"], True, row["source"])
        for row in answer.value
    }
    differ = changes.compare(wanted, found, ours=False)
    return tuple(f"{one.name} {one.found}, the file has {one.wanted}" for one in differ)


def _override(row: Mapping[str, Any]) -> Override:
    name, _, value = row["setting"].partition("=")
    return Override(row["database"], row["role"], name, value)


def _rule(row: Mapping[str, Any]) -> Rule:
    return Rule(
        row["line"],
        row["kind"] or "",
        tuple(row["databases"] or ()),
        tuple(row["users"] or ()),
        row["address"] or "",
        row["mask"] or "",
        row["method"] or "",
        row["error"] or "",
        row["map"] or "",
        Path(row["file"] or "").name,
        tuple(row["superusers"]),
    )


def _wrong(row: Mapping[str, Any]) -> str:
    return f"{row['name']} in line {row['line']}: {row['error']}"


def _role(row: Mapping[str, Any]) -> Role:
    return Role(
        row["name"],
        frozenset(row["special"]),
        frozenset(row["groups"]),
        tuple(row["becomes"]),
        row["owns"],
        row["bootstrap"],
    )


def _reach(row: Mapping[str, Any]) -> Reach:
    return Reach(frozenset(row["databases"]), frozenset(row["logins"]))


def _pair(row: Mapping[str, Any]) -> tuple[int, int]:
    return row["timed"], row["asked"]


def _logins(answer: Answer, asked: DesiredInstance) -> tuple[Login, ...]:
    secrets = asked.vault_secrets()
    admin = secrets.pop("admin", None)
    if admin is not None and asked.managed:
        secrets[render.ADMIN] = admin
    return inspect_passwords.judge(answer.value, secrets)


def _activity(server: Seen[Mapping[str, Any]], answer: Answer) -> Mapping[str, Any]:
    if not server.value["sees_stats"]:
        raise UnobservableError("sessions of others are not shown to us (GRANT pg_monitor)")
    return _one(answer)


def _outside(session: Session, database: str) -> tuple[Seen[bool], Seen[Demand], Seen[Tls | None]]:
    at = session.access

    def ask(encrypted: bool) -> Demand:
        try:
            return auth_probe.demand(at, database, encrypted=encrypted)
        except OSError as error:
            raise UnobservableError(f"{at.host}:{at.port} did not answer: {error}") from None

    def shake() -> Tls | None:
        try:
            return auth_probe.tls(at)
        except OSError as error:
            raise UnobservableError(f"the handshake with TLS failed: {error}") from None

    first = see(lambda: ask(False))
    tls = see(shake)
    refused = first.missing is None and first.value == "refused"
    demand = see(lambda: ask(True)) if refused and tls.found is not None else first
    return see(lambda: first.value != "refused"), demand, tls


def _inside(
    session: Session,
    names: Sequence[str],
    closed: Sequence[str],
    grants: Mapping[str, PostgresGrant],
) -> Mapping[str, Seen[Inside]]:
    deadline, users = time.monotonic() + _SECONDS, Users(grants)

    def look(name: str) -> Inside:
        left = deadline - time.monotonic()
        if left <= 0:
            raise UnobservableError("there was no time to inspect it")
        # VALUES: both words of each row are text
        apps = ", ".join(
            f"({_text(app)}, {_text(grant.access)})" for app, grant in users.of(name).items()
        )
        try:
            with session.inside(name, left, **_GUARDS) as connection:
                return inspect_inside.look(connection, apps, left)
        except ConnectError as error:
            raise UnobservableError(error.message) from None

    with ThreadPoolExecutor(_THREADS) as pool:
        answers = pool.map(lambda name: see(lambda: look(name)), names)
        seen = dict(zip(names, answers, strict=True))
    opens = SQL("it accepts no connections: ALTER DATABASE {} ALLOW_CONNECTIONS true")
    return seen | {
        name: Seen(missing=opens.format(Identifier(name)).as_string(None)) for name in closed
    }
