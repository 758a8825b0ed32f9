"""PostgreSQL's metrics, under the names and labels of postgres_exporter (0.17), in one round trip.

What costs the server more than a blink (sizes of many databases, counts of many tables) is asked
again only when the pause since has been long enough: see `_SHARE`. Settings are asked again when
the server has read its files. Left out of the exporter's names: what it counts of itself.

Per-table figures: the exporter shows those of the one database that it is connected to. Here they
are those of the file's databases (the first ten: each look costs a login).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain

from mngdb.engines.postgres import client
from mngdb.engines.postgres.batch import Row, ask
from mngdb.engines.postgres.client import Session
from mngdb.engines.postgres.metric_queries import (
    CHEAP,
    SETTINGS,
    SIZES,
    SIZES_MAX,
    TABLE_COLUMNS,
    TABLES,
)
from mngdb.engines.postgres.metric_settings import settings
from mngdb.errors import ConnectError, UnobservableError
from mngdb.samples import Family, Ration, Sample

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
        self._tables: dict[str, list[Row]] = {name: [] for name in inside}
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
        found: list[Family] = []
        databases: list[str] = []
        for query, rows in zip(queries, answers, strict=False):
            found += query.families(rows, self._server)
            if query is CHEAP[0]:
                databases = [_text(row[0]) for row in rows]
        self._keep_settings(answers[len(queries)])
        if sizes_due:
            self._keep_sizes(*answers[len(queries) + 1 :])
        found += self._settings
        found += _sizes(self._sizes, databases)
        found = [_filled(family, databases, self._server) for family in found]
        return chain(found, _tables(self._table_rows(set(databases), deadline)))

    def _keep_settings(self, rows: list[Row]) -> None:
        if rows:
            self._loaded = _text(rows[0][0])
            self._settings = settings([row[1:] for row in rows], self._server)

    def _keep_sizes(self, begun: list[Row], rows: list[Row], done: list[Row]) -> None:
        self._sizes |= {_text(name): float(size or 0) for name, size, _ in rows}
        last = len(rows) < SIZES_MAX
        self._sizes_after = 0 if last else int(rows[-1][2] or 0)
        self._sizes_whole = self._sizes_whole or last
        self._sizes_ration.spend(_between(begun, done))

    def _table_rows(self, databases: set[str], deadline: float) -> list[Row]:
        rows: list[Row] = []
        for name in self._tables:
            if name in databases:
                if self._tables_ration[name].due:
                    self._look_into(name, deadline)
                rows += self._tables[name]
        return rows

    def _look_into(self, name: str, deadline: float) -> None:
        """A database that cannot be entered (it is gone, it takes no connections) has no tables to
        count; the server's other metrics do not suffer from that. The connection is not kept: it
        would keep its owner from dropping or renaming the database."""
        left = max(0.1, deadline - time.monotonic())
        try:
            with client.open_connection(self._session.access, left, name) as inside:
                begun, self._tables[name], done = ask(inside, [_CLOCK, TABLES, _CLOCK], left)
        except (ConnectError, UnobservableError):
            self._tables[name] = []
            self._tables_ration[name].wait(_LATER)
        else:
            self._tables_ration[name].spend(_between(begun, done) + _LOGIN)


def _between(before: list[Row], after: list[Row]) -> float:
    return float(after[0][0] or 0) - float(before[0][0] or 0)


def _text(value: bytes | None) -> str:
    return value.decode(errors="replace") if value is not None else ""


def _sizes(sizes: dict[str, float], databases: Sequence[str]) -> Iterator[Family]:
    """Of the databases that there are; one that is new is absent until its turn has come."""
    name = "pg_database_size_bytes"
    samples = [Sample(name, (("datname", one),), sizes[one]) for one in databases if one in sizes]
    yield Family(name, "gauge", "Disk space used by the database", samples)


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


@lru_cache(maxsize=16384)
def _no_locks(database: str, mode: str, _: str) -> Labels:
    return (("datname", database), ("mode", mode))


@lru_cache(maxsize=16384)
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


def _tables(rows: list[Row]) -> Iterator[Family]:
    """One family at a time: with thousands of tables they are many samples."""
    labels = [
        (("datname", _text(row[0])), ("relname", _text(row[2])), ("schemaname", _text(row[1])))
        for row in rows
    ]
    for column, (name, kind, text) in enumerate(TABLE_COLUMNS, start=3):
        samples = [
            Sample(name, label, float(value))
            for label, row in zip(labels, rows, strict=True)
            if (value := row[column]) is not None
        ]
        yield Family(name, kind, text, samples)
