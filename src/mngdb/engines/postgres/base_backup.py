"""A snapshot of a whole cluster, streamed by the server over the replication protocol.

The protocol's own command, as pg_basebackup sends it, and not pg_basebackup: that program writes
several archives (tablespaces) to a disk only, and a store takes them without that detour.
https://www.postgresql.org/docs/17/protocol-replication.html#PROTOCOL-REPLICATION-BASE-BACKUP
"""

from __future__ import annotations

import re
import selectors
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg import pq
from psycopg.sql import SQL, Identifier

from mngdb import disk
from mngdb.engines.postgres import (
    caveats,
    client,
    incremental,
    removals,
    replay,
    replication,
    unpack,
)
from mngdb.engines.postgres.causes import first_line
from mngdb.errors import MngdbError, StepError, UnobservableError
from mngdb.model import Access, DesiredInstance
from mngdb.run import Account
from mngdb.snapshot import Base, Kind, Point, Saved, Sink, Taken, Trial, Writer

#: What is streamed: the checkpoint at once, and with it the log that makes it consistent.
_COMMAND = (
    "BASE_BACKUP (LABEL 'mngdb', PROGRESS, CHECKPOINT 'fast', WAL, MANIFEST 'yes', "
    "TABLESPACE_MAP, TARGET 'client'{more})"
)
#: The first major version that speaks so.
_SINCE = 15
_TIMEOUT = 30.0
#: Seconds that a statement which reads one database may take, whatever its size, bytes that it
#: reads in a second at the least, and seconds until one that does not end is left.
_READ, _RATE, _LATE = 300.0, 10e6, 5.0
#: Seconds between two looks at what the server sends: TLS may have taken it from the socket.
_LOOK = 1.0
_DATABASES = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1"
_AMCHECK = "SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck'"
_LACKING = """
    SELECT extname FROM pg_extension
    WHERE extname NOT IN (SELECT name FROM pg_available_extensions) ORDER BY 1
"""
#: An app may have it in a schema of its own, where a function of the app's can have its names.
_INSTALL: tuple[LiteralString, ...] = (
    "CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA pg_catalog",
    "ALTER EXTENSION amcheck SET SCHEMA pg_catalog",
    "ALTER EXTENSION amcheck UPDATE",
)
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
_OID = re.compile("[0-9]{1,10}", re.ASCII)


def back_up(session: client.Session, access: Access, sink: Sink) -> Taken:
    """Stream every file of the cluster, or what has changed since the sink's base. Raises
    StepError, ConnectError, OSError."""
    version = incremental.major(session)
    if version < _SINCE:
        raise StepError(
            f"PostgreSQL {version} cannot be backed up by mngdb",
            f"it has to be {_SINCE} or later; use pg_basebackup",
        )
    ((databases, tables),) = session.rows(
        f"SELECT (SELECT count(*) FROM pg_database WHERE NOT datistemplate), ({client.SIZE})"  # noqa: S608
    )
    with client.replication(access, _TIMEOUT) as wire, _told():
        (system, number, *_), *_ = replication.rows(wire, "IDENTIFY_SYSTEM")
        base = _fitting(session, sink, replication.branch(session, system, number))
        kind, begin = _begun(wire, base, sink)
        spaces = replication.next_rows(wire)
        size = sum(int(size) for _, _, size in spaces) * 1024
        if kind == "full":
            sink.expect(size)
        _archives(wire, sink, keep=incremental.possible(session))
        ((end, timeline),) = replication.next_rows(wire)
        replication.drain(wire)
    ((moment,),) = session.rows("SELECT extract(epoch FROM clock_timestamp())::float8")
    removals.keep_names(session, sink)
    return Taken(
        kind=kind,
        product="PostgreSQL",
        version=str(session.main.info.parameter_status("server_version")).split(" ")[0],
        source=system,
        position={"begin": begin, "end": end, "timeline": timeline},
        counts={"databases": databases, "bytes": tables},
        notes={
            "tablespaces": {oid: path for oid, path, _ in spaces if oid},
            caveats.SLOTS: caveats.slots(session),
        },
        moment=moment,
        log=Point(replication.branch(session, system, timeline), replication.lsn(end)),
        size=size,
    )


