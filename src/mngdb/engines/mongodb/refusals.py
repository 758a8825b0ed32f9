"""What MongoDB's log tells of refusals.

It quotes commands with their values: of them, nothing but the command's name, its database and its
collection is told. Who it was stands in another line of the same connection.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from mngdb.engines.log_search import lines_with
from mngdb.engines.mongodb.access import ADMIN
from mngdb.engines.mongodb.client import NAME
from mngdb.facts.denied import Refused, quoted
from mngdb.spec.agent import MONITOR


def _with(ids: Iterable[int]) -> re.Pattern[bytes]:
    """Lines with one of these ids; its group is their connection, which is close behind."""
    every = "|".join(map(str, ids)).encode()
    return re.compile(rb'"id":(?:%b),.{0,60}?"ctx":"(conn\d+)"' % every)


#: Ids of lines: the program and the login of a connection, and what it was refused.
_PROGRAM, _IN, _OUT, _DENIED = 51800, {20250, 5286306}, {20249, 5286307}, 20436
#: The lines with them.
_REFUSALS = _with((*_OUT, _DENIED))
_WITH_CONNECTIONS = _with((*_OUT, _DENIED, *_IN, _PROGRAM))
_DATE = re.compile(rb'^\{"t":\{"\$date":"([^"]+)"', re.MULTILINE)
#: Connections that are remembered while the log is followed.
_KEPT = 5000
#: Bytes of a piece in which a line begins.
_FIRST = 1 << 16
_COMMAND = re.compile(r'not authorized on (\S+) to execute command \{ (\w+): (?:"([^"]*)")?')
#: The last stage of an aggregation that writes, and the database, where it is another one.
_INTO = re.compile(r'\$(?:out|merge): (?:\{ into: )?(?:\{ db: "([^"]*)"|[{"])')
#: Shells that ask for more than they need, and what they ask of everybody who opens one.
_SHELLS = ("mongosh", "MongoDB Compass", "mongodb-vscode")
_CURIOUS = {
    *("aggregate", "count", "getCmdLineOpts", "getFreeMonitoringStatus", "getLog", "getParameter"),
    *("hostInfo", "listDatabases", "replSetGetStatus", "serverStatus", "top"),
}
#: The database that the logins of apps are in.
SOURCE = "admin"
#: Stands for a login whose connection began before the lines that were read.
UNKNOWN = "conn"


class Refusal(Struct, frozen=True):
    """What a connection was refused; no command: to log in, with a login of that database."""

    login: str
    at: float
    database: str = SOURCE
    command: str = ""
    collection: str = ""
    into: str = ""
    """The database that an aggregation would have written to."""
    by_mngdb: bool = False
    """Whether its client calls itself mngdb."""

    @property
    def what(self) -> str:
        """What was refused."""
        if not self.command:
            return "a login" + f" to {quoted(self.database)}" * (self.database != SOURCE)
        place = f"{self.database}.{self.collection}" if self.collection else self.database
        into = f" into {quoted(self.into)}" if self.into else ""
        return f"{self.command} on {quoted(place)}{into}"

    @property
    def unknown(self) -> bool:
        """Whether its login is not known; who fails to log in may call itself as it likes."""
        return bool(self.command) and self.login.startswith(UNKNOWN)

    @property
    def needs(self) -> str:
        """The database that the app would have to have."""
        return self.into or self.database if self.command else ""


def relevant(piece: bytes, connections: set[bytes]) -> list[str]:
    """Lines of refusals, and of the `connections` that were refused something, which are known from
    the pieces that came before and are newer."""
    connections.update(one[1] for one in _REFUSALS.finditer(piece))
    if not connections:
        return []
    return [line.text for line in lines_with(piece, _WITH_CONNECTIONS, connections)]


def moment(piece: bytes) -> float | None:
    """When a piece of the log begins."""
    found = _DATE.search(piece, 0, _FIRST)
    return datetime.fromisoformat(found[1].decode()).timestamp() if found else None


class Reader:
    """Reads lines in the order in which they were written, and remembers whose connection is whose.
    What the administrator and the monitor were refused is left out: those are mngdb's own, whose
    clients cannot be imitated without their passwords."""

    def __init__(self) -> None:
        self._programs = dict[str, str]()
        self._logins = dict[str, str]()
        self._failed = dict[str, set[str]]()

    def refusals(self, lines: Iterable[str]) -> list[Refusal]:
        """What was refused. A driver may try a login twice on one connection: that counts once."""
        found = []
        for line in lines:
            try:
                said = json.loads(line)
                one = self._read(int(said["id"]), str(said["ctx"]), said["attr"], said)
            except (ValueError, LookupError, TypeError, AttributeError):
                continue  # cut off, or another version's
            if one is not None:
                found.append(one)
        return found

    def forget(self) -> None:
        """Forget the connections that began first where there are very many."""
        for kept in (self._programs, self._logins, self._failed):
            for connection in [*kept][:-_KEPT]:
                del kept[connection]

    def _read(
        self, number: int, connection: str, attr: Mapping[str, Any], said: Mapping[str, Any]
    ) -> Refusal | None:
        if number == _PROGRAM:
            program = attr["doc"].get("application", {}).get("name", "")
            self._programs[connection] = str(program)
            self._logins.pop(connection, None)
            self._failed.pop(connection, None)
        elif number in _IN:
            self._logins[connection] = _login(attr)
        elif number in _OUT:
            login, failed = _login(attr), self._failed.setdefault(connection, set())
            if login not in failed:
                failed.add(login)
                own = self._programs.get(connection) == NAME
                return Refusal(login, _written(said), _source(attr), by_mngdb=own)
        elif number == _DENIED:
            program = self._programs.get(connection, "")
            login = self._logins.get(connection, connection)
            if program == NAME and login in {ADMIN, MONITOR}:
                return None
            text = attr["error"]["errmsg"]
            parts = _COMMAND.match(text)
            if parts is not None and not _curious(program, *parts.groups()):
                where = parts[1], parts[2], parts[3] or "", _into(parts, text)
                return Refusal(login, _written(said), *where, by_mngdb=program == NAME)
        return None


class Follower:
    """Reads the log as it grows."""

    def __init__(self) -> None:
        self._reader = Reader()

    def read(self, piece: bytes) -> list[Refused]:
        """What whole lines tell."""
        lines = (line.text for line in lines_with(piece, _WITH_CONNECTIONS))
        found = [
            Refused(one.login, one.at, "access" if one.command else "login", one.by_mngdb)
            for one in self._reader.refusals(lines)
        ]
        self._reader.forget()
        return found


def _curious(program: str, database: str, command: str, collection: str | None) -> bool:
    """Whether a shell asked for itself, and works without the answer."""
    asked = database == "admin" and command in _CURIOUS and collection in {None, "atlascli"}
    return asked and program.startswith(_SHELLS)


def _login(attr: Mapping[str, str]) -> str:
    return str(attr["principalName"] if "principalName" in attr else attr["user"])


def _source(attr: Mapping[str, str]) -> str:
    """The database that a login was looked for in."""
    return str(attr.get("authenticationDatabase") or attr.get("db") or SOURCE)


def _into(parts: re.Match[str], text: str) -> str:
    found = _INTO.search(text) if parts[2] == "aggregate" else None
    return found[1] or parts[1] if found else ""


def _written(said: Mapping[str, Mapping[str, str]]) -> float:
    return datetime.fromisoformat(said["t"]["$date"]).timestamp()
