"""Logical snapshots: what pg_dump writes of each database, and pg_dumpall of the roles.

    roles.sql       SQL, without passwords
    DATABASE.dump   an archive for pg_restore; it is not compressed, since the store does that

Servers of later major versions read them, too. https://www.postgresql.org/docs/current/app-pgdump.html
"""

from __future__ import annotations

import os
import re
import secrets
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote_plus

from psycopg.sql import SQL, Identifier

from mngdb import stopping
from mngdb.engines.postgres import access as clients
from mngdb.engines.postgres import client, guards, hands, making, render, transfer
from mngdb.errors import MngdbError, StepError, UsageError, of_system
from mngdb.model import Access, DesiredInstance, Program, Programs
from mngdb.run import BARE, Account, run, streamed
from mngdb.snapshot import Saved, Sink, Taken

ROLES = "roles.sql"
_TIMEOUT = 300.0
_BLOCK = 1 << 20
#: Seconds that a dump waits for a lock of somebody, and between two looks at it.
PATIENCE, _LOOK = 60.0, 1.0
#: What pg_dump says where it may not hold as many locks as there are tables, and what helps.
_FULL = "out of shared memory"
_LARGER = "it locks every table: raise max_locks_per_transaction (a restart), or drop tables"
_ROLES = ("--globals-only", "--no-tablespaces", "--no-role-passwords")
_CONTENT = ("--format=custom", "--compress=0")
#: Whom it waits for; a prepared transaction has no process.
_WAITING = """
    SELECT pid, ARRAY(
        SELECT coalesce('session ' || b.pid || ' of ' || b.usename, 'a prepared transaction')
        FROM unnest(pg_blocking_pids(a.pid)) one LEFT JOIN pg_stat_activity b ON b.pid = one)
    FROM pg_stat_activity a
    WHERE application_name = %s AND usename = current_user AND wait_event_type = 'Lock'
"""
#: libpq's parameters that prove the server, as variables of the environment.
_PROOF = {"require_auth": "PGREQUIREAUTH", "requirepeer": "PGREQUIREPEER"}
_DATABASES = """
    SELECT datname, has_database_privilege(oid, 'CONNECT') FROM pg_database
    WHERE datallowconn AND NOT datistemplate ORDER BY 1
"""
_SERVER = f"""
    SELECT extract(epoch FROM clock_timestamp())::float8,
        (SELECT system_identifier::text FROM pg_control_system()),
        ({client.SIZE})
"""  # noqa: S608 - a constant
#: For psql alone.
_RESTRICT = re.compile(r"^\\(?:un)?restrict .*\n", re.MULTILINE)
_CREATE = re.compile(r"^CREATE ROLE (.*);\n", re.MULTILINE)


def back_up(session: client.Session, access: Access, programs: Programs, sink: Sink) -> Taken:
    """Write every database and all roles. Raises StepError, UnobservableError, and MngdbError with
    the last words of pg_dump."""
    version = session.main.info.server_version // 10_000
    program = programs(str(version))
    own = int(program.version.partition(".")[0])
    if own < version:
        raise StepError(
            f"pg_dump {own} ({program.folder}) cannot read a server of PostgreSQL {version}",
            f"install PostgreSQL {version}, and name its folder: binaries: {{postgres: …}}",
        )
    ((moment, system, size),) = session.rows(_SERVER)
    every = session.rows(_DATABASES)
    names = [name for name, entered in every if entered]
    if closed := ", ".join(name for name, entered in every if not entered):
        sink.tell(f"left out, as {access.user} may not connect to it: {closed}")
    sink.expect(size)
    dump = _Dump(session, access, program, sink)
    dump.write(ROLES, "pg_dumpall", _ROLES, access.database)
    streams, missing = dict[str, str](), dict[str, str]()
    for name in names:
        stream = f"{quote_plus(name)}.dump"
        try:
            dump.write(stream, "pg_dump", _CONTENT, name)
        except _DumpError as error:
            session.rows("SELECT 1")  # a server that is gone dumps no others
            missing[name] = error.message
            continue
        streams[name] = stream
    if missing and not streams:
        raise StepError("; ".join(f"{name}: {why}" for name, why in missing.items()))
    return Taken(
        kind="logical",
        product="PostgreSQL",
        version=str(session.main.info.parameter_status("server_version")).split(" ")[0],
        source=system,
        position={},
        counts={"databases": len(names)},
        missing={f"database {name}": why for name, why in missing.items()},
        notes={"databases": streams},
        moment=moment,
    )


def _environ(access: Access, version: int, database: str, name: str) -> Mapping[str, str]:
    """Where the programs go, by which name the server, of this major version, knows them, and how
    it has to prove itself."""
    proof = {_PROOF[name]: value for name, value in clients.proof(access).items()}
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith("PG")},
        **clients.shell(access, None).env,
        **proof,
        "PGDATABASE": database,  # not an argument: a name is no connection string
        "PGAPPNAME": name,
        "PGOPTIONS": guards.of_programs(version),
    }


