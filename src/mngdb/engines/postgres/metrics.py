"""PostgreSQL's metrics, under the names and labels of postgres_exporter (0.17), in one round trip.

What costs the server more than a blink (sizes of many databases, counts of many tables) is asked
again only when the pause since has been long enough: see `_SHARE`. Settings are asked again when
the server has read its files. Left out of the exporter's names: what it counts of itself.

Per-table figures: the exporter shows those of the one database that it is connected to. Here they
are those of the file's databases (the first ten: each look costs a login).
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from math import nan

from mngdb.engines.postgres.batch import Rows, ask
from mngdb.engines.postgres.client import Session
from mngdb.engines.postgres.metric_queries import (
    CHEAP,
    SETTINGS,
    SIZES,
    SIZES_MAX,
    TABLE_COLUMNS,
    TABLES,
    TABLES_COUNTED,
    Query,
)
from mngdb.engines.postgres.metric_settings import settings
from mngdb.errors import ConnectError, UnobservableError
from mngdb.samples import Columns, Family, Ration, Sample, families

#: Dear queries may take this share of a core of the server, those for tables and the one for sizes
#: each.
_SHARE = 0.002
#: What a login costs the server, in seconds: a process, SCRAM, the first look into the catalogue.
_LOGIN = 0.006
#: Seconds until a database that could not be entered is tried again.
_LATER = 30.0
_CLOCK = "SELECT extract(epoch FROM clock_timestamp())"
_STATES = (
    "active", "idle", "idle in transaction", "idle in transaction (aborted)",
    "fastpath function call", "disabled",
)  # fmt: skip
_MODES = (
    "accesssharelock", "rowsharelock", "rowexclusivelock", "shareupdateexclusivelock", "sharelock",
    "sharerowexclusivelock", "exclusivelock", "accessexclusivelock", "sireadlock",
)  # fmt: skip


Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Scrapes one server over one session, and looks into the databases `inside` over others. Not
    for several threads."""

    def __init__(self, session: Session, inside: Sequence[str]) -> None:
        self._session = session
        self._server = f"{session.access.host}:{session.access.port}"
        self._sizes: dict[str, float] = {}
        self._sizes_after = 0
        self._sizes_whole = False
        self._sizes_ration = Ration(_SHARE)
        self._tables: dict[str, Columns] = {name: Columns() for name in inside}
        self._left_out: dict[str, int] = {}
        self._tables_ration = {name: Ration(_SHARE / len(inside)) for name in inside}
        self._settings: list[Family] = []
        self._loaded = ""

    def close(self) -> None:
        """There is only the session."""

    def scrape(self, timeout: float) -> Iterable[Family]:
        """Every family. `timeout` in seconds. Raises ConnectError, UnobservableError."""
        deadline = time.monotonic() + timeout
        version = self._session.main.pgconn.server_version // 10_000
        queries = [query for query in CHEAP if query.since <= version]
        asked = [query.sql for query in queries]
        asked.append(SETTINGS.replace("{loaded}", self._loaded))
        # the first round goes from scrape to scrape, the later ones are rationed
        sizes_due = self._sizes_ration.due or not self._sizes_whole
        if sizes_due:
            asked += [_CLOCK, SIZES.format(after=self._sizes_after, limit=SIZES_MAX), _CLOCK]
        answers = ask(self._session.main, asked, timeout)
        databases = [_text(name) for name in answers[0].column(0)]
        self._keep_settings(answers[len(queries)])
        if sizes_due:
            self._keep_sizes(*answers[len(queries) + 1 :])
        there = self._inside(set(databases), deadline)
        return chain(
            self._answered(queries, answers, databases),
            self._settings,
            _sizes(dict(self._sizes), databases),
            families(TABLE_COLUMNS, there),
            [
                _left_out(
                    {name: self._left_out[name] for name in databases if name in self._left_out}
                )
            ],
        )

    def _answered(
        self, queries: Sequence[Query], answers: Sequence[Rows], databases: Sequence[str]
    ) -> Iterator[Family]:
        """One family at a time: with hundreds of databases they are many samples."""
        for query, rows in zip(queries, answers, strict=False):
            for family in query.families(rows, self._server):
                yield _filled(family, databases, self._server)

    def _keep_settings(self, rows: Rows) -> None:
        for loaded in rows.column(0):
            self._loaded = _text(loaded)
            self._settings = settings([row[1:] for row in rows], self._server)
            break

    def _keep_sizes(self, begun: Rows, rows: Rows, done: Rows) -> None:
        self._sizes |= {_text(name): float(size or 0) for name, size, _ in rows}
        last = len(rows) < SIZES_MAX
        self._sizes_after = 0 if last else max(int(number or 0) for number in rows.column(2))
        self._sizes_whole = self._sizes_whole or last
        self._sizes_ration.spend(_between(begun, done))

    def _inside(self, databases: set[str], deadline: float) -> list[Columns]:
        found = []
        for name in self._tables:
            if name in databases:
                if self._tables_ration[name].due:
                    self._look_into(name, deadline)
                found.append(self._tables[name])
        return found

    def _look_into(self, name: str, deadline: float) -> None:
        """A database that cannot be entered (it is gone, it takes no connections) has no tables to
        count; the server's other metrics do not suffer from that. The connection is not kept: it
        would keep its owner from dropping or renaming the database."""
        left = max(0.1, deadline - time.monotonic())
        try:
            with self._session.inside(name, left) as inside:
                begun, rows, done = ask(inside, [_CLOCK, TABLES, _CLOCK], left)
            self._tables[name] = _columns(rows)
            self._left_out[name] = _total(rows) - len(rows)
        except (ConnectError, UnobservableError):
            self._tables[name] = Columns()
            self._left_out.pop(name, None)
            self._tables_ration[name].wait(_LATER)
        else:
            self._tables_ration[name].spend(_between(begun, done) + _LOGIN)


