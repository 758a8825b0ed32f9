"""What PostgreSQL refused its clients, from its log, and which line of the file would permit it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from zoneinfo import ZoneInfo

from mngdb.engines.log_search import look_back
from mngdb.engines.postgres import available
from mngdb.engines.postgres.client import Session
from mngdb.engines.postgres.refusals import SELECT, WRITES, Refusal, moment, refusals
from mngdb.engines.postgres.render import ADMIN, PREFIX
from mngdb.errors import UnobservableError
from mngdb.facts.denied import (
    ADDRESS,
    NO_LINE,
    OLD_CLIENT,
    PERMITTED,
    Denials,
    Evidence,
    by_others,
    grouped,
    mistyped,
    more_databases,
    no_such,
    permit,
    quoted,
    stranger,
    takes,
)
from mngdb.model import DesiredInstance
from mngdb.secret import app_of
from mngdb.spec.postgres import PostgresGrant

_EXTENSION = ("extension", "create extension")
#: Groups of what the log has that tell of no right which an app lacks.
_MILD = {"login", "idle", "limit", "full"}
_ASKED = """
SELECT current_setting('log_timezone'), current_setting('log_line_prefix'),
       ARRAY(SELECT datname::text FROM pg_database)
"""
#: SQLSTATE to what helps where the server had no room.
_ROOM = {
    "53100": "its disk was full: 'mngdb check --only host.disk-free' shows what is free",
    "53200": "'mngdb memory {instance}' shows what the server uses",
}
_OTHER_PREFIX = (
    "its log_line_prefix is not this version's: 'mngdb up' sets it, where the file's settings do "
    "not name another"
)


def look(session: Session, asked: DesiredInstance, evidence: Evidence) -> Denials:
    """Refusals. Raises UnobservableError where there is no log to be had."""
    pieces = evidence.pieces()
    ((name, prefix, databases),) = session.rows(_ASKED)
    if prefix != PREFIX:
        raise UnobservableError(_OTHER_PREFIX)
    zone = _zone(name)
    read, seen = look_back(pieces, partial(refusals, zone=zone), partial(moment, zone=zone))
    found = grouped(
        by_others(read, evidence.probes),
        evidence,
        partial(_remedy, asked, databases),
        lambda one: not _MILD.isdisjoint(one.said),
    )
    return Denials(found, seen)


def _zone(name: str) -> ZoneInfo:
    """The time zone of the log's moments."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # one that PostgreSQL alone knows
        return ZoneInfo("UTC")


class _Right:
    """What the file gives an app, and the fields of it that the app is offered: one line has all
    of them."""

    def __init__(self, place: str, grant: PostgresGrant) -> None:
        self.place, self.grant = place, grant
        self._fields = dict[str, object]()

    def offer(self, field: str, value: object) -> str:
        """The line that gives the app this as well."""
        offered = self._fields | {field: value}
        if takes(self.grant, **offered):
            self._fields = offered
        return permit(self.place, self.grant, field, value, **self._fields)


def _remedy(
    asked: DesiredInstance, databases: Collection[str], one: Refusal, every: Sequence[Refusal]
) -> str:
    """The line of the file that would permit it. `databases`: those of the server; `every`: what
    the app was refused besides."""
    app = app_of(one.login)
    grant = asked.instance.granted(PostgresGrant).get(app)
    if grant is None:
        return stranger(app, ADMIN)
    right = _Right(f"apps.{app}.{asked.instance.name}", grant)
    kinds = {(tuple(o.said), o.said.get("to"), o.verb in WRITES): o for o in every}
    for other in kinds.values():
        _line(asked, databases, right, other, every)
    return _line(asked, databases, right, one, every)