def _fitting(session: client.Session, sink: Sink, branch: str) -> Base | None:
    """What the backup builds on; None: a full one is taken, and people are told why."""
    base, major = sink.base, incremental.major(session)
    off = major >= incremental.SINCE and not incremental.possible(session)
    why = incremental.changed(base, major, branch) if base is not None else ""
    if not why and off:
        why = "summarize_wal is off"
    if why:
        sink.tell(f"full snapshot: {why}")
    return None if why else base


def _begun(wire: pq.abc.PGconn, base: Base | None, sink: Sink) -> tuple[Kind, str]:
    """Have the server begin; of which kind it is, and where it begins. A base that the server
    refuses costs a full backup. Raises StepError."""
    if base is not None:
        try:
            incremental.upload(wire, base)
            wire.send_query(_COMMAND.format(more=", INCREMENTAL").encode())
            ((begin, _),) = replication.next_rows(wire)
        except replication.RefusedError as error:
            sink.tell(f"full snapshot: {error.message}")
            replication.drain(wire)
        else:
            return "incremental", begin
    wire.send_query(_COMMAND.format(more="").encode())
    ((begin, _),) = replication.next_rows(wire)
    return "full", begin


@contextmanager
def _told() -> Iterator[None]:
    """What the driver raises when the server goes away, as a StepError."""
    try:
        yield
    except psycopg.Error as error:
        raise StepError(f"PostgreSQL ended the backup: {first_line(error)}") from None


def _archives(wire: pq.abc.PGconn, sink: Sink, *, keep: bool) -> None:
    """Every archive that comes, each as a stream; the manifest is the last, and stays here with
    `keep`. Raises StepError."""
    result = replication.result(wire)
    if result is None or result.status != pq.ExecStatus.COPY_OUT:
        raise StepError("PostgreSQL sent no data")
    with ExitStack() as opened:
        writer: Writer | None = None
        for message in _messages(wire):
            kind, data = bytes(message[:1]), message[1:]
            if kind == b"d" and writer is not None:
                writer.write(data)
            elif kind == b"n":
                opened.close()
                name = bytes(data).split(b"\0")[0].decode()
                writer = opened.enter_context(sink.stream(name))
            elif kind == b"m":
                opened.close()
                writer = opened.enter_context(sink.stream(MANIFEST, keep=keep))
            elif kind != b"p":
                raise StepError(f"PostgreSQL sent a message of an unknown kind: {kind!r}")


def _messages(wire: pq.abc.PGconn) -> Iterator[memoryview]:
    # the driver's own wait keeps Python's lock: the threads that seal parts would wait, too
    with selectors.PollSelector() as selector:
        selector.register(wire.socket, selectors.EVENT_READ)
        while True:
            size, data = wire.get_copy_data(1)
            if size > 0:
                yield data
            elif size < 0:
                return
            else:
                selector.select(_LOOK)
                wire.consume_input()


def lay(asked: DesiredInstance, saved: Saved, folder: Path, account: Account | None) -> None:
    """Unpack the archives, tablespaces beside the data folder, and replay the log. Raises
    MngdbError."""
    _need_same_major(asked, saved.taken)
    _unpacked(asked, saved, folder, account)
    try:
        replay.recover(asked, saved, folder, account)
    except replay.OvershotError:
        disk.remove(folder)
        disk.remove(_spaces(folder))
        disk.folder(folder, owner=account)
        _unpacked(asked, saved, folder, account)
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


def _unpacked(asked: DesiredInstance, saved: Saved, folder: Path, account: Account | None) -> None:
    spaces = _spaces(folder)
    if _oids(saved.taken):
        disk.folder(spaces, owner=account)
    if saved.parents:
        _combined(asked, saved, folder, account)
    else:
        _extracted(saved, folder, spaces, account)
    if oids := _oids(saved.taken):
        map_of_them = folder / "tablespace_map"
        with disk.acting(account):
            map_of_them.unlink(missing_ok=True)  # it says where they were
        lines = (f"{oid} {spaces / oid}\n".encode() for oid in oids)
        unpack.file(lines, map_of_them, account)