def _between(before: Rows, after: Rows) -> float:
    (begun,), (done,) = before.column(0), after.column(0)
    return float(done or 0) - float(begun or 0)


def _text(value: bytes | None) -> str:
    return value.decode(errors="replace") if value is not None else ""


def _sizes(sizes: dict[str, float], databases: Sequence[str]) -> Iterator[Family]:
    """Of the databases that there are; one that is new is absent until its turn has come."""
    name = "pg_database_size_bytes"
    samples = [Sample(name, (("datname", one),), sizes[one]) for one in databases if one in sizes]
    yield Family(name, "gauge", "Disk space used by the database", samples)


def _left_out(found: dict[str, int]) -> Family:
    name = "mngdb_postgres_tables_left_out"
    text = f"Tables that are not counted: the {TABLES_COUNTED} largest of a database are"
    samples = [Sample(name, (("datname", one),), float(count)) for one, count in found.items()]
    return Family(name, "gauge", text, samples)


def _total(rows: Rows) -> int:
    return next((int(total or 0) for total in rows.column(3 + len(TABLE_COLUMNS))), 0)


def _filled(family: Family, databases: Sequence[str], server: str) -> Family:
    """With the zeros that the exporter shows for what nobody does in a database."""
    at = _FILLED.get(family.name)
    if at is None:
        return family
    words, makes = at
    there = {(dict(one.labels)["datname"], dict(one.labels)[words]) for one in family.samples}
    zeros = [
        Sample(family.name, makes(name, word, server), 0.0)
        for name in databases
        for word in (_MODES if words == "mode" else _STATES)
        if (name, word) not in there
    ]
    return family._replace(samples=[*family.samples, *zeros])


def _no_locks(database: str, mode: str, _: str) -> Labels:
    return (("datname", database), ("mode", mode))


def _idle(database: str, state: str, server: str) -> Labels:
    return (
        ("application_name", ""),
        ("backend_type", ""),
        ("datname", database),
        ("server", server),
        ("state", state),
        ("usename", ""),
        ("wait_event", ""),
        ("wait_event_type", ""),
    )


#: Family to the label that has a zero for each of its words, and how labels are made.
_FILLED: dict[str, tuple[str, Callable[[str, str, str], Labels]]] = {
    "pg_locks_count": ("mode", _no_locks),
    "pg_stat_activity_count": ("state", _idle),
    "pg_stat_activity_max_tx_duration": ("state", _idle),
}


def _columns(rows: Rows) -> Columns:
    """What is kept of a database's tables: the rows themselves would be five times as large."""
    same: dict[tuple[str, str], tuple[str, str]] = {}  # thousands of tables, a few schemas
    labels: list[Labels] = []
    for row in rows:
        database, schema = ("datname", _text(row[0])), ("schemaname", _text(row[1]))
        table = ("relname", _text(row[2]))
        labels.append((same.setdefault(database, database), table, same.setdefault(schema, schema)))
    values = [
        array("d", (nan if value is None else float(value) for value in rows.column(column)))
        for column in range(3, 3 + len(TABLE_COLUMNS))
    ]
    return Columns(labels, values)
