"""What pg_dump writes of a restored server, run in the live one: the rows as they come, with no
file in between. Apps choose the names and the texts in it; see `hands` for who runs what.

The restored server is reached by its socket, where the kernel vouches for both sides: pg_dump needs
no password. The live one is only reached by connections of ours.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import IO

import psycopg
from msgspec import Struct
from msgspec.structs import replace

from mngdb import stopping
from mngdb.engines.postgres import guards
from mngdb.engines.postgres.causes import first_line
from mngdb.engines.postgres.client import Connection, Session
from mngdb.engines.postgres.render import ADMIN
from mngdb.errors import StepError, UsageError
from mngdb.model import DesiredInstance, Program
from mngdb.part import Took
from mngdb.run import run, streamed
from mngdb.words import numbers

#: Seconds that an answer is waited for: an index is built for as long as it takes.
_PATIENT = 7 * 86400.0
#: Seconds for a program to say its version.
_VERSION = 30.0
#: Bytes of rows, and of other statements, that are sent at a time.
_BLOCK, _STATEMENTS = 1 << 18, 1 << 20
_COPY, _FROM, _END = b"COPY ", b" FROM stdin;\n", b"\\.\n"
#: For psql alone; the word is a random one.
_RESTRICTED = re.compile(rb"^\\restrict (\S+)\n", re.MULTILINE)
#: A dump would wait for ever for what an app has locked.
_WAITS = b"SET lock_timeout = 0;\n"
_MAKING = (b"CREATE DATABASE ", b"ALTER DATABASE ")
_OWNED = re.compile(rb'ALTER DATABASE (?:\w+|"(?:[^"]|"")*") OWNER TO ')
_SETTING = (b"ALTER DATABASE ", b"COMMENT ON DATABASE ")
_QUOTE = re.compile(rb"['\"]")
#: An entry of an archive's contents, by the catalog that it is of; 0 is of several.
_ENTRY = re.compile(rb"\d+; (\d+) (\d+) (.*)")
#: Casts, some of which only a superuser may create.
_CASTS = b"2605"
#: When entries are brought, and by whom, where that is not as "content": schemas, extensions,
#: foreign data wrappers and servers; the database; event triggers, publications and
#: what is in them, default privileges.
_CATALOGS = {
    **dict.fromkeys((b"2615", b"3079", b"2328", b"1417"), "frame"),
    b"1262": "database",
    **dict.fromkeys((b"3466", b"6104", b"6106", b"6237", b"826"), "rights"),
}
#: An extension brings its comment along, and its owner is a superuser.
_KINDS = {
    b"ACL - FOREIGN ": "frame",  # foreign tables are content
    b"USER MAPPING - ": "frame",
    b"ACL ": "rights",
    b"COMMENT - EVENT TRIGGER ": "rights",
    b"COMMENT - PUBLICATION ": "rights",
    b"COMMENT - SERVER ": "rights",
    b"COMMENT - FOREIGN DATA WRAPPER ": "rights",
    b"COMMENT - CAST ": "rights",
    b"COMMENT - EXTENSION ": "nothing",
    b"COMMENT - DATABASE ": "properties",
    b"DATABASE PROPERTIES ": "properties",
}


class _Entry(Struct, frozen=True):
    """What pg_restore brings by one line of its list. Apps choose the names in it: only its
    beginning, and the owner at its end, say something."""

    line: bytes
    catalog: bytes
    oid: bytes
    text: bytes
    above: bool = False
    """Whether only a superuser may create it."""

    @property
    def part(self) -> str:
        """When it is brought, and by whom."""
        if self.above:
            return "rights"
        if self.catalog in {b"0", b"1262"}:
            for kind, part in _KINDS.items():
                if self.text.startswith(kind):
                    return part
        return _CATALOGS.get(self.catalog, "content")

    def owner(self, roles: Iterable[str]) -> str:
        """Which of these owns it; empty: none of them."""
        return max(
            (one for one in roles if self.text.endswith(b" " + one.encode())), key=len, default=""
        )

    def fits(self, roles: frozenset[str]) -> bool:
        """Whether one of these owns it, or nobody has to."""
        ends = (b" ", *(b" " + one.encode() for one in roles))
        return bool(roles) and self.text.endswith(ends)


def tool(program: Program, name: str) -> str:
    """The path of one of the server's client programs. Raises UsageError where it is missing."""
    path = f"{program.folder}/{name}"
    if not os.access(path, os.X_OK):
        raise UsageError(
            f"{name} is missing in {program.folder}",
            "install the server's client programs (Debian: postgresql-client-MAJOR), or "
            "pip install 'mngdb[local]'",
        )
    run([path, "--version"], timeout=_VERSION)
    return path


