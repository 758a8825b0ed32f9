"""A script that makes users and databases (`init_users_dbs.sql` of the official image), as the file
can say it. Read, never run: what it says beyond that is a note."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from msgspec import Struct, field

from mngdb.errors import UsageError
from mngdb.facts.found import FoundApp, FoundServer
from mngdb.secret import Secret

#: A quoted or a plain name.
_NAME = r'("(?:[^"]|"")+"|[\w$]+)'
_TOKEN = re.compile(
    r"--[^\n]*|/\*.*?\*/|\b[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\""
    r"|\$(\w*)\$.*?\$\1\$|;|\\gexec\b|^[ \t]*\\\w+[^\n]*|.",
    re.DOTALL | re.MULTILINE,
)
_USER = re.compile(rf"CREATE\s+(USER|ROLE)\s+(?:IF\s+NOT\s+EXISTS\s+)?{_NAME}(.*)", re.I | re.S)
_PASSWORD = re.compile(r"\bPASSWORD\s+'((?:[^']|'')*)'", re.I)
_ALTER_USER = re.compile(rf"ALTER\s+(?:USER|ROLE)\s+{_NAME}(.*)", re.I | re.S)
_DATABASE = re.compile(rf"CREATE\s+DATABASE\s+{_NAME}(.*)", re.I | re.S)
_OWNER = re.compile(rf"\bOWNER\s*(?:=|\s)\s*{_NAME}", re.I)
_ALTER_DATABASE = re.compile(rf"ALTER\s+DATABASE\s+{_NAME}\s+OWNER\s+TO\s+{_NAME}", re.I)
_GRANT = re.compile(rf"GRANT\s+(.+?)\s+ON\s+(.+?)\s+TO\s+{_NAME}", re.I | re.S)
_ON_DATABASE = re.compile(rf"DATABASE\s+{_NAME}", re.I)
_EXTENSION = re.compile(rf"CREATE\s+EXTENSION\s+(?:IF\s+NOT\s+EXISTS\s+)?{_NAME}", re.I)
#: What psql reads rows after, up to a line of their end. Users of an app wrote those: no SQL.
_COPY = re.compile(r"\\?COPY\b.*\bFROM\s+P?STDIN\b", re.I | re.S)
_END_OF_ROWS = re.compile(r"^\\\.\r?$|\Z", re.M)
_SPECIAL = re.compile(r"\b(SUPERUSER|CREATEDB|CREATEROLE|REPLICATION|BYPASSRLS)\b", re.I)
#: Statements that say nothing of themselves, or what the file's rights bring with them.
_QUIET = re.compile(
    r"(SET|BEGIN|COMMIT|START\s+TRANSACTION|\\set|\\echo|\\q)\b"
    r"|ALTER\s+DEFAULT\s+PRIVILEGES\b.*\bON\s+(TABLES|SEQUENCES)\b|REVOKE\b.*\bFROM\s+PUBLIC\b",
    re.I | re.S,
)
#: `SELECT 'CREATE DATABASE x' WHERE NOT EXISTS (…)\gexec`.
_GENERATED = re.compile(r"SELECT\s+'((?:[^']|'')*)'.*\\gexec", re.I | re.S)


class _User(Struct):
    password: str = ""
    login: bool = True
    special: list[str] = field(default_factory=list)
    right: dict[str, Any] = field(default_factory=dict)


class _Reader:
    def __init__(self) -> None:
        self.users: dict[str, _User] = {}
        self.owners: dict[str, str] = {}
        self.notes: list[str] = []
        self.extensions: dict[str, list[str]] = {}
        self.place = "postgres"

    def read(self, text: str) -> FoundServer:
        for statement in _statements(text):
            self.statement(statement)
        for database, owner in self.owners.items():
            if owner in self.users:
                self.users[owner].right = {"database": database}
            elif database not in {str(u.right.get("database")) for u in self.users.values()}:
                self.notes.append(f"database {database}: no user of the script owns it")
        apps = [self.app(name, user) for name, user in self.users.items() if user.login]
        return FoundServer(tuple(apps), {}, tuple(self.notes))

    def app(self, name: str, user: _User) -> FoundApp:
        secret = Secret(user.password) if user.password else None
        if "SUPERUSER" in user.special:
            return FoundApp(name, None, ("a superuser; an app is never one",))
        if not user.right:
            return FoundApp(name, None, ("the script gives it no database",))
        more = ", ".join(user.special)
        notes = (f"the script gives it {more}, too; the file does not",) if more else ()
        right = dict(user.right)
        extensions = self.extensions.get(right["database"])
        if extensions and "access" not in right:
            right["extensions"] = extensions
        return FoundApp(name, right, notes, secret)

    def statement(self, text: str) -> None:
        if found := re.match(r"\\c(?:onnect)?\s+(\S+)", text):
            self.place = _name(found[1])
        elif found := _GENERATED.match(text):
            self.statement(found[1].replace("''", "'"))
        elif found := _USER.match(text):
            user = self.users.setdefault(_name(found[2]), _User(login=found[1].upper() == "USER"))
            self.attributes(user, found[3])
        elif (found := _ALTER_USER.match(text)) and _name(found[1]) in self.users:
            self.attributes(self.users[_name(found[1])], found[2])
        elif found := _DATABASE.match(text):
            owner = _OWNER.search(found[2])
            self.owners[_name(found[1])] = _name(owner[1]) if owner else ""
        elif found := _ALTER_DATABASE.match(text):
            self.owners[_name(found[1])] = _name(found[2])
        elif (found := _GRANT.match(text)) and _name(found[3]) in self.users:
            self.grant(found[1], found[2], _name(found[3]))
        elif found := _EXTENSION.match(text):
            self.extensions.setdefault(self.place, []).append(_name(found[1]))
        elif not _QUIET.match(text):
            self.notes.append(f"not read: {_shown(text)}")

    def attributes(self, user: _User, words: str) -> None:
        bare = re.sub(r"'(?:[^']|'')*'", "''", words)
        if password := _PASSWORD.search(words):
            user.password = password[1].replace("''", "'")
        if re.search(r"\bLOGIN\b", bare, re.I):
            user.login = True
        if re.search(r"\bNOLOGIN\b", bare, re.I):
            user.login = False
        user.special += [one.upper() for one in _SPECIAL.findall(bare)]

    def grant(self, privileges: str, on: str, name: str) -> None:
        words = {word.strip().upper() for word in privileges.split(",")}
        every = bool(words & {"ALL", "ALL PRIVILEGES"})
        user, database = self.users[name], _ON_DATABASE.fullmatch(on.strip())
        if database is not None:
            if (every or "CREATE" in words) and not self.owners.get(_name(database[1])):
                self.owners[_name(database[1])] = name
            return
        if not re.match(r"ALL\s+TABLES\s", on, re.I):
            if not re.match(r"(SCHEMA|ALL\s+(SEQUENCES|FUNCTIONS))\b", on, re.I):
                self.notes.append(
                    f"GRANT {', '.join(sorted(words))} ON {_shown(on)} TO {name}: finer than the "
                    "file's readonly and readwrite"
                )
            return
        writes = every or bool(words & {"INSERT", "UPDATE", "DELETE"})
        if self.owners.get(self.place) != name:
            access = "readwrite" if writes else "readonly"
            user.right = {"database": self.place, "access": access}


def read(text: str) -> FoundServer:
    """Users and databases of a script. Raises UsageError where it makes none."""
    found = _Reader().read(text)
    if not found.apps:
        raise UsageError(
            "the SQL has no CREATE USER",
            "--from takes a script that makes users, or the URL of a server",
        )
    return found


def _statements(text: str) -> Iterator[str]:
    """Each without comments and rows; psql's commands are statements of their own."""
    parts: list[str] = []
    at = 0
    while token := _TOKEN.match(text, at):
        word, at = token[0], token.end()
        if word.startswith(("--", "/*")):
            continue
        if word.lstrip().startswith("\\") and word != r"\gexec":
            statement = word.strip()
            yield statement
            at = _after_rows(statement, text, at)
        elif word in {";", r"\gexec"}:
            statement = "".join(parts).strip() + ("" if word == ";" else word)
            parts = []
            if statement and statement != word:
                yield statement
            at = _after_rows(statement, text, at)
        else:
            parts.append(word)
    if rest := "".join(parts).strip():
        yield rest


def _after_rows(statement: str, text: str, at: int) -> int:
    """Where the script goes on after a statement that ends `at`."""
    end = _END_OF_ROWS.search(text, at) if _COPY.match(statement) else None
    return end.end() if end else at


def _name(text: str) -> str:
    """As the server takes it: plain names are lower case."""
    return text[1:-1].replace('""', '"') if text.startswith('"') else text.lower()


def _shown(text: str) -> str:
    """The beginning of a statement on one line, up to its first literal or row: that may be a
    password, and one that is not closed has no end."""
    bare = re.sub(r"(?:'|\$\w*\$|\bVALUES\b).*", "'…'", text, flags=re.DOTALL | re.IGNORECASE)
    return " ".join(bare.split())[:80]
