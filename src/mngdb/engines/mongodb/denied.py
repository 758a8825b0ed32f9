"""What MongoDB refused its clients, from its log, and which line of the file would permit it.

The log quotes commands with their values: of them, nothing but the command's name, its database
and its collection is told. Who it was stands in another line of the same connection.
"""

from __future__ import annotations

import json
import re
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from mngdb.engines.mongodb import sessions
from mngdb.engines.mongodb.access import ADMIN
from mngdb.engines.mongodb.client import NAME, Session
from mngdb.engines.protocol import Lines, Recent
from mngdb.errors import UnobservableError
from mngdb.facts.denied import (
    NO_LINE,
    OLD_CLIENT,
    PERMITTED,
    Denied,
    more_databases,
    quoted,
    stranger,
)
from mngdb.model import DesiredInstance
from mngdb.secret import app_of
from mngdb.spec.agent import MONITOR
from mngdb.spec.mongodb import MongodbGrant

#: Ids of lines: the program and the login of a connection, and what it was refused.
_PROGRAM, _IN, _OUT, _DENIED = 51800, {20250, 5286306}, {20249, 5286307}, 20436
_COMMAND = re.compile(r'not authorized on (\S+) to execute command \{ (\w+): (?:"([^"]*)")?')
#: The last stage of an aggregation that writes, and the database, where it is another one.
_INTO = re.compile(r'\$(?:out|merge): (?:\{ into: )?(?:\{ db: "([^"]*)"|[{"])')
_WRITES = {
    *("insert", "update", "delete", "findAndModify", "create", "createIndexes", "drop"),
    *("dropIndexes", "collMod", "renameCollection"),
}
_READS = {"find", "aggregate", "count", "distinct", "listCollections", "listIndexes"}
#: Shells that ask for more than they need, and what they ask of everybody who opens one.
_SHELLS = ("mongosh", "MongoDB Compass", "mongodb-vscode")
#: Databases of the server's own.
_SYSTEM = ("admin", "config", "local")
_CURIOUS = {
    *("aggregate", "count", "getCmdLineOpts", "getFreeMonitoringStatus", "getLog", "getParameter"),
    *("hostInfo", "listDatabases", "replSetGetStatus", "serverStatus", "top"),
}
#: The database that the logins of apps are in.
_SOURCE = "admin"
#: Stands for a login whose connection began before the lines that were read.
_UNKNOWN = "conn"


class _Refusal(Struct, frozen=True):
    """What a connection was refused; no command: to log in, with a login of that database."""

    login: str
    at: float
    database: str = _SOURCE
    command: str = ""
    collection: str = ""
    into: str = ""
    """The database that an aggregation would have written to."""

    @property
    def what(self) -> str:
        """What was refused."""
        if not self.command:
            return "a login" + f" to {quoted(self.database)}" * (self.database != _SOURCE)
        place = f"{self.database}.{self.collection}" if self.collection else self.database
        into = f" into {quoted(self.into)}" if self.into else ""
        return f"{self.command} on {quoted(place)}{into}"

    @property
    def needs(self) -> str:
        """The database that the app would have to have."""
        return self.into or self.database if self.command else ""


def look(
    session: Session, asked: DesiredInstance, lines: Lines | None, recent: Recent
) -> tuple[Denied, ...]:
    """Refusals, the latest first. Raises UnobservableError where there is no log to be had."""
    if lines is None:
        raise UnobservableError("its log is not on this machine")
    by: dict[tuple[str, str], list[_Refusal]] = defaultdict(list)
    grants, now = asked.instance.granted(MongodbGrant), time.time()
    refusals = _refusals(lines(), {*grants, ADMIN, MONITOR})
    if any(one.login.startswith(_UNKNOWN) for one in refusals):
        refusals = _named(session, refusals)
    for one in refusals:
        by[one.login, one.what].append(one)

    def fresh(one: _Refusal) -> bool:
        return recent(app_of(one.login), now - one.at)

    # one line gives an app all databases that it lacks
    lacking: dict[tuple[str, bool], list[str]] = defaultdict(list)
    for same in by.values():
        app, last = app_of(same[-1].login), same[-1]
        if app in grants and _lacks(grants[app], last):
            lacking[app, fresh(last)].append(last.needs)
    found = [
        Denied(
            login,
            what,
            _remedy(grants, asked.instance.name, same[-1], lacking[app_of(login), fresh(same[-1])]),
            len(same),
            max(0.0, now - same[-1].at),
            mild=not same[-1].command,
            over=not fresh(same[-1]),
        )
        for (login, what), same in by.items()
    ]
    return tuple(sorted(found, key=lambda one: one.age))


