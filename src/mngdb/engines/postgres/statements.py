"""The sums of PostgreSQL's statements at one moment: pg_stat_statements.

https://www.postgresql.org/docs/current/pgstatstatements.html
"""

from __future__ import annotations

from typing import NamedTuple

from psycopg import sql

from mngdb.engines.postgres.client import Session
from mngdb.errors import UnobservableError
from mngdb.facts.slow import Count, Snapshot

#: Statements of a snapshot: the dearest. A server of ours counts up to 10,000.
MOST = 1000
_EXTENSION = """
SELECT extnamespace::regnamespace::text, extversion FROM pg_extension
WHERE extname = 'pg_stat_statements'
"""
_INFO = """
SELECT extract(epoch FROM clock_timestamp())::float8, extract(epoch FROM stats_reset)::float8,
       dealloc::int8
FROM {}.pg_stat_statements_info
"""
#: Without the texts, which the server would read from a file.
_COUNTS = """
SELECT userid::int8, dbid::int8, queryid, toplevel, calls, total_exec_time, rows, temp_blks_written
FROM {}.pg_stat_statements(false) WHERE queryid IS NOT NULL ORDER BY total_exec_time DESC LIMIT %s
"""


class Place(NamedTuple):
    """Where the extension is: its schema, and whether it says since when it counts each one."""

    schema: sql.SQL
    since_each: bool


def place(session: Session) -> Place:
    """Raises UnobservableError when the extension is not there."""
    found = session.rows(_EXTENSION)
    if not found:
        raise UnobservableError(
            "pg_stat_statements is not installed in the administrator's database",
            "'mngdb up' installs it on servers that it runs; elsewhere: CREATE EXTENSION "
            "pg_stat_statements SCHEMA public",
        )
    schema, version = found[0]
    # regnamespace has quoted the name where it must be; stats_since came with 1.11
    return Place(sql.SQL(schema), tuple(map(int, version.split("."))) >= (1, 11))


def now(session: Session, at: Place) -> Snapshot:
    """The moment alone, without the sums."""
    ((clock, reset, dropped),) = session.rows(sql.SQL(_INFO).format(at.schema))
    return Snapshot(clock, reset, dropped, ())


def snapshot(session: Session) -> Snapshot:
    """The sums now. Raises UnobservableError."""
    at = place(session)
    moment = now(session, at)
    rows = session.rows(sql.SQL(_COUNTS).format(at.schema), MOST)
    counts = tuple(Count(*row) for row in rows)
    least = counts[-1].total_ms if len(counts) == MOST else 0.0
    return Snapshot(moment.at, moment.reset, moment.dropped, counts, least)