def of_server(
    asked: DesiredInstance, database: str, folder: Path, chosen: Sequence[str] = ()
) -> Dump:
    """What there is of a database of a restored server, or of those parts that `chosen` names with
    options of pg_dump. All but its rows is kept in `folder`. Raises UsageError where the server's
    programs do not include it, MngdbError."""
    site = asked.site
    if site is None:
        raise UsageError(f"{asked.instance.name} is not a server of this machine")
    port = asked.instance.spec.port
    # PGDATABASE, not an argument: a name is no connection string
    env = {
        **_environ(),
        **{"PGHOST": site.run, "PGPORT": str(port), "PGUSER": ADMIN, "PGDATABASE": database},
        "PGOPTIONS": guards.of_programs(numbers(site.program.version)[0]),
    }
    argv = [tool(site.program, "pg_dump"), *chosen, "--no-subscriptions", "--no-password"]
    archive = folder / "archive"
    sections = ["--section=pre-data", "--section=post-data"]
    run([*argv, "--format=custom", f"--file={archive}", *sections], timeout=_PATIENT, env=env)
    restore = [tool(site.program, "pg_restore")]
    return Dump(restore, archive, [*argv, "--section=data"], env, folder)


def of_file(program: Program, archive: Path, folder: Path) -> Dump:
    """What an archive of pg_dump has. Raises UsageError where the server's programs do not include
    pg_restore, MngdbError."""
    restore = [tool(program, "pg_restore"), "--no-tablespaces"]
    rows = [*restore, "--section=data", "--file=-", str(archive)]
    return Dump(restore, archive, rows, _environ(), folder)


def _environ() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("PG")}


class Dump:
    """A database as an archive of pg_dump, from which pg_restore makes statements. `rows` is what
    writes its rows."""

    def __init__(
        self,
        restore: Sequence[str],
        archive: Path,
        rows: Sequence[str],
        env: Mapping[str, str],
        folder: Path,
    ) -> None:
        """Raises MngdbError for an archive that cannot be read."""
        self._restore, self._archive, self._rows, self._env = restore, archive, rows, env
        self._list = folder / "list"
        with streamed([*restore, "--list", "--create", str(archive)], env=env) as stream:
            found = [(line, _ENTRY.match(line)) for line in stream]
        self._entries = [_Entry(line, it[1], it[2], it[3]) for line, it in found if it]

    def above(self, casts: Collection[str]) -> None:
        """Have the casts with these OIDs, which only a superuser may create, come with the
        rights."""
        oids = {one.encode() for one in casts}
        self._entries = [
            replace(one, above=one.catalog == _CASTS and one.oid in oids) for one in self._entries
        ]

    def owners(self, roles: Iterable[str]) -> frozenset[str]:
        """Who owns something in it, of these."""
        content = [one for one in self._entries if one.part != "nothing"]
        return frozenset(one.owner(roles) for one in content) - {""}

    def owner(self, roles: Iterable[str]) -> str:
        """Who owns the database, of these; empty: nobody of them."""
        return next((one.owner(roles) for one in self._of("database")), "")

    def _script(self, entries: Iterable[_Entry], *options: str) -> bytes:
        """Raises MngdbError."""
        self._list.write_bytes(b"".join(one.line for one in entries))
        argv = [*self._restore, "--file=-", f"--use-list={self._list}", *options]
        with streamed([*argv, str(self._archive)], env=self._env) as stream:
            text = stream.read()
        if found := _RESTRICTED.search(text):
            for word in (b"restrict", b"unrestrict"):
                text = text.replace(b"\\%s %s\n" % (word, found[1]), b"")
        return text.replace(_WAITS, b"", 1)

    def _of(self, part: str) -> list[_Entry]:
        return [one for one in self._entries if one.part == part]

    def created(self) -> bytes:
        """The statement that makes the database. Raises MngdbError."""
        made = self._statements("database", "--create")
        return next(one for one in made if one.startswith(b"CREATE DATABASE "))

    def properties(self) -> list[bytes]:
        """Statements that give it its settings and its comment. Raises MngdbError."""
        made = self._statements("properties", "--create")
        return [one for one in made if one.startswith(_SETTING) and not _OWNED.match(one)]

    def frame(self) -> bytes:
        """Schemas, extensions, foreign servers, for the administrator while nothing of an app is
        there. Raises MngdbError."""
        return b"".join(self._statements("frame"))

    def rights(self, *, whole: bool) -> bytes:
        """Rights, publications and event triggers, for the administrator: they run nothing of an
        app's. With `whole` also those on the database. Raises MngdbError."""
        if not whole:
            return b"".join(self._statements("rights"))
        made = self._statements("rights", "--create")  # which brings the database, too
        return b"".join(one for one in made if not one.startswith(_MAKING))

    def _statements(self, part: str, *options: str) -> list[bytes]:
        entries = self._of(part)
        text = self._script(entries, *options) if entries else b""
        return list(_Lines(BytesIO(text)).statements())

    def foreign(self, plain: frozenset[str]) -> bool:
        """Whether anything but frame and rights has an owner who is not `plain`."""
        return not all(one.fits(plain | {"pg_database_owner"}) for one in self._of("content"))

    def whole(self, section: str) -> bytes:
        """All statements of pre-data or post-data, which replace what there is. Raises
        MngdbError."""
        every = [one for one in self._entries if one.part not in {"database", "properties"}]
        clean = ["--clean", "--if-exists"] if section == "pre-data" else []
        return self._script(every, f"--section={section}", *clean)

    def scripts(self, section: str, owners: frozenset[str] | None) -> Iterator[bytes]:
        """The statements of pre-data or post-data. What others than `owners` own becomes whose who
        runs them; None: nothing does. Raises MngdbError."""
        content = self._of("content")
        for kept, those in groupby(content, lambda one: owners is None or one.fits(owners)):
            options = [] if kept else ["--no-owner"]
            yield self._script(those, f"--section={section}", *options)

    def data(self, connection: Connection, took: Took, *options: str) -> int:
        """Bring the data; how many rows it were. Raises MngdbError."""
        count, waiting, held = 0, list[bytes](), 0
        with streamed([*self._rows, *options], env=self._env) as stream:
            lines = _Lines(stream)
            for statement in lines.statements():
                if statement.startswith(_COPY) and statement.endswith(_FROM):
                    execute(connection, b"".join(waiting))
                    waiting, held = [], 0
                    count += _copied(connection, statement, lines.rows(), took)
                elif statement != _WAITS:
                    waiting.append(statement)
                    held += len(statement)
                    if held > _STATEMENTS:
                        execute(connection, b"".join(waiting))
                        waiting, held = [], 0
            execute(connection, b"".join(waiting))
        return count


