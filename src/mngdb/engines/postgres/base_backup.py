"""A snapshot of a whole cluster, streamed by the server over the replication protocol.

The protocol's own command, as pg_basebackup sends it, and not pg_basebackup: that program writes
several archives (tablespaces) to a disk only, and a store takes them without that detour.
https://www.postgresql.org/docs/17/protocol-replication.html#PROTOCOL-REPLICATION-BASE-BACKUP
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
from psycopg import pq
from psycopg.sql import SQL, Identifier

from mngdb import disk
from mngdb.engines.postgres import client, replay, replication, unpack
from mngdb.engines.postgres.causes import first_line
from mngdb.errors import MngdbError, StepError, UnobservableError
from mngdb.model import Access, DesiredInstance
from mngdb.run import Account
from mngdb.snapshot import Point, Saved, Sink, Taken, Trial, Writer

#: What is streamed: the checkpoint at once, and with it the log that makes it consistent.
_COMMAND = (
    "BASE_BACKUP (LABEL 'mngdb', PROGRESS, CHECKPOINT 'fast', WAL, MANIFEST 'yes', "
    "TABLESPACE_MAP, TARGET 'client')"
)
#: The first major version that speaks so.
_SINCE = 15
_TIMEOUT = 30.0
#: Seconds that one database may take to be read.
_READ = 4 * 3600.0
_DATABASES = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1"
_AMCHECK = "SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck'"
#: Reading a page compares its checksum, too.
_HEAP = """
    SELECT format('%s: %s', c.oid::regclass, found.msg)
    FROM pg_class c, LATERAL verify_heapam(c.oid) found
    WHERE c.relkind IN ('r', 'm', 't') AND c.relpersistence = 'p' LIMIT 20
"""
_INDEXES = """
    SELECT count(bt_index_check(i.indexrelid, true)) FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
    WHERE a.amname = 'btree' AND i.indisvalid AND c.relpersistence = 'p'
