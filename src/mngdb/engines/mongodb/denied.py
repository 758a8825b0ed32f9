"""What MongoDB refused its clients, from its log, and which line of the file would permit it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache, partial

from msgspec.structs import replace

from mngdb.engines.log_search import look_back
from mngdb.engines.mongodb import databases, sessions
from mngdb.engines.mongodb.access import ADMIN
from mngdb.engines.mongodb.client import Session
from mngdb.engines.mongodb.refusals import SOURCE, UNKNOWN, Reader, Refusal, moment, relevant
from mngdb.facts.denied import (
    NO_LINE,
    OLD_CLIENT,
    PERMITTED,
    WITHDRAWN,
    Denials,
    Evidence,
    by_others,
    grouped,
    mistyped,
    more_databases,
    permit,
    stranger,
)
from mngdb.model import DesiredInstance
from mngdb.secret import app_of
from mngdb.spec.mongodb import MongodbGrant

_WRITES = {
    *("insert", "update", "delete", "findAndModify", "create", "createIndexes", "drop"),
    *("dropIndexes", "collMod", "renameCollection"),
}
_READS = {"find", "aggregate", "count", "distinct", "listCollections", "listIndexes"}
#: Databases of the server's own.
_SYSTEM = ("admin", "config", "local")


def look(session: Session, asked: DesiredInstance, evidence: Evidence) -> Denials:
    """Refusals. Raises UnobservableError where there is no log to be had."""
    lines, seen = look_back(evidence.pieces(), partial(relevant, connections=set()), moment)
    refusals = [*by_others(Reader().refusals(lines), evidence.probes)]
    if any(one.unknown for one in refusals):
        refusals = _named(session, refusals)
    grants = asked.instance.granted(MongodbGrant)
    there = cache(lambda: frozenset(databases.every(session.command)))
    by_right = partial(_remedy, grants, asked.instance.name, there)

    def remedy(one: Refusal, every: Sequence[Refusal]) -> str:
        app = app_of(one.login)
        new = evidence.recent(app, time.time() - one.at)
        known = app in grants and app not in asked.unknown
        if one.command and new and known and one.login not in asked.logins(app):
            return WITHDRAWN.format(app=app)
        return by_right(one, every)

    return Denials(grouped(refusals, evidence, remedy, lambda one: not one.command), seen)


def _named(session: Session, refusals: Iterable[Refusal]) -> list[Refusal]:
    """With the logins of connections that are still open. Raises UnobservableError."""
    logins = {f"{UNKNOWN}{one.id}": one.app for one in sessions.look(session).sessions}
    return [
        replace(one, login=logins.get(one.login, one.login)) if one.unknown else one
        for one in refusals
    ]


def _lacks(grant: MongodbGrant, one: Refusal) -> bool:
    """Whether it was refused since the app has not that database."""
    return bool(one.needs) and not grant.covers(one.needs) and one.needs not in _SYSTEM


def _remedy(
    grants: Mapping[str, MongodbGrant],
    instance: str,
    there: Callable[[], Collection[str]],
    one: Refusal,
    every: Sequence[Refusal],
) -> str:
    """The line of the file that would permit it. `there`: the server's databases; `every`: what
    the app was refused besides."""
    app = app_of(one.login)
    grant = grants.get(app)
    if grant is None:
        gone = "its connection is closed, so its app is unknown"
        return gone if one.unknown else stranger(app, ADMIN)
    if not one.command and one.database != SOURCE:
        return f"its client has to log in with authSource={SOURCE}, as 'mngdb env {app}' prints it"
    if not one.command:
        return OLD_CLIENT.format(app=app)
    place = f"apps.{app}.{instance}"
    writes = one.command in _WRITES or bool(one.into)
    reads = writes and grant.access == "readonly"
    access = permit(place, grant, "access", "readwrite") if reads else ""
    if _lacks(grant, one):

        def absent(name: str) -> str:
            # the first write makes a database: any but a mistyped one may be meant
            return "" if name in there() else mistyped(app, name, grant)

        lacking = [other.needs for other in every if _lacks(grant, other)]
        write = partial(permit, place, grant)
        line = more_databases(app, lacking, grants, write, absent)[one.needs]
        return f"{line}\n{access}" if access and line.startswith(place) else line
    if grant.covers(one.needs) and access:
        return access
    system = one.collection.startswith("system.")
    if not system and grant.covers(one.needs) and (writes or one.command in _READS):
        return PERMITTED
    return f"{NO_LINE} {one.what}"
