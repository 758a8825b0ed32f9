"""Figures of tables and indexes: those of the file's databases, looked into one after the other.

The exporter shows those of the one database that it is connected to, without the label `datname`
at indexes. Here they are those of the first ten: each look costs a login.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterable, Sequence
from itertools import chain
from math import nan

from mngdb.engines.postgres.batch import Refusal, Rows, ask
from mngdb.engines.postgres.client import Session
from mngdb.engines.postgres.metric_queries import (
    INDEX_COLUMNS,
    INDEXES,
    PATIENCE,
    TABLE_COLUMNS,
    TABLE_SIZES,
    TABLES,
    TABLES_COUNTED,
)
from mngdb.engines.postgres.metric_rows import CLOCK, between, columns
from mngdb.errors import ConnectError, UnobservableError
from mngdb.samples import Columns, Family, Ration, Sample, families

#: What a login costs the server, in seconds: a process, SCRAM, the first look into the catalogue.
_LOGIN = 0.006
#: Seconds until a database that could not be entered is tried again.
_LATER = 30.0
_TABLE = ("datname", "schemaname", "relname")
_INDEX = (*_TABLE, "indexrelname")
_ASKED = {
    "begun": CLOCK,
    "tables": TABLES,
    "sizes": TABLE_SIZES,
    "indexes": INDEXES,
    "done": CLOCK,
}


class Tables:
    """What is known of the tables of some databases."""

    def __init__(self, session: Session, inside: Sequence[str], share: float) -> None:
        """Looks may take `share` of a core of the server, all of them together."""
        self._session = session
        self._tables: dict[str, Columns] = {}
        self._indexes: dict[str, Columns] = {}
        self._left_out: dict[str, int] = {}
        self._ration = {name: Ration(share / len(inside)) for name in inside}
        self.refused: dict[str, Refusal] = {}
        """Databases that could be entered and that left a question open the last time."""

    def look(self, databases: Iterable[str], deadline: float) -> None:
        """Ask those of `databases` whose turn has come."""
        there = set(databases)
        for name, ration in self._ration.items():
            if name in there and ration.due and time.monotonic() < deadline:
                self._look_into(name, deadline)

    def families(self, databases: Iterable[str]) -> Iterable[Family]:
        """What is known of these databases now."""
        there = set(databases) & self._ration.keys()
        named = [name for name in self._ration if name in there]
        tables = [self._tables[name] for name in named if name in self._tables]
        indexes = [self._indexes[name] for name in named if name in self._indexes]
        left_out = {name: self._left_out[name] for name in named if name in self._left_out}
        return chain(
            families(TABLE_COLUMNS, tables),
            families(INDEX_COLUMNS, indexes),
            [_left_out(left_out)],
        )

    def _look_into(self, name: str, deadline: float) -> None:
        """A database that cannot be entered (it is gone, it takes no connections) has no tables to
        count; the server's other metrics do not suffer from that. The connection is not kept: it
        would keep its owner from dropping or renaming the database."""
        left = deadline - time.monotonic()
        self.refused.pop(name, None)
        try:
            with self._session.inside(name, left, **PATIENCE) as inside:
                said = ask(inside, _ASKED, left)
        except (ConnectError, UnobservableError):
            self._tables.pop(name, None)
            self._indexes.pop(name, None)
            self._left_out.pop(name, None)
            self._ration[name].wait(_LATER)
            return
        tables, sizes, indexes = said["tables"], said["sizes"], said["indexes"]
        for answer in (tables, sizes, indexes):
            if isinstance(answer, Refusal):
                self.refused[name] = answer
        if not isinstance(tables, Refusal):
            by_table = {} if isinstance(sizes, Refusal) else _pairs(sizes)
            size = array("d", (by_table.get(one, nan) for one in tables.column(0)))
            kept = columns(tables, _TABLE, len(TABLE_COLUMNS) - 1, first=1)
            self._tables[name] = Columns(kept.labels, [*kept.values, size])
            self._left_out[name] = _total(tables) - len(tables)
        if not isinstance(indexes, Refusal):
            self._indexes[name] = columns(indexes, _INDEX, len(INDEX_COLUMNS))
        self._ration[name].spend(between(said["begun"], said["done"]) + _LOGIN)


def _left_out(found: dict[str, int]) -> Family:
    name = "mngdb_postgres_tables_left_out"
    words = f"Tables that are not counted: the {TABLES_COUNTED} largest of a database are"
    samples = [Sample(name, (("datname", one),), float(count)) for one, count in found.items()]
    return Family(name, "gauge", words, samples)


def _total(rows: Rows) -> int:
    at = 1 + len(_TABLE) + len(TABLE_COLUMNS) - 1
    return next((int(total or 0) for total in rows.column(at)), 0)


def _pairs(rows: Rows) -> dict[bytes | None, float]:
    return {table: float(size) for table, size in rows if size is not None}