def _refusals(lines: Iterable[str], tried: Collection[str]) -> list[_Refusal]:
    """A driver may try a login twice on one connection: that counts once. `tried`: whom the doctor
    logs in as. Clients choose the name of their program: that alone hides nothing."""
    programs, logins, failed = dict[str, str](), dict[str, str](), set[tuple[str, str]]()
    found = []
    for line in lines:
        if '"c":"ACCESS"' not in line and f'"id":{_PROGRAM}' not in line:
            continue
        try:
            said = json.loads(line)
            number, connection, attr = int(said["id"]), str(said["ctx"]), said["attr"]
            if number == _PROGRAM:
                programs[connection] = str(attr["doc"].get("application", {}).get("name", ""))
                logins.pop(connection, None)
            elif number in _IN:
                logins[connection] = _login(attr)
            elif number in _OUT:
                one = connection, _login(attr)
                own = programs.get(connection) == NAME and app_of(one[1]) in tried
                if not own and one not in failed:
                    failed.add(one)
                    found.append(_Refusal(one[1], _moment(said), _source(attr)))
            elif number == _DENIED:
                if programs.get(connection) == NAME and app_of(logins.get(connection, "")) in tried:
                    continue
                text = attr["error"]["errmsg"]
                parts = _COMMAND.match(text)
                if parts is not None and not _curious(
                    programs.get(connection, ""), *parts.groups()
                ):
                    login = logins.get(connection, connection)
                    where = parts[1], parts[2], parts[3] or "", _into(parts, text)
                    found.append(_Refusal(login, _moment(said), *where))
        except (ValueError, LookupError, TypeError, AttributeError):
            continue  # cut off, or another version's
    return found


def _curious(program: str, database: str, command: str, collection: str | None) -> bool:
    """Whether a shell asked for itself, and works without the answer."""
    asked = database == "admin" and command in _CURIOUS and collection in {None, "atlascli"}
    return asked and program.startswith(_SHELLS)


def _named(session: Session, refusals: Iterable[_Refusal]) -> list[_Refusal]:
    """With the logins of connections that are still open. Raises UnobservableError."""
    logins = {f"{_UNKNOWN}{one.id}": one.app for one in sessions.look(session).sessions}
    return [replace(one, login=logins.get(one.login, one.login)) for one in refusals]


def _login(attr: Mapping[str, str]) -> str:
    return str(attr["principalName"] if "principalName" in attr else attr["user"])


def _source(attr: Mapping[str, str]) -> str:
    """The database that a login was looked for in."""
    return str(attr.get("authenticationDatabase") or attr.get("db") or _SOURCE)


def _into(parts: re.Match[str], text: str) -> str:
    found = _INTO.search(text) if parts[2] == "aggregate" else None
    return found[1] or parts[1] if found else ""


def _moment(said: Mapping[str, Mapping[str, str]]) -> float:
    return datetime.fromisoformat(said["t"]["$date"]).timestamp()


def _lacks(grant: MongodbGrant, one: _Refusal) -> bool:
    """Whether it was refused since the app has not that database."""
    return bool(one.needs) and not grant.covers(one.needs) and one.needs not in _SYSTEM


def _remedy(
    grants: Mapping[str, MongodbGrant], instance: str, one: _Refusal, lacking: Collection[str]
) -> str:
    """The line of the file that would permit it. `lacking`: all databases that the app lacks."""
    app = app_of(one.login)
    grant = grants.get(app)
    if grant is None:
        gone = one.login.startswith(_UNKNOWN)
        return "its connection is closed, so its app is unknown" if gone else stranger(app, ADMIN)
    if not one.command and one.database != _SOURCE:
        return f"its client has to log in with authSource={_SOURCE}, as 'mngdb env {app}' prints it"
    if not one.command:
        return OLD_CLIENT.format(app=app)
    place = f"apps.{app}.{instance}"
    if _lacks(grant, one):
        return more_databases(place, app, lacking, grants)[one.needs]
    writes = one.command in _WRITES or bool(one.into)
    if grant.covers(one.needs) and writes and grant.access == "readonly":
        return f"{place}.access: readwrite"
    if grant.covers(one.needs) and (writes or one.command in _READS):
        return PERMITTED
    return f"{NO_LINE} {one.what}"
