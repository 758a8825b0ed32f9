"""Why a statement of PostgreSQL is slow: read from its generic plan, never by running it.

https://www.postgresql.org/docs/current/sql-explain.html (GENERIC_PLAN, since 16)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
from psycopg import sql

from mngdb.engines.postgres import foreign_keys, hypothetical
from mngdb.facts.slow import Missing

#: Stands after the first word of what we ask as an app: `slow` does not count it as the app's.
MARK = "/* mngdb */"
#: Reading fewer rows than this one by one is what the planner does on purpose.
_MANY = 10_000
#: Milliseconds that planning may take, and wait for a lock: it is done for many statements.
_PATIENCE, _LOCKED = 5000, 500
_PLANNABLE = re.compile(r"\s*(select|with|insert|update|delete|merge|values)\b", re.IGNORECASE)
#: `(n = $1)` and `(n > $1)`, as a plan shows its filters; a cast may stand around the column, a
#: function may not.
_EQUAL = re.compile(r"(?<!\w)\(+\"?(\w+)\"?\)?(?:::[\w ]+)? = (?:\$\d+|ANY|')")
_RANGE = re.compile(r"(?<!\w)\(+\"?(\w+)\"?\)?(?:::[\w ]+)? (?:[<>]=?|~~) (?:\$\d+|')")
_TABLE = """
SELECT /* mngdb */ pg_catalog.format('%%I.%%I', n.nspname, c.relname), c.reltuples
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE n.nspname OPERATOR(pg_catalog.=) %s::pg_catalog.text
  AND c.relname OPERATOR(pg_catalog.=) %s::pg_catalog.text
"""


def explain(
    connection: psycopg.Connection[Any], text: str, database: str
) -> tuple[list[str], list[Missing]]:
    """What is slow in the plan of a normalised statement, and the columns that lack an index.

    `connection` is to be the app's own: planning may call functions that the app has made.
    """
    if not _PLANNABLE.match(text):
        return [], []
    try:
        connection.execute(f"SET /* mngdb */ statement_timeout = {_PATIENCE}")
        connection.execute(f"SET /* mngdb */ lock_timeout = {_LOCKED}")
        return _explain(connection, text, database)
    except psycopg.Error as error:
        return [f"no plan available: {str(error).splitlines()[0]}"], []


def _explain(
    connection: psycopg.Connection[Any], text: str, database: str
) -> tuple[list[str], list[Missing]]:
    said, missing = [], []
    plan = _plan(connection, text)
    if plan.get("Node Type") == "ModifyTable" and plan.get("Operation") == "Delete":
        table, _ = _table(connection, plan)
        for key in foreign_keys.unserved(connection, table):
            said.append(
                f"for each row, all of {key.table} (about {key.rows:,.0f} rows) is read: its "
                f"foreign key {key.name} has no index on {', '.join(key.columns)}"
            )
            missing.append(Missing(database, key.table, tuple(key.columns), key.rows))
    for node, inner in _nodes(plan, False):
        if node.get("Node Type") != "Seq Scan" or "Relation Name" not in node:
            continue
        table, rows = _table(connection, node)
        if rows < _MANY:
            continue
        columns = _columns(node.get("Filter", ""))
        where = f" to find {', '.join(columns)}" if columns else ""
        each = ", once for each row of the other side" if inner else ""
        said.append(f"reads all of {table} (about {rows:,.0f} rows){where}{each}")
        if columns:
            lack, words = _lack(connection, text, Missing(database, table, columns, rows))
            said += words
            missing += lack
    return list(dict.fromkeys(said)), list(dict.fromkeys(missing))


def _lack(
    connection: psycopg.Connection[Any], text: str, guess: Missing
) -> tuple[list[Missing], list[str]]:
    """The index that is missing: what the statement looks for, or what hypopg proves."""
    home = hypothetical.schema(connection)
    if home is None:
        return [guess], []

    def cost() -> tuple[float, frozenset[str]]:
        plan = _plan(connection, text)
        used = (str(node.get("Index Name", "")) for node, _ in _nodes(plan, False))
        return float(plan["Total Cost"]), frozenset(used)

    found = hypothetical.best(connection, home, guess.table, guess.columns, cost)
    names = ", ".join(found.columns if found else guess.columns)
    if found is None:
        return [], [f"an index on {names} would not help (hypopg)"]
    proved = Missing(
        guess.database, guess.table, found.columns, guess.rows,
        found.before, found.after, found.size,
    )  # fmt: skip
    words = f"with an index on {names} the planner's cost is {found.after:,.0f} instead of"
    return [proved], [f"{words} {found.before:,.0f} (hypopg)"]


def _plan(connection: psycopg.Connection[Any], text: str) -> Mapping[str, Any]:
    # no format(): the statement may have braces
    head = sql.SQL("EXPLAIN /* mngdb */ (GENERIC_PLAN, VERBOSE, FORMAT JSON) ")
    row = connection.execute(head + sql.SQL(text)).fetchone()
    return row[0][0]["Plan"] if row else {}


def _nodes(plan: Mapping[str, Any], inner: bool) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """Every node, and whether it is run again for each row of another."""
    yield plan, inner
    for child in plan.get("Plans", ()):
        looped = plan.get("Node Type") == "Nested Loop" and (
            child.get("Parent Relationship") == "Inner"
        )
        yield from _nodes(child, inner or looped)


def _table(connection: psycopg.Connection[Any], node: Mapping[str, Any]) -> tuple[str, float]:
    """Its name, quoted where it must be, and about how many rows it has."""
    row = connection.execute(_TABLE, [node["Schema"], node["Relation Name"]]).fetchone()
    return (row[0], max(0.0, float(row[1]))) if row else (node["Relation Name"], 0.0)


def _columns(condition: str) -> tuple[str, ...]:
    """Columns by which rows are found: those compared for equality first."""
    plain = re.sub(r"(?:\"[^\"]+\"|\b\w+)\.(?=\"?\w)", "", condition)
    return tuple(dict.fromkeys([*_EQUAL.findall(plain), *_RANGE.findall(plain)]))
