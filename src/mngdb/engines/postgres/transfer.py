"""What pg_dump writes of a restored server, run in the live one as it comes: no file in between.

The restored server is reached by its socket, where the kernel vouches for both sides: pg_dump needs
no password. The live one is only reached by connections of ours.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

import psycopg

from mngdb import stopping
from mngdb.engines.postgres.causes import first_line
from mngdb.engines.postgres.client import Connection, Session
from mngdb.engines.postgres.render import ADMIN
from mngdb.errors import StepError, UsageError
from mngdb.model import DesiredInstance, Program
from mngdb.part import Took
from mngdb.run import run, streamed

#: Seconds that an answer is waited for: an index is built for as long as it takes.
_PATIENT = 7 * 86400.0
#: Seconds for pg_dump to say its version.
_VERSION = 30.0
#: Bytes of rows, and of other statements, that are sent at a time.
_BLOCK, _STATEMENTS = 1 << 18, 1 << 20
_COPY, _FROM, _END = b"COPY ", b" FROM stdin;\n", b"\\.\n"
#: For psql alone, also where it goes on in another database; the word is a random one.
_RESTRICTED = re.compile(rb"^\\restrict (\S+)\n", re.MULTILINE)
_CONNECT = re.compile(rb"^(\\connect .*\n)", re.MULTILINE)
#: A dump would wait for ever for what an app has locked.
_WAITS = b"SET lock_timeout = 0;\n"


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


def of_server(asked: DesiredInstance, database: str, chosen: Sequence[str] = ()) -> Dump:
    """What there is of a database of a restored server, or of those parts that `chosen` names with
    options of pg_dump. Raises UsageError where the server's programs do not include it."""
    site = asked.site
    if site is None:
        raise UsageError(f"{asked.instance.name} is not a server of this machine")
    port = asked.instance.spec.port
    # PGDATABASE, not an argument: a name is no connection string
    env = {
        **_environ(),
        **{"PGHOST": site.run, "PGPORT": str(port), "PGUSER": ADMIN, "PGDATABASE": database},
        "PGOPTIONS": "-c statement_timeout=0 -c row_security=off",
    }
    argv = [tool(site.program, "pg_dump"), *chosen, "--no-subscriptions", "--no-password"]
    return Dump(argv, env)


def of_file(program: Program, path: Path) -> Dump:
    """What an archive of pg_dump has. Raises UsageError where the server's programs do not include
    pg_restore."""
    argv = [tool(program, "pg_restore"), "--no-tablespaces", "--file=-"]
    return Dump(argv, _environ(), str(path))


def _environ() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("PG")}


class Dump:
    """A database as statements, by sections."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], *of: str) -> None:
        self._argv, self._env, self._of = argv, env, of

    def _read(self, section: str, *more: str) -> AbstractContextManager[IO[bytes]]:
        return streamed([*self._argv, f"--section={section}", *more, *self._of], env=self._env)

    def script(self, section: str, *more: str) -> bytes:
        """The statements of a section that has no data. Raises MngdbError."""
        with self._read(section, *more) as stream:
            text = stream.read()
        if found := _RESTRICTED.search(text):
            for word in (b"restrict", b"unrestrict"):
                text = text.replace(b"\\%s %s\n" % (word, found[1]), b"")
        return text.replace(_WAITS, b"", 1)

    def created(self) -> tuple[list[bytes], bytes]:
        """The statements that make the database, and those of its first section, for a session in
        it. Raises MngdbError."""
        head, connect, body = _CONNECT.split(self.script("pre-data", "--create"), maxsplit=1)
        made = re.findall(rb"^(?:CREATE|ALTER) DATABASE .*;$", head, re.MULTILINE)
        return made, body.replace(connect, b"")  # it is said again

    def data(self, connection: Connection, took: Took) -> int:
        """Bring the data; how many rows it were. Raises MngdbError."""
        count, waiting, held = 0, list[bytes](), 0
        with self._read("data") as stream:
            lines = _Lines(stream)
            while line := lines.next():
                if line.startswith(_COPY) and line.endswith(_FROM):
                    execute(connection, b"".join(waiting))
                    waiting, held = [], 0
                    count += _copied(connection, line, lines.rows(), took)
                elif not line.startswith((b"\\restrict ", b"\\unrestrict ")) and line != _WAITS:
                    waiting.append(line)
                    held += len(line)
                    if held > _STATEMENTS and line.endswith(b";\n"):
                        execute(connection, b"".join(waiting))
                        waiting, held = [], 0
            execute(connection, b"".join(waiting))
        return count


class _Lines:
    """Lines of a stream, those of rows in blocks."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._ahead: list[bytes] = []

    def next(self) -> bytes:
        """The next line; nothing at the end."""
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
def whole(connection: Connection, check: Callable[[], None] = lambda: None) -> Iterator[None]:
    """The block is done in the end, or nothing of it. Raises StepError."""
    with _told(), connection.transaction():
        yield
        check()


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