class _Lines:
    """A script of pg_dump that has no functions in it: statements, and rows in blocks. A line end
    in a name, or in text, ends no statement."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._ahead: list[bytes] = []

    def statements(self) -> Iterator[bytes]:
        """Each statement; the rows of a COPY are to be read before the next."""
        while line := self._next():
            if not line.strip() or line.startswith((b"--", b"\\")):
                continue
            parts, quote = [line], _open(b"", line)
            while (quote or not line.endswith(b";\n")) and (line := self._next()):
                parts.append(line)
                quote = _open(quote, line)
            yield b"".join(parts)

    def _next(self) -> bytes:
        return self._ahead.pop(0) if self._ahead else self._stream.readline()

    def rows(self) -> Iterator[bytes]:
        """The rows up to their end mark. Raises StepError where that is missing."""
        while True:
            block = self._ahead or self._stream.readlines(_BLOCK)
            self._ahead = []
            if not block:
                raise StepError("pg_dump ended in the middle of a table")
            if _END in block:
                end = block.index(_END)
                self._ahead = block[end + 1 :]
                yield b"".join(block[:end])
                return
            yield b"".join(block)


def _open(quote: bytes, line: bytes) -> bytes:
    """The quote that is open after a line. One in a text or a name is doubled: to end and to begin
    again is the same."""
    at = 0
    while True:
        if not quote:
            found = _QUOTE.search(line, at)
            if found is None:
                return b""
            quote, at = found[0], found.end()
        at = line.find(quote, at) + 1
        if not at:
            return quote
        quote = b""


def _copied(connection: Connection, statement: bytes, rows: Iterator[bytes], took: Took) -> int:
    with _told(), connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            for block in rows:
                stopping.check()
                copy.write(block)
                took(len(block))
        return cursor.rowcount


def execute(connection: Connection, script: bytes) -> None:
    """Run statements. Raises StepError."""
    stopping.check()
    with _told():
        connection.execute(script)


@contextmanager
def inside(session: Session, database: str) -> Iterator[Connection]:
    """A connection into a database in which statements may take their time. Raises ConnectError."""
    with session.inside(database, statement_timeout="0") as connection:
        connection.patience = _PATIENT
        yield connection


@contextmanager
def whole(connection: Connection) -> Iterator[None]:
    """The block is done in the end, or nothing of it. Raises StepError."""
    with _told(), connection.transaction():
        yield


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except psycopg.errors.UndefinedObject as error:
        raise StepError(
            f"PostgreSQL refused: {first_line(error)}",
            "the part needs it in the live server: create it (a role may be NOLOGIN), then run "
            "the same command again; or restore beside, without naming a part",
        ) from None
    except psycopg.errors.ForeignKeyViolation as error:
        raise StepError(
            f"PostgreSQL refused: {first_line(error)}",
            "with --as NAME it is brought back without its foreign keys",
        ) from None
    except psycopg.Error as error:
        raise StepError(f"PostgreSQL refused: {first_line(error)}") from None