class _DumpError(MngdbError):
    """The program failed, not the store."""


class _Dump:
    """Writes what the programs say into streams."""

    def __init__(
        self, session: client.Session, access: Access, program: Program, sink: Sink
    ) -> None:
        self._session = session
        self._access = access
        self._program = program
        self._sink = sink
        self._name = f"mngdb backup {secrets.token_hex(4)}"

    def write(self, stream: str, name: str, options: Sequence[str], database: str) -> None:
        """Write a stream. Raises _DumpError for what the program says, MngdbError."""
        argv = [transfer.tool(self._program, name), "--no-password", *options]
        version = self._session.main.info.server_version // 10_000
        env = _environ(self._access, version, database, self._name)
        read = False
        try:
            with (
                self._sink.stream(stream) as writer,
                self._watched(),
                streamed(argv, env=env) as output,
            ):
                while block := output.read(_BLOCK):
                    stopping.check()
                    writer.write(block)
                read = True
        except MngdbError as error:
            if not read:
                raise
            more = f" ({_LARGER})" if _FULL in error.message else ""
            raise _DumpError(f"{error.message}{more}") from None

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """What the program waits for in the block, an app's lock on its own table or view, does
        not last for ever. Raises MngdbError with whose it is. (The program's own option knows
        tables alone.)"""
        over, held = threading.Event(), list[str]()

        def look() -> None:
            waited = 0.0
            while not over.wait(_LOOK):
                found = self._session.rows(_WAITING, self._name)
                waited = waited + _LOOK if found else 0.0
                if found and waited >= PATIENCE:
                    ((pid, holders),) = found[:1]
                    held.append(", ".join(holders))
                    self._session.rows("SELECT pg_terminate_backend(%s)", pid)

        with ThreadPoolExecutor(1, "mngdb-locks") as pool:
            looking = pool.submit(look)
            try:
                yield
            except MngdbError:
                if held:
                    raise MngdbError(
                        f"pg_dump waited {PATIENCE:g} s for a lock of {held[0]} (mngdb locks)"
                    ) from None
                raise
            finally:
                over.set()
                with suppress(MngdbError):  # the program says what is wrong
                    looking.result()


def lay(asked: DesiredInstance, folder: Path, account: Account | None) -> None:
    """Make an empty cluster. Raises MngdbError."""
    argv = [word.replace("{data}", str(folder)) for word in render.unit(asked).prepare]
    run(argv, timeout=_TIMEOUT, env=BARE, account=account, cwd=folder)


def load(session: client.Session, asked: DesiredInstance, saved: Saved) -> None:
    """Fill the server of `asked`, in which nothing is but what `up` has made. Raises MngdbError."""
    text = b"".join(saved.read(ROLES)).decode()
    there = {name for (name,) in session.rows("SELECT quote_ident(rolname) FROM pg_roles")}
    text = _CREATE.sub(lambda found: "" if found[1] in there else found[0], text)
    transfer.execute(session.changing(), _RESTRICT.sub("", text).encode())
    site = asked.site
    if site is None:
        raise UsageError(f"{asked.instance.name} is not a server of this machine")
    for name, stream in saved.taken.notes["databases"].items():
        with (
            tempfile.TemporaryDirectory() as folder,
            _file(Path(site.data).parent, saved.read(stream)) as path,
        ):
            dump = transfer.of_file(site.program, path, Path(folder))
            if name == session.main.info.dbname:
                _replaced(session, name, dump)
            else:
                _created(session, name, dump)


@contextmanager
def _file(folder: Path, pieces: Iterator[bytes]) -> Iterator[Path]:
    """An archive as a file: pg_restore reads here and there in it."""
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        try:
            for piece in pieces:
                file.write(piece)
            file.flush()
        except OSError as error:
            raise of_system(error) from None
        yield Path(file.name)


def _created(session: client.Session, name: str, dump: transfer.Dump) -> None:
    gone = SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name))
    client.execute(session.changing(), gone)
    making.database(session, dump, name, hands.roles(session), lambda _: None)


def _replaced(session: client.Session, name: str, dump: transfer.Dump) -> None:
    """The database that the session is in cannot be dropped: what the dump has of it is."""
    owners = dump.owners(hands.roles(session))
    if hands.owners(session, owners).others:
        raise StepError(
            f"the database {name}, which is the administrator's, has something in it that is an "
            f"app's; owners there: {', '.join(sorted(owners))}",
            "restore the databases by hand: RESTORE.md in the store says how",
        )
    with transfer.inside(session, name) as connection, transfer.whole(connection):
        transfer.execute(connection, dump.whole("pre-data"))
        dump.data(connection, lambda _: None)
        transfer.execute(connection, dump.whole("post-data"))
