"""Indexes that are not there, tried on the planner: hypopg, where it is installed.

They live in one session and cost nothing; nothing is created. https://hypopg.readthedocs.io
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

#: A plan with the index has to cost less than this share of the plan without: every write pays.
_WORTH = 0.75
#: Of two indexes that are about as good, the one with fewer columns.
_ABOUT = 1.02
#: Columns that are tried at most.
_COLUMNS = 4

Cost = Callable[[], tuple[float, frozenset[str]]]


class Trial(NamedTuple):
    """An index and what the planner makes of it: costs in its own unit, size in bytes."""

    columns: tuple[str, ...]
    before: float
    after: float
    size: int


def schema(connection: psycopg.Connection[Any]) -> sql.SQL | None:
    """Where hypopg is in this database, if it is and may be used."""
    row = connection.execute(
        "SELECT /* mngdb */ quote_ident(n.nspname) FROM pg_extension e "
        "JOIN pg_namespace n ON n.oid = e.extnamespace "
        "WHERE e.extname = 'hypopg' AND has_schema_privilege(n.oid, 'USAGE')"
    ).fetchone()
    return sql.SQL(row[0]) if row else None


def best(
    connection: psycopg.Connection[Any],
    home: sql.SQL,
    table: str,
    columns: Sequence[str],
    cost: Cost,
) -> Trial | None:
    """The index of this (quoted) table that makes a statement cheapest; None: none helps. `cost`
    plans the statement: what it costs, and the indexes that it would use."""
    before, _ = cost()
    tried: list[Trial] = []
    try:
        for one in _candidates(columns):
            found = _try(connection, home, table, one, cost)
            if found is not None and found[0] < before * _WORTH:
                tried.append(Trial(one, before, *found))
    finally:
        _run(connection, "SELECT /* mngdb */ {}.hypopg_reset()", home)
    if not tried:
        return None
    lowest = min(one.after for one in tried)
    good = [one for one in tried if one.after <= lowest * _ABOUT]
    return min(good, key=lambda one: (len(one.columns), one.after))


def _candidates(columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Columns together, those compared for equality first; their beginnings; each by itself."""
    named = tuple(columns[:_COLUMNS])
    starts = [named[:length] for length in range(len(named), 0, -1)]
    return iter(dict.fromkeys([*starts, *((one,) for one in named)]))


def _try(
    connection: psycopg.Connection[Any],
    home: sql.SQL,
    table: str,
    columns: Sequence[str],
    cost: Cost,
) -> tuple[float, int] | None:
    """Cost with the index, and its size; None when the planner does not take it."""
    _run(connection, "SELECT /* mngdb */ {}.hypopg_reset()", home)
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    text = sql.SQL("CREATE INDEX ON {} ({})").format(sql.SQL(table), names).as_string(connection)
    made = "SELECT /* mngdb */ indexrelid, indexname FROM {}.hypopg_create_index({})"
    oid, name = _run(connection, made, home, sql.Literal(text))
    after, used = cost()
    if name not in used:
        return None
    (size,) = _run(
        connection, "SELECT /* mngdb */ {}.hypopg_relation_size({})", home, sql.Literal(oid)
    )
    return after, size


def _run(connection: psycopg.Connection[Any], text: str, *parts: sql.Composable) -> tuple[Any, ...]:
    query = sql.SQL(text).format(*parts)
    return connection.execute(query).fetchone() or ()