"""
_TABLES = """
    SELECT n.nspname, c.relname
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm') AND c.relpersistence = 'p'
"""
MANIFEST = "backup_manifest"


def back_up(session: client.Session, access: Access, sink: Sink) -> Taken:
    """Stream every file of the cluster. Raises StepError, ConnectError."""
    version = session.main.info.server_version
    if version // 10_000 < _SINCE:
        raise StepError(
            f"PostgreSQL {version // 10_000} cannot be backed up by mngdb",
            f"it has to be {_SINCE} or later; use pg_basebackup",
        )
    ((databases, tables),) = session.rows(
        "SELECT (SELECT count(*) FROM pg_database WHERE NOT datistemplate), "
        "(SELECT sum(pg_database_size(oid))::bigint FROM pg_database)"
    )
    with client.replication(access, _TIMEOUT) as wire, _told():
        (system, _, *_), *_ = replication.rows(wire, "IDENTIFY_SYSTEM")
        wire.send_query(_COMMAND.encode())
        ((begin, _),) = replication.next_rows(wire)
        spaces = replication.next_rows(wire)
        sink.expect(sum(int(size) for _, _, size in spaces) * 1024)
        _archives(wire, sink)
        ((end, timeline),) = replication.next_rows(wire)
        while replication.result(wire) is not None:
            pass
    ((moment,),) = session.rows("SELECT extract(epoch FROM clock_timestamp())::float8")
    return Taken(
        kind="full",
        product="PostgreSQL",
        version=str(session.main.info.parameter_status("server_version")).split(" ")[0],
        source=system,
        position={"begin": begin, "end": end, "timeline": timeline},
        counts={"databases": databases, "bytes": tables},
        notes={"tablespaces": {oid: path for oid, path, _ in spaces if oid}},
        moment=moment,
        log=Point(replication.branch(session, system, timeline), replication.lsn(end)),
    )


@contextmanager
def _told() -> Iterator[None]:
    """What the driver raises when the server goes away, as a StepError."""
    try:
        yield
    except psycopg.Error as error:
        raise StepError(f"PostgreSQL ended the backup: {first_line(error)}") from None


def _archives(wire: pq.abc.PGconn, sink: Sink) -> None:
    """Every archive that comes, each as a stream; the manifest is the last. Raises StepError."""
    result = replication.result(wire)
    if result is None or result.status != pq.ExecStatus.COPY_OUT:
        raise StepError("PostgreSQL sent no data")
    with ExitStack() as opened:
        writer: Writer | None = None
        for message in _messages(wire):
            kind, data = bytes(message[:1]), message[1:]
            if kind == b"d" and writer is not None:
                writer.write(data)
            elif kind in {b"n", b"m"}:
                opened.close()
                name = bytes(data).split(b"\0")[0].decode() if kind == b"n" else MANIFEST
                writer = opened.enter_context(sink.stream(name))
            elif kind != b"p":
                raise StepError(f"PostgreSQL sent a message of an unknown kind: {kind!r}")


def _messages(wire: pq.abc.PGconn) -> Iterator[memoryview]:
    while True:
        size, data = wire.get_copy_data(0)
        if size > 0:
            yield data
        else:
            return


def lay(asked: DesiredInstance, saved: Saved, folder: Path, account: Account | None) -> None:
    """Unpack the archives, tablespaces beside the data folder, and replay the log. Raises
    MngdbError."""
    _need_same_major(asked, saved.taken)
    _unpacked(saved, folder, account)
    try:
        replay.recover(asked, saved, folder, account)
    except replay.OvershotError:
        disk.remove(folder)
        disk.remove(_spaces(folder))
        unpack.folder(folder, account)
        _unpacked(saved, folder, account)
        replay.recover(asked, saved, folder, account, exact=True)


def _need_same_major(asked: DesiredInstance, taken: Taken) -> None:
    program = asked.site.program if asked.site else None
    if program is not None and _major(program.version) != _major(taken.version):
        raise MngdbError(
            f"the snapshot is of PostgreSQL {taken.version}, and the program here, {program.server}"
            f", is {program.version}: files of another major version cannot be read",
            f"install PostgreSQL {_major(taken.version)}, and name its folder: binaries: "
            "{postgres: …} in the file",
        )


def _major(version: str) -> str:
    return version.partition(".")[0]


def _unpacked(saved: Saved, folder: Path, account: Account | None) -> None:
    unpack.tar(saved.read("base.tar"), folder, account)
    unpack.file(saved.read(MANIFEST), folder / MANIFEST, account)
    lines = []
    for oid in saved.taken.notes.get("tablespaces", {}):
        place = _spaces(folder) / oid
        unpack.folder(place.parent, account)
        unpack.folder(place, account)
        unpack.tar(saved.read(f"{oid}.tar"), place, account)
        lines.append(f"{oid} {place}\n")
    if lines:
        (folder / "tablespace_map").write_text("".join(lines))


def _spaces(folder: Path) -> Path:
    return folder.with_name("tablespaces")


def prove(session: client.Session, taken: Taken) -> tuple[Trial, ...]:
    """What the restored server is, and whether each page of it can be read. Installs the extension
    `amcheck` where there is it. Raises UnobservableError, StepError, ConnectError."""
    ((found, recovering),) = session.rows(
        "SELECT (SELECT system_identifier::text FROM pg_control_system()), pg_is_in_recovery()"
    )
    names = [name for (name,) in session.rows(_DATABASES)]
    wanted = taken.counts.get("databases", 0)
    return (
        Trial("identity", found == taken.source, f"system identifier {found}"),
        Trial("recovered", not recovering, "in recovery" if recovering else "out of recovery"),
        Trial("databases", len(names) >= wanted, f"{len(names)} of {wanted}"),
        *(_readable(session, name) for name in names),
    )


def _readable(session: client.Session, database: str) -> Trial:
    name = f"database {database}"
    try:
        with session.inside(database) as connection:
            connection.patience = _READ
            ((amcheck,),) = client.rows(connection, _AMCHECK)
            wrong, told = (_checked if amcheck else _counted)(connection)
    except (StepError, UnobservableError) as error:
        return Trial(name, False, error.message)
    return Trial(name, not wrong, wrong or told)


def _checked(connection: client.Connection) -> tuple[str, str]:
    client.execute(connection, SQL("CREATE EXTENSION IF NOT EXISTS amcheck").format())
    wrong = "; ".join(text for (text,) in client.rows(connection, _HEAP))
    ((indexes,),) = client.rows(connection, _INDEXES)
    return wrong, f"amcheck: every table, and {indexes} indexes with what they point to"


def _counted(connection: client.Connection) -> tuple[str, str]:
    tables = client.rows(connection, _TABLES)
    for table in tables:
        client.rows(connection, SQL("SELECT count(*) FROM {}").format(Identifier(*table)))
    return "", f"{len(tables)} tables read (the extension amcheck is not installed)"
