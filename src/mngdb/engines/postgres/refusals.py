"""What PostgreSQL's log tells of refusals.

A statement's text may hold values: of it, nothing but the first word is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from mngdb.engines.log_search import Line, lines_with
from mngdb.engines.postgres.client import NAME
from mngdb.engines.postgres.render import ADMIN, SESSION
from mngdb.facts.denied import Refused, quoted
from mngdb.spec.agent import MONITOR
from mngdb.words import VERBS

#: How PREFIX has the server's lines begin: the moment, the process; of a session's its ID, the
#: SQLSTATE, which no client chooses, and the login; of others the level.
_BEGIN = re.compile(
    r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) [\w+-]{3,} \[(\d+)\] "
    rf"(?:[0-9a-f. ]{{{SESSION}}} ([0-9A-Z]{{5}}) ([^@]+)@|[A-Z]{{3,}}\d?:  )"
)
_BEGIN_OF_LINE = re.compile(_BEGIN.pattern.encode(), re.MULTILINE)
#: The database, the program, the level and the text. Of the names, a database's alone may have a
#: tab, so that the last place counts.
_SAID = re.compile(r"(.*)\t([ -~]+)\t([A-Z]{3,}\d?):  (.*)", re.DOTALL)
#: Bytes before a line in which its record begins, where a database has line breaks in its name.
_NAMES = 400
#: What the log has for the name of a program that has not logged in.
_UNNAMED = "[unknown]"
#: Lines that are looked at, and bytes of a piece in which one begins.
_WORDS, _FIRST = re.compile(rb":  (?:(?<=ERROR:  )|(?<=FATAL:  ))"), 1 << 16
#: The line of the statement, which is looked for where there are others.
_STATEMENT = "\tSTATEMENT:  "
_WITH_STATEMENTS = re.compile(rb"%b|:  (?<=\tSTATEMENT:  )" % _WORDS.pattern)
#: Where in the statement it was, after the name.
_PLACE = re.compile(r" at character \d+$")
_KINDS = (
    "table|view|materialized view|sequence|schema|database|function|procedure|routine|language|"
    "large object|foreign server|foreign-data wrapper|foreign table|type|domain|column|relation|"
    "tablespace|parameter|index"
)
#: What the server says, to SQLSTATE.
_REFUSED = (
    (re.compile(r'(?P<login>permission denied) for database ".*"'), "42501"),
    (re.compile(rf"permission denied for (?P<kind>{_KINDS}) (?P<name>.+)"), "42501"),
    (re.compile(rf"(?P<owner>must be owner) of (?P<kind>{_KINDS}) (?P<name>.+)"), "42501"),
    (re.compile(r'permission denied to (?P<to>[a-z ]+?)(?: "(?P<name>[^"]*)")?'), "42501"),
    (re.compile(r"(?P<to>must be superuser) to .*"), "42501"),
    (re.compile(r'(?P<to>extension) "(?P<name>[^"]*)" is not available'), "0A000"),
    (re.compile(r'(?P<login>password) authentication failed for user ".*"'), "28P01"),
    (re.compile(r"(?P<login>no pg_hba.conf entry) for .*"), "28000"),
    (re.compile(r"terminating connection due to (?P<idle>idle-in-transaction) timeout"), "25P03"),
    (re.compile(r"terminating connection due to (?P<idle>idle-session) timeout"), "57P05"),
    (re.compile(r'(?P<login>role) ".*" (?:does not exist|is not permitted to log in)'), "28000"),
    (re.compile(r'(?P<login>database) ".*" does not exist'), "3D000"),
    (
        re.compile(
            r"(?:sorry, )?(?P<limit>too many connections for (?:role|database)|too many clients"
            r"|remaining connection slots are reserved) .*"
        ),
        "53300",
    ),
    # shared memory has a file system of its own
    (re.compile(r"could not (?!resize shared).*: (?P<full>No space left on device)"), "53100"),
    (re.compile(r"(?P<full>out of (?:shared )?memory)"), "53200"),
)
SELECT, WRITES = frozenset({"SELECT", "COPY"}), frozenset({"INSERT", "UPDATE", "DELETE", "MERGE"})
#: What is said to a client that is then turned away; an app could raise such an error itself.
_FATAL = {"login", "idle", "limit"}


class Refusal(Struct, frozen=True):
    """A line of the log, with the first word of its statement where there is one."""

    login: str
    database: str
    at: float
    said: Mapping[str, str]
    code: str
    verb: str = ""
    by_mngdb: bool = False
    """Whether its client calls itself mngdb, or was refused before it could say a name."""

    @property
    def what(self) -> str:
        """What was refused."""
        said = self.said
        if said.get("login"):
            why = {
                "password": "wrong password or unknown role",
                **{kind: f"no such {kind}" for kind in ("role", "database")},
            }
            text = f"a login to {quoted(self.database)}: {why.get(said['login'], said['login'])}"
        elif said.get("idle"):
            return f"a session to go on after the {said['idle']} timeout"
        elif said.get("limit"):
            text = f"a connection to {quoted(self.database)}: {said['limit']}"
        elif said.get("full"):
            text = f"{self.verb or 'a statement'}: {said['full']}"
        elif said.get("to") == "extension":
            text = f"the extension {quoted(said['name'])}, which is not available"
        elif said.get("to"):
            text = f"the right to {said['to']}" if self.code == "42501" else said["to"]
            if said["to"].startswith("must be"):
                text = f"what a superuser may{self._by}"
            elif said.get("name"):
                text += f" {quoted(said['name'])}"
        else:
            verb = self.verb or ("what its owner may" if said.get("owner") else "access")
            text = f"{verb} on the {said['kind']} {quoted(said['name'])}"
        return f"{text} ({self.code})"

    @property
    def _by(self) -> str:
        return f" in {self.verb}" if self.verb else ""


def moment(piece: bytes, zone: ZoneInfo) -> float | None:
    """When a piece of the log begins."""
    found = _BEGIN_OF_LINE.search(piece, 0, _FIRST)
    return None if found is None else _at(found[1].decode(), zone)


def _at(said: str, zone: ZoneInfo) -> float:
    return datetime.fromisoformat(said).replace(tzinfo=zone).timestamp()


def refusals(piece: bytes, zone: ZoneInfo) -> list[Refusal]:
    """What whole lines of the log tell, but for what the administrator and the monitor were
    refused: those are mngdb's own, whose clients cannot be imitated without their passwords."""
    found: list[Refusal] = []
    last: dict[str, int] = {}
    for line in lines_with(piece, _WITH_STATEMENTS) if _WORDS.search(piece) else ():
        text = line.text
        begun = _BEGIN.match(text) or _BEGIN.match(text := _joined(piece, line))
        if begun is None or begun[3] is None:
            continue
        at, pid, state, login = begun.groups()
        rest = text[begun.end() :]
        if pid in last and _STATEMENT in rest:
            index = last.pop(pid)
            word = (rest.partition(_STATEMENT)[2].split(None, 1) or [""])[0].upper()
            if word in VERBS:
                found[index] = replace(found[index], verb=word)
            continue
        parts = _SAID.fullmatch(rest)
        if parts is None or parts[3] not in {"ERROR", "FATAL"}:
            continue
        database, program, level, message = parts.groups()
        message = message.removeprefix(f"{state}: ")  # log_error_verbosity: verbose
        said = _said(level, _PLACE.sub("", message), state)
        if said is None or (program == NAME and login in {ADMIN, MONITOR}):
            continue
        last[pid] = len(found)
        own = program in {NAME, _UNNAMED}
        found.append(Refusal(login, database, _at(at, zone), said, state, by_mngdb=own))
    return found


def _said(level: str, text: str, state: str) -> dict[str, str] | None:
    """What a message tells that has this SQLSTATE; None: no refusal."""
    for pattern, code in _REFUSED:
        said = pattern.fullmatch(text) if code == state else None
        if said is not None and (level == "FATAL" or not _FATAL & {*said.groupdict()}):
            return {key: (value or "").strip('"') for key, value in said.groupdict().items()}
    return None


def _joined(piece: bytes, line: Line) -> str:
    """A line with those before it, from where its record begins."""
    begun = [one.start() for one in _BEGIN_OF_LINE.finditer(piece, line.start - _NAMES, line.start)]
    return piece[begun[-1] : line.end].decode(errors="replace") if begun else ""


class Reader:
    """Reads the log as it grows."""

    def __init__(self, timezone: str) -> None:
        self._zone = ZoneInfo(timezone)

    def read(self, piece: bytes) -> list[Refused]:
        """What whole lines tell; a session that was idle for too long was refused nothing, and a
        server without room refuses everybody."""
        return [
            Refused(one.login, one.at, "login" if one.said.get("login") else "access", one.by_mngdb)
            for one in refusals(piece, self._zone)
            if not one.said.keys() & {"idle", "limit", "full"}
        ]
