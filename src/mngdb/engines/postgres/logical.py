"""Logical snapshots: what pg_dump writes of each database, and pg_dumpall of the roles.

    roles.sql       SQL, without passwords
    DATABASE.dump   an archive for pg_restore; it is not compressed, since the store does that

Servers of later major versions read them, too. https://www.postgresql.org/docs/current/app-pgdump.html
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote_plus

from psycopg.sql import SQL, Identifier

from mngdb import stopping
from mngdb.engines.postgres import access as clients
from mngdb.engines.postgres import client, hands, making, render, transfer
from mngdb.errors import StepError, UsageError, of_system
from mngdb.model import Access, DesiredInstance, Program, Programs
from mngdb.run import BARE, Account, run, streamed
from mngdb.snapshot import Saved, Sink, Taken

ROLES = "roles.sql"
_TIMEOUT = 300.0
_BLOCK = 1 << 20
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
    roles = ["--globals-only", "--no-tablespaces", "--no-role-passwords"]
    _written(sink, ROLES, program, "pg_dumpall", roles, _environ(access, access.database))
    streams = {name: f"{quote_plus(name)}.dump" for name in names}
    for name, stream in streams.items():
        options = ["--format=custom", "--compress=0"]
        _written(sink, stream, program, "pg_dump", options, _environ(access, name))
    return Taken(
        kind="logical",
        product="PostgreSQL",
        version=str(session.main.info.parameter_status("server_version")).split(" ")[0],
        source=system,
        position={},
        counts={"databases": len(names)},
        notes={"databases": streams},
        moment=moment,
    )


def _environ(access: Access, database: str) -> Mapping[str, str]:
    """Where the programs go, and how the server has to prove itself."""
    proof = {_PROOF[name]: value for name, value in clients.proof(access).items()}
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith("PG")},
        **clients.shell(access, None).env,
        **proof,
        "PGDATABASE": database,  # not an argument: a name is no connection string
        "PGAPPNAME": "mngdb backup",
        "PGOPTIONS": "-c statement_timeout=0 -c row_security=off",
    }


def _written(
    sink: Sink,
    stream: str,
    program: Program,
    name: str,
    options: Sequence[str],
    env: Mapping[str, str],
) -> None:
    argv = [transfer.tool(program, name), "--no-password", *options]
    with sink.stream(stream) as writer, streamed(argv, env=env) as output:
        while block := output.read(_BLOCK):
            stopping.check()
            writer.write(block)


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
