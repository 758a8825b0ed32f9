"""PostgreSQL's metrics, under the names and labels of postgres_exporter (0.17), in one round trip.

Each question is a transaction of its own: one that is refused, or that waits for a lock, costs its
own figures. `pg_scrape_collector_success` tells which; those that the login may not ask are left
out of it, as is a collector that is switched off.

What costs the server more than a blink (sizes of many databases, counts of many tables, costs of
statements) is asked again only when the pause since has been long enough: see `_SHARE`. Settings
are asked again when the server has read its files. Left out of the exporter's names: what it counts
of itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain

from mngdb.engines.postgres.batch import Refusal, Rows, ask
from mngdb.engines.postgres.client import Session
from mngdb.engines.postgres.metric_queries import (
    CHEAP,
    EXTENSION,
    PATIENCE,
    SETTINGS,
    SIZES,
    SIZES_MAX,
    STATEMENT_COLUMNS,
    STATEMENT_LABELS,
    STATEMENTS,
)
from mngdb.engines.postgres.metric_rows import CLOCK, between, columns, text
from mngdb.engines.postgres.metric_settings import settings
from mngdb.engines.postgres.metric_tables import Tables
from mngdb.samples import Columns, Family, Labels, Ration, Sample, families

#: Dear queries may take this share of a core of the server: those for tables, the one for sizes and
#: the one for statements each.
_SHARE = 0.002
#: Seconds until one that was refused is asked again.
_LATER = 30.0
_SUCCESS = "pg_scrape_collector_success"
_REFUSED = "mngdb_postgres_questions_refused"
_STATES = (
    "active", "idle", "idle in transaction", "idle in transaction (aborted)",
    "fastpath function call", "disabled",
)  # fmt: skip
_MODES = (
    "accesssharelock", "rowsharelock", "rowexclusivelock", "shareupdateexclusivelock", "sharelock",
    "sharerowexclusivelock", "exclusivelock", "accessexclusivelock", "sireadlock",
)  # fmt: skip

#: Parts that are not of `CHEAP`.
_PARTS = {"settings": "settings", "sizes": "database", "costs": "stat_statements"}
#: Whether sessions of others are shown: without it, none would seem to be a short one.
_SEES = "SELECT pg_has_role('pg_read_all_stats', 'USAGE')"
#: The query of `CHEAP` that tells the databases.
_DATABASES = "0"

Said = Mapping[str, Rows | Refusal]
#: Name and value of a label.
Pair = tuple[str, str]


class Metrics:
    """Scrapes one server over one session, and looks into the databases `inside` over others. Not
    for several threads."""

    def __init__(self, session: Session, inside: Sequence[str]) -> None:
        self._session = session
        self._server = f"{session.access.host}:{session.access.port}"
        self._patient = False
        version = session.main.pgconn.server_version // 10_000
        self._cheap = {
            str(number): query
            for number, query in enumerate(CHEAP)
            if query.since <= version <= query.until
        }
        self._databases: list[str] = []
        self._sizes: dict[str, float] = {}
        self._sizes_after = 0
        self._sizes_whole = False
        self._sizes_ration = Ration(_SHARE)
        self._extension = ""
        self._io = "shared_" if version >= 17 else ""
        self._statements = Columns()
        self._statements_ration = Ration(_SHARE)
        self._tables = Tables(session, inside, _SHARE)
        self._settings: list[Family] = []
        self._loaded = ""

    def close(self) -> None:
        """There is only the session."""

    def scrape(self, timeout: float) -> Iterable[Family]:
        """Every family. `timeout` in seconds. Raises ConnectError."""
        deadline = time.monotonic() + timeout
        asked = {name: query.sql for name, query in self._cheap.items()}
        if not self._patient:
            asked |= {name: f"SET {name} = '{value}'" for name, value in PATIENCE.items()}
        asked["sees"] = _SEES
        asked["settings"] = SETTINGS.replace("{loaded}", self._loaded)
        # the first round goes from scrape to scrape, the later ones are rationed
        if self._sizes_ration.due or not self._sizes_whole:
            sizes = SIZES.format(after=self._sizes_after, limit=SIZES_MAX)
            asked |= {"sizes begun": CLOCK, "sizes": sizes, "sizes done": CLOCK}
        if self._statements_ration.due:
            asked["extension"] = EXTENSION
            if self._extension:
                costs = STATEMENTS.format(schema=self._extension, io=self._io)
                asked |= {"costs begun": CLOCK, "costs": costs, "costs done": CLOCK}
        said = ask(self._session.main, asked, timeout)
        self._patient = True
        databases = said[_DATABASES]
        if isinstance(databases, Rows):
            self._databases = [text(name) for name in databases.column(0)]
        self._keep_settings(said["settings"])
        self._keep_sizes(said)
        self._keep_statements(said)
        self._tables.look(self._databases, deadline)
        return chain(
            self._answered(said, self._databases),
            self._settings,
            _sizes(dict(self._sizes), self._databases, self._server),
            families(STATEMENT_COLUMNS, [self._statements]),
            self._tables.families(self._databases),
            self._success(said),
        )

    def _answered(self, said: Said, databases: Sequence[str]) -> Iterator[Family]:
        """One family at a time: with hundreds of databases they are many samples."""
        sees = said["sees"]
        blind = isinstance(sees, Rows) and [text(one) for one in sees.column(0)] == ["f"]
        for name, query in self._cheap.items():
            answer = said[name]
            if isinstance(answer, Rows) and not (blind and "pg_stat_activity" in query.sql):
                for family in query.families(answer, self._server):
                    yield _filled(family, databases, self._server)

    def _success(self, said: Said) -> Iterator[Family]:
        """Which parts could be read, and why not. What the login may not ask is no failure."""
        answers = [
            *((query.part, said[name]) for name, query in self._cheap.items()),
            *((part, said[name]) for name, part in _PARTS.items() if name in said),
            *(("stat_user_tables", refusal) for refusal in self._tables.refused.values()),
        ]
        found: dict[str, float] = {}
        refused: dict[Labels, float] = {}
        for part, answer in answers:
            if isinstance(answer, Refusal):
                refused[("question", part), ("reason", answer.text)] = 1.0
            if isinstance(answer, Rows) or not answer.denied:
                found[part] = min(found.get(part, 1.0), float(isinstance(answer, Rows)))
        samples = [Sample(_SUCCESS, (("collector", n),), value) for n, value in found.items()]
        yield Family(_SUCCESS, "gauge", "Whether a part of the scrape succeeded", samples)
        whys = [Sample(_REFUSED, *one) for one in refused.items()]
        yield Family(_REFUSED, "gauge", "Questions that the server did not answer", whys)

    def _keep_settings(self, rows: Rows | Refusal) -> None:
        if isinstance(rows, Rows):
            for loaded in rows.column(0):
                self._loaded = text(loaded)
                self._settings = settings([row[1:] for row in rows], self._server)
                break

    def _keep_sizes(self, said: Said) -> None:
        rows = said.get("sizes")
        if isinstance(rows, Refusal):
            self._sizes_ration.wait(_LATER)
        elif rows is not None:
            self._sizes |= {text(name): float(size) for name, size, _ in rows if size is not None}
            last = len(rows) < SIZES_MAX
            self._sizes_after = 0 if last else max(int(number or 0) for number in rows.column(2))
            self._sizes_whole = self._sizes_whole or last
            self._sizes_ration.spend(between(said["sizes begun"], said["sizes done"]))

    def _keep_statements(self, said: Said) -> None:
        where, rows = said.get("extension"), said.get("costs")
        if isinstance(where, Rows):
            self._extension = next((text(schema) for schema in where.column(0)), "")
        if isinstance(rows, Rows):
            self._statements = columns(rows, STATEMENT_LABELS, len(STATEMENT_COLUMNS))
            self._statements_ration.spend(between(said["costs begun"], said["costs done"]))
        elif not self._extension or rows is not None:
            self._statements = Columns()
            self._statements_ration.wait(_LATER)


def _sizes(sizes: dict[str, float], databases: Sequence[str], server: str) -> Iterator[Family]:
    """Of the databases that there are; one that is new is absent until its turn has come."""
    there = [one for one in databases if one in sizes]
    for name, more in (
        ("pg_database_size_bytes", ()),
        ("pg_custom_database_size_custom_bytes", (("server", server),)),  # PMM's name for it
    ):
        samples = [Sample(name, (("datname", one), *more), sizes[one]) for one in there]
        yield Family(name, "gauge", "Disk space used by the database", samples)


def _filled(family: Family, databases: Sequence[str], server: str) -> Family:
    """With the zeros that the exporter shows for what nobody does in a database."""
    at = _FILLED.get(family.name)
    if at is None:
        return family
    label, makes = at
    there = {
        (labels["datname"], labels[label]) for labels in (dict(s.labels) for s in family.samples)
    }
    # the same objects for all: alerts keep these samples
    where, words = ("server", server), _MODES if label == "mode" else _STATES
    said, named = [(label, word) for word in words], [("datname", name) for name in databases]
    zeros = [
        Sample(family.name, makes(name, word, where), 0.0)
        for name in named
        for word in said
        if (name[1], word[1]) not in there
    ]
    return family._replace(samples=[*family.samples, *zeros])


def _no_locks(database: Pair, mode: Pair, _: Pair) -> Labels:
    return (database, mode)


def _idle(database: Pair, state: Pair, server: Pair) -> Labels:
    return (
        ("application_name", ""),
        ("backend_type", ""),
        database,
        server,
        state,
        ("usename", ""),
        ("wait_event", ""),
        ("wait_event_type", ""),
    )


#: Family to the label that has a zero for each of its words, and how labels are made.
_FILLED: dict[str, tuple[str, Callable[[Pair, Pair, Pair], Labels]]] = {
    "pg_locks_count": ("mode", _no_locks),
    "pg_stat_activity_count": ("state", _idle),
    "pg_stat_activity_max_tx_duration": ("state", _idle),
}