def _extracted(saved: Saved, folder: Path, spaces: Path, account: Account | None) -> None:
    """The files of one snapshot as they came, its tablespaces' in a folder each in `spaces`."""
    unpack.tar(saved.read("base.tar"), folder, account)
    unpack.file(saved.read(MANIFEST), folder / MANIFEST, account)
    for oid in _oids(saved.taken):
        unpack.folder(spaces / oid, account)
        unpack.tar(saved.read(f"{oid}.tar"), spaces / oid, account)


def _combined(asked: DesiredInstance, saved: Saved, folder: Path, account: Account | None) -> None:
    """The files of a snapshot that builds on others, all of which are unpacked beside the data
    folder, on its disk, for that long. Tablespaces lie within their folders meanwhile."""
    if asked.site is None:
        raise ValueError("there is no program to combine with")
    work, spaces = folder.with_name("chain"), _spaces(folder)
    disk.folder(work, owner=account)
    try:
        chain = []
        for number, one in enumerate((*saved.parents, saved)):
            at = work / str(number)
            unpack.folder(at, account)
            _extracted(one, at, at / "pg_tblspc", account)
            chain.append(at)
        incremental.combine(asked.site.program, chain, folder, account)
    finally:
        disk.remove(work)
    for oid in _oids(saved.taken):
        with disk.acting(account):
            (folder / "pg_tblspc" / oid).rename(spaces / oid)


def _oids(taken: Taken) -> list[str]:
    """The tablespaces of a snapshot. Raises MngdbError for what is no number: it names folders."""
    found = list(taken.notes.get("tablespaces", {}))
    for one in found:
        if not _OID.fullmatch(one):
            raise MngdbError(f"the snapshot has a tablespace that is no number: {one!r}")
    return found


def _spaces(folder: Path) -> Path:
    # no two data folders' have one name: they may come to lie beside each other
    return folder.with_name(f"tablespaces-{folder.name.rpartition('-')[2]}")


def prove(session: client.Session, taken: Taken) -> tuple[Trial, ...]:
    """What the restored server is, and whether each page of it can be read. Installs the extension
    `amcheck` where there is it. Raises UnobservableError, StepError, ConnectError."""
    ((found, recovering),) = session.rows(
        "SELECT (SELECT system_identifier::text FROM pg_control_system()), pg_is_in_recovery()"
    )
    names = [name for (name,) in session.rows(_DATABASES)]
    wanted = taken.counts.get("databases", 0)
    same = found == taken.source or taken.kind == "logical"  # which another cluster has
    return (
        Trial("identity", same, f"system identifier {found}"),
        Trial("recovered", not recovering, "in recovery" if recovering else "out of recovery"),
        Trial(
            "databases", len(names) >= wanted, f"{len(names)}" + (f" of {wanted}" if wanted else "")
        ),
        *(_readable(session, name) for name in names),
        *(Trial(name, False, f"not in the snapshot: {why}") for name, why in taken.missing.items()),
    )


def _readable(session: client.Session, database: str) -> Trial:
    name = f"database {database}"
    try:
        ((size,),) = session.rows("SELECT pg_database_size(%s)", database)
        limit = _READ + size / _RATE
        with session.inside(database, statement_timeout=f"{limit:.0f}s") as connection:
            connection.patience = limit + _LATE  # code of an app's index can catch the other
            if lacking := ", ".join(one for (one,) in client.rows(connection, _LACKING)):
                return Trial(name, False, f"the program here lacks extensions of it: {lacking}")
            ((amcheck,),) = client.rows(connection, _AMCHECK)
            wrong, told = (_checked if amcheck else _counted)(connection)
    except (StepError, UnobservableError) as error:
        return Trial(name, False, error.message)
    return Trial(name, not wrong, wrong or told)


def _checked(connection: client.Connection) -> tuple[str, str]:
    client.execute(connection, *(SQL(one).format() for one in _INSTALL))
    wrong = "; ".join(text for (text,) in client.rows(connection, _HEAP))
    ((indexes,),) = client.rows(connection, _INDEXES)
    return wrong, f"amcheck: every table, and {indexes} indexes with what they point to"


def _counted(connection: client.Connection) -> tuple[str, str]:
    client.only_tables(connection)
    tables = client.rows(connection, _TABLES)
    for table in tables:
        client.rows(connection, SQL("SELECT count(*) FROM {}").format(Identifier(*table)))
    return "", f"{len(tables)} tables read (the extension amcheck is not installed)"
