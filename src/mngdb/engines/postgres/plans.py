"""Why a statement of PostgreSQL is slow: read from its generic plan, never by running it.

https://www.postgresql.org/docs/current/sql-explain.html (GENERIC_PLAN, since 16)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
from psycopg import sql

from mngdb.facts.slow import Missing

#: Reading fewer rows than this one by one is what the planner does on purpose.
_MANY = 10_000
_PLANNABLE = re.compile(r"\s*(select|with|insert|update|delete|merge|values)\b", re.IGNORECASE)
#: `(n = $1)` and `(n > $1)`, as a plan shows its filters; a cast may stand around the column.
_EQUAL = re.compile(r"\(+\"?(\w+)\"?\)?(?:::[\w ]+)? = (?:\$\d+|ANY|')")
_RANGE = re.compile(r"\(+\"?(\w+)\"?\)?(?:::[\w ]+)? (?:[<>]=?|~~) (?:\$\d+|')")


def explain(
    connection: psycopg.Connection[Any], text: str, database: str
) -> tuple[list[str], list[Missing]]:
    """What is slow in the plan of a normalised statement, and the columns that lack an index.

    `connection` is to be the app's own: planning may call functions that the app has made.
    """
    if not _PLANNABLE.match(text):
        return [], []
    try:
        row = connection.execute(
            sql.SQL("EXPLAIN (GENERIC_PLAN, VERBOSE, FORMAT JSON) ") + sql.SQL(text)
        ).fetchone()
    except psycopg.Error as error:
        return [f"no plan is to be had: {str(error).splitlines()[0]}"], []
    said, missing = [], []
    for node, inner in _nodes(row[0][0]["Plan"] if row else {}, False):
        if node.get("Node Type") != "Seq Scan" or "Relation Name" not in node:
            continue
        table = f"{node['Schema']}.{node['Relation Name']}"
        rows = _rows(connection, node)
        if rows < _MANY:
            continue
        columns = _columns(node.get("Filter", ""))
        where = f" to find {', '.join(columns)}" if columns else ""
        each = ", once for each row of the other side" if inner else ""
        said.append(f"reads all of {table} (about {rows:,.0f} rows){where}{each}")
        if columns:
            missing.append(Missing(database, table, columns, rows))
    return list(dict.fromkeys(said)), missing


def _nodes(plan: Mapping[str, Any], inner: bool) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """Every node, and whether it is run again for each row of another."""
    yield plan, inner
    for child in plan.get("Plans", ()):
        looped = plan.get("Node Type") == "Nested Loop" and (
            child.get("Parent Relationship") == "Inner"
        )
        yield from _nodes(child, inner or looped)


def _rows(connection: psycopg.Connection[Any], node: Mapping[str, Any]) -> float:
    found = connection.execute(
        "SELECT reltuples FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND c.relname = %s",
        [node["Schema"], node["Relation Name"]],
    ).fetchone()
    return max(0.0, float(found[0])) if found else 0.0


def _columns(condition: str) -> tuple[str, ...]:
    """Columns by which rows are found: those compared for equality first."""
    plain = re.sub(r"\b\w+\.(?=\"?\w)", "", condition)
    return tuple(dict.fromkeys([*_EQUAL.findall(plain), *_RANGE.findall(plain)]))
