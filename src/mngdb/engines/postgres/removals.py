"""DROP TABLE and DROP DATABASE in a write-ahead log.

The log has no statements. A transaction that dropped something names at its end the statistics that
go with it: by the OID of a table and of its database. What these were called, the snapshot knows.
https://github.com/postgres/postgres/blob/REL_17_STABLE/src/include/access/xact.h
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from contextlib import suppress

from msgspec import Struct

from mngdb.engines.postgres import client
from mngdb.engines.postgres.wal_records import Walk
from mngdb.errors import StepError, UnobservableError
from mngdb.snapshot import Removal, Saved, Sink

DROP_TABLE, DROP_DATABASE = "DROP TABLE", "DROP DATABASE"
#: Whose records end transactions, and which of those that `_KIND` tells apart do.
_TRANSACTIONS, _KIND = 1, 0x70
_COMMITS, _ABORTS = frozenset({0x00, 0x30}), frozenset({0x20, 0x40})
#: What follows the time in such a record.
_MORE = 0x80
_DATABASE, _CHILDREN, _FILES, _STATISTICS = 1 << 0, 1 << 1, 1 << 2, 1 << 8
#: Bytes of a dropped file's name.
_FILE = 12
#: Statistics of a database, and of a relation.
_OF_DATABASE, _OF_RELATION = 1, 2
#: What a record's own data begins with, and what may be before it (where it was replicated from,
#: the transaction that it is a part of): first byte to bytes.
_OWN, _BESIDE = {255: 2, 254: 5}, {253: 3, 252: 5}
#: Microseconds since 2000 are the server's time.
_EPOCH = 946_684_800
#: The stream that has them: OID of a database → its name, and OID → name of its tables.
NAMES = "names.json"
_DATABASES = "SELECT oid::int8::text, datname FROM pg_database WHERE NOT datistemplate"
_TABLES = """
    SELECT c.oid::int8::text, n.nspname || '.' || c.relname
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
      AND n.nspname NOT IN ('pg_catalog', 'information_schema')
"""


def keep_names(session: client.Session, sink: Sink) -> None:
    """Write what everything is called into a snapshot. A database that cannot be read is named, its
    tables are not. Raises StepError, ConnectError."""
    found: dict[str, tuple[str, dict[str, str]]] = {}
    for oid, name in session.rows(_DATABASES):
        tables: dict[str, str] = {}
        with suppress(StepError, UnobservableError), session.inside(name) as connection:
            tables = dict(client.rows(connection, _TABLES))
        found[oid] = name, tables
    with sink.stream(NAMES) as stream:
        stream.write(json.dumps(found).encode())


def removals(saved: Saved) -> Iterator[Removal]:
    """Those of databases and tables that the snapshot has, and that something was dropped which it
    has not: a table or an index, or what a table was rewritten in. Raises MngdbError.

    What a DROP DATABASE does to files is not undone where its transaction does not commit: its
    position is before all that the transaction did, after the last one that committed."""
    point = saved.taken.log
    if point is None or NAMES not in saved.names:
        return
    names = json.loads(b"".join(saved.read(NAMES)))
    wide = int(saved.taken.version.partition(".")[0]) >= 18
    walk = Walk(point.position)
    #: Transaction to the end of the last one that had committed when it began to write.
    begun: dict[int, int] = {}
    committed = point.position
    for piece in saved.log():
        for record in walk.records(piece):
            if record.transaction and record.transaction not in begun:
                begun[record.transaction] = committed
            kind = record.info & _KIND
            if record.manager != _TRANSACTIONS or kind not in _COMMITS | _ABORTS:
                continue
            end = _end(walk.content(record), more=bool(record.info & _MORE), wide=wide)
            before = begun.pop(record.transaction, committed)
            for child in end.children:
                begun.pop(child, None)
            if kind in _ABORTS:
                continue
            position, known = walk.position(record.at), False
            for which, database, oid in end.dropped:
                name, tables = names.get(str(database), ("", {}))
                if which == _OF_RELATION and str(oid) in tables:
                    target, known = f"{name}.{tables[str(oid)]}", True
                    yield Removal(position, end.moment, (DROP_TABLE,), target)
                elif which == _OF_DATABASE and name:
                    known = True
                    yield Removal(before, end.moment, (DROP_DATABASE,), name)
            # of temporary tables, no file is named
            if end.files and not known and any(one[0] == _OF_RELATION for one in end.dropped):
                yield Removal(position, end.moment, (DROP_TABLE,), unnamed=True)
            committed = walk.position(record.at + record.length + -record.length % 8)


class _End(Struct, frozen=True):
    """The end of a transaction, which removed so many `files`. `dropped`: kind of statistics, OID
    of the database, OID."""

    moment: float
    children: tuple[int, ...] = ()
    files: int = 0
    dropped: tuple[tuple[int, int, int], ...] = ()


class _Numbers:
    """Reads numbers one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def next(self, form: str = "<I") -> int:
        """The next one, of this form of `struct`."""
        found: int = struct.unpack_from(form, self._data, self.at)[0]
        self.at += struct.calcsize(form)
        return found


def _end(content: bytes, *, more: bool, wide: bool) -> _End:
    """`more`: there is more than the time; `wide`: OIDs of statistics have eight bytes."""
    data = _Numbers(_own(content))
    moment = data.next("<q") / 1e6 + _EPOCH
    flags = data.next() if more else 0
    if flags & _DATABASE:
        data.at += 8
    children: tuple[int, ...] = ()
    if flags & _CHILDREN:
        children = tuple(data.next() for _ in range(data.next()))
    files = data.next() if flags & _FILES else 0
    data.at += files * _FILE
    oid = "<Q" if wide else "<I"
    count = data.next() if flags & _STATISTICS else 0
    dropped = tuple((data.next(), data.next(), data.next(oid)) for _ in range(count))
    return _End(moment, children, files, dropped)


def _own(content: bytes) -> bytes:
    """The data of a record that is about no page, after what else it may say."""
    at = 0
    while content[at] not in _OWN:
        at += _BESIDE[content[at]]
    return content[at + _OWN[content[at]] :]
