"""What PostgreSQL refused its clients, from its log, and which line of the file would permit it.

A statement's text may hold values: of it, nothing but the first word is told.
"""

from __future__ import annotations

import json
import re
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from msgspec import Struct

from mngdb.engines.postgres.client import NAME, Session
from mngdb.engines.postgres.render import ADMIN
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
    takes,
)
from mngdb.model import DesiredInstance
from mngdb.secret import app_of
from mngdb.spec.agent import MONITOR
from mngdb.spec.postgres import PostgresGrant

#: How log_line_prefix has lines begin: the moment and the process.
_START = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?) [^\s@]+ \[(\d+)\] ")
#: The rest of a session's line.
_LINE = re.compile(r"(\S+)@(\S+) (.*?) (ERROR|FATAL|STATEMENT):  (.*)", re.DOTALL)
_LEVEL = re.compile(r"\w:  ")
#: What follows a user's or a database's name that was made to look like a line of its own: the log
#: has these names as a client gives them, before any password.
_FORGED = re.compile(r"\b[A-Z]+:  ")
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
    (
        re.compile(
            r"terminating connection due to (?P<idle>idle-in-transaction|idle-session) timeout"
        ),
        "",
    ),
    (re.compile(r'(?P<login>role) ".*" (?:does not exist|is not permitted to log in)'), "28000"),
)
_SELECT, _WRITES = frozenset({"SELECT", "COPY"}), frozenset({"INSERT", "UPDATE", "DELETE", "MERGE"})
#: First words of statements, which are no names.
_VERBS = _SELECT | _WRITES | {
    *("TRUNCATE", "CREATE", "ALTER", "DROP", "GRANT", "REVOKE", "COMMENT", "REINDEX", "VACUUM"),
    *("ANALYZE", "CLUSTER", "REFRESH", "LOCK", "CALL", "DO", "EXECUTE", "WITH", "SET", "REASSIGN"),
}  # fmt: skip
#: What is said to a client that is then turned away; an app could raise such an error itself.
_FATAL = {"login", "idle"}
_EXTENSION = ("extension", "create extension")
_LACKED = "the server does not have the extension"


class _Refusal(Struct, frozen=True):
    """A line of the log, with the first word of its statement where there is one."""

    login: str
    database: str
    at: float
    said: Mapping[str, str]
    code: str
    verb: str

    @property
    def what(self) -> str:
        """What was refused."""
        said = self.said
        if said.get("login"):
            why = {"password": "wrong password or unknown role", "role": "no such role"}
            text = f"a login to {quoted(self.database)}: {why.get(said['login'], said['login'])}"
        elif said.get("idle"):
            return f"a session to go on after the {said['idle']} timeout"
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


def look(
    session: Session, asked: DesiredInstance, lines: Lines | None, recent: Recent
) -> tuple[Denied, ...]:
    """Refusals, the latest first. Raises UnobservableError where there is no log to be had."""
    if lines is None:
        raise UnobservableError("its log is not on this machine")
    by: dict[tuple[str, str], list[_Refusal]] = defaultdict(list)
    grants, now = asked.instance.granted(PostgresGrant), time.time()
    for one in _refusals(lines(), _zone(session), {*grants, ADMIN, MONITOR}):
        by[one.login, one.what].append(one)

    def fresh(one: _Refusal) -> bool:
        return recent(app_of(one.login), now - one.at)

    # one line gives an app all databases, and all extensions, that it lacks
    lacking: dict[tuple[str, bool], list[_Refusal]] = defaultdict(list)
    for same in by.values():
        lacking[app_of(same[-1].login), fresh(same[-1])].append(same[-1])
    found = [
        Denied(
            login,
            what,
            _remedy(asked, same[-1], lacking[app_of(login), fresh(same[-1])]),
            len(same),
            max(0.0, now - same[-1].at),
            mild=bool(same[-1].said.get("login") or same[-1].said.get("idle")),
            over=not fresh(same[-1]),
        )
        for (login, what), same in by.items()
    ]
    return tuple(sorted(found, key=lambda one: one.age))


def _zone(session: Session) -> ZoneInfo:
    """The time zone of the log's moments."""
    ((name,),) = session.rows("SHOW log_timezone")
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # one that PostgreSQL alone knows
        return ZoneInfo("UTC")