def _line(
    asked: DesiredInstance,
    databases: Collection[str],
    right: _Right,
    one: Refusal,
    every: Sequence[Refusal],
) -> str:
    """The same, with the fields that the right was offered before."""
    grants, grant = asked.instance.granted(PostgresGrant), right.grant
    app, said = app_of(one.login), one.said
    if said.get("idle") == "idle-in-transaction":
        return f"{right.place}.idle_in_transaction_timeout: …, or commit before waiting"
    if said.get("idle"):
        return "the setting idle_session_timeout ends it"
    if said.get("limit"):
        return f"'mngdb connections {asked.instance.name}' shows who holds them"
    if said.get("full"):
        return _ROOM[one.code].format(instance=asked.instance.name)
    if said.get("login") == "password":
        return OLD_CLIENT.format(app=app)
    if said.get("login") and not grant.covers(one.database):
        names = [o.database for o in every if o.said.get("login") and not grant.covers(o.database)]
        makes = any(o.said.get("to") == "create database" for o in every)
        why = partial(_absent, app, right, databases, makes)
        return more_databases(app, names, grants, right.offer, why)[one.database]
    if said.get("login"):
        return f"'mngdb plan' shows what its login lacks; {ADDRESS.format(app=app)}"
    if said.get("to") == "create database" and grant.access == "owner":
        return PERMITTED if grant.create_databases else right.offer("create_databases", True)
    if said.get("to") in _EXTENSION:
        return _extensions(asked, right, one, every)
    nothing = f"{NO_LINE} {one.what}"
    if said.get("to") or said["name"].startswith("pg_"):
        return nothing
    if said["kind"] not in {"table", "view", "materialized view", "sequence", "schema", "relation"}:
        return nothing
    return _access(grants, right, one)


def _absent(app: str, right: _Right, databases: Collection[str], makes: bool, name: str) -> str:
    """Why a database is not offered that does not exist; empty: it does, or the app was about to
    make one."""
    if name in databases:
        return ""
    if why := mistyped(app, name, right.grant):
        return why
    if makes:
        return ""
    own = f"the app's is {quoted(right.grant.database)}: {ADDRESS.format(app=app)}"
    return f"{no_such(name)}; {own}; a new one has to be in {right.place}.databases"


def _extensions(
    asked: DesiredInstance, right: _Right, one: Refusal, every: Sequence[Refusal]
) -> str:
    """Those that the file asks for already are the server's to have, or `up`'s to create."""
    grant, name = right.grant, one.said["name"]
    if name in grant.extensions:
        if one.code == "42501":
            return PERMITTED
        how = available.how(asked, [name])
        return f"{available.lacks(name)}: {how}; or remove it from 'extensions'"
    taken, lacking = list(grant.extensions), dict[str, None]()
    for other in every:
        # a line with one that the server lacks is refused by `plan`
        there = other.code == "42501" or one.code != "42501"
        more = other.said["name"] if other.said.get("to") in _EXTENSION and there else ""
        if more and more not in taken and takes(grant, extensions=[*taken, more]):
            taken.append(more)
        if more in taken and more not in grant.extensions and other.code != "42501":
            lacking[more] = None
    if name not in taken:
        return f"{NO_LINE} {one.what}"
    line = right.offer("extensions", taken)
    if one.code == "42501":
        return line
    how = available.install(asked, [*lacking])
    text = f"{available.lacks(*lacking)} ({available.DOCS}): {how}, then {line}"
    return text + available.without([*lacking])


def _access(grants: Mapping[str, PostgresGrant], right: _Right, one: Refusal) -> str:
    """Of the app's own database."""
    grant = right.grant
    if one.verb in WRITES and not one.said.get("owner") and grant.access == "readonly":
        return right.offer("access", "readwrite")
    owner = [
        app for app, other in grants.items()
        if other.database == grant.database and other.access == "owner"
    ]  # fmt: skip
    if grant.access == "owner" or one.verb in SELECT | WRITES:
        return (
            "it belongs to another role: 'mngdb plan' shows what 'mngdb up' changes, or what the "
            "file has to name"
        )
    if owner:
        return f"{owner[0]} owns the database and has to do it, or grant it"
    return right.offer("access", "owner")