def _refusals(lines: Iterable[str], zone: ZoneInfo, tried: Collection[str]) -> list[_Refusal]:
    """`tried`: whom the doctor logs in as. Clients choose the name of their program."""
    found: dict[int, _Refusal] = {}
    last: dict[str, int] = {}
    whole = True  # the line before: one without a level ends in a name that has lines of its own
    for number, line in enumerate(lines):
        start = _START.match(line)
        if start is None:
            continue
        follows, whole = whole, _LEVEL.search(line, start.end()) is not None
        match = _LINE.match(line, start.end())
        if match is None or not follows:
            continue
        (moment, pid), (login, database, program, level, text) = start.groups(), match.groups()
        if program == NAME and app_of(login) in tried:
            continue  # ourselves
        if level == "STATEMENT":
            word = text.split(None, 1)[0].upper() if text.strip() else ""
            index = last.pop(pid, None)
            if index is not None and word in _VERBS:
                one = found[index]
                found[index] = _Refusal(one.login, one.database, one.at, one.said, one.code, word)
            continue
        last.pop(pid, None)
        if _FORGED.search(text):
            continue
        text = _PLACE.sub("", text)
        for pattern, code in _REFUSED:
            said = pattern.fullmatch(text)
            if said is not None and (level == "FATAL" or not _FATAL & {*said.groupdict()}):
                at = datetime.fromisoformat(moment).replace(tzinfo=zone).timestamp()
                words = {key: (value or "").strip('"') for key, value in said.groupdict().items()}
                found[number] = _Refusal(login, database, at, words, code, "")
                last[pid] = number
                break
    return list(found.values())


def _remedy(asked: DesiredInstance, one: _Refusal, every: Sequence[_Refusal]) -> str:
    """The line of the file that would permit it. `every`: what the app was refused besides."""
    grants = asked.instance.granted(PostgresGrant)
    app = app_of(one.login)
    grant = grants.get(app)
    if grant is None:
        return stranger(app, ADMIN)
    place, said = f"apps.{app}.{asked.instance.name}", one.said
    if said.get("idle") == "idle-in-transaction":
        return f"{place}.idle_in_transaction_timeout: …, or commit before waiting"
    if said.get("idle"):
        return "the setting idle_session_timeout ends it"
    if said.get("login") == "password":
        return OLD_CLIENT.format(app=app)
    if said.get("login") and not grant.covers(one.database):
        names = [o.database for o in every if o.said.get("login") and not grant.covers(o.database)]
        return more_databases(place, app, names, grants)[one.database]
    if said.get("login"):
        return f"'mngdb plan' shows what its login lacks; 'mngdb env {app}' prints its address"
    if said.get("to") == "create database" and grant.access == "owner":
        return PERMITTED if grant.create_databases else f"{place}.create_databases: true"
    if said.get("to") in _EXTENSION:
        return _extensions(place, grant, one, every)
    nothing = f"{NO_LINE} {one.what}"
    if said.get("to") or said["name"].startswith("pg_"):
        return nothing
    if said["kind"] not in {"table", "view", "materialized view", "sequence", "schema", "relation"}:
        return nothing
    return _access(grants, place, grant, one)


def _extensions(place: str, grant: PostgresGrant, one: _Refusal, every: Sequence[_Refusal]) -> str:
    """Those that the file asks for already are the server's to have, or `up`'s to create."""
    if one.said["name"] in grant.extensions:
        return PERMITTED if one.code == "42501" else f"{_LACKED}: 'mngdb plan' names the package"
    taken = list(grant.extensions)
    for other in every:
        # a line with one that the server lacks is refused by `plan`
        there = other.code == "42501" or one.code != "42501"
        name = other.said["name"] if other.said.get("to") in _EXTENSION and there else ""
        if name and name not in taken and takes(grant, extensions=[*taken, name]):
            taken.append(name)
    if one.said["name"] not in taken:
        return f"{NO_LINE} {one.what}"
    line = f"{place}.extensions: {json.dumps(taken, ensure_ascii=False)}"
    if one.code == "42501":
        return line
    return f"{_LACKED}: install its package (docs/servers.md#extensions), then {line}"


def _access(
    grants: Mapping[str, PostgresGrant], place: str, grant: PostgresGrant, one: _Refusal
) -> str:
    """Of the app's own database."""
    if one.verb in _WRITES and not one.said.get("owner") and grant.access == "readonly":
        return f"{place}.access: readwrite"
    owner = [
        app for app, other in grants.items()
        if other.database == grant.database and other.access == "owner"
    ]  # fmt: skip
    if grant.access == "owner" or one.verb in _SELECT | _WRITES:
        return "it belongs to another role: 'mngdb plan' shows what 'mngdb up' changes"
    if owner:
        return f"{owner[0]} owns the database and has to do it, or grant it"
    return f"{place}.access: owner"
