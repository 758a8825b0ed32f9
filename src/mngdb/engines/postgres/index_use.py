"""Unused, duplicate, invalid and missing indexes of PostgreSQL.

https://www.postgresql.org/docs/current/monitoring-stats.html (pg_stat_all_indexes)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql

from mngdb.engines.postgres import foreign_keys
from mngdb.engines.postgres.causes import first_line
from mngdb.engines.postgres.client import Session, rows
from mngdb.engines.postgres.databases import locked, look_into, of_apps
from mngdb.errors import UnobservableError
from mngdb.facts.indexes import NOT_TOLD, Advice, IndexAdvice
from mngdb.facts.slow import Missing, Slow
from mngdb.model import DesiredInstance

#: Without it a missing index is what a statement's conditions suggest.
_HYPOPG = (
    "what is missing is told by statistics; hypopg lets the planner try it: install "
    "postgresql-{major}-hypopg beside the server, then 'extensions: [hypopg]' of the app's right "
    "and 'mngdb up', or CREATE EXTENSION hypopg SCHEMA public in the database"
)
_NO_PLANS = "plans are asked for as the apps of the file, and it has none here"
#: Smaller than this an index is not worth a thought.
_SMALL = 64 << 10
#: A b-tree's entry takes about so many bytes beside its columns.
_ENTRY = 16
#: The one unique index that a table has is left out: nothing can be said of it. Those of partitions
#: go with that of their table, which is as large and as much used as all of them.
_INDEXES = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(t.relname), i.relname, u.size, u.scans,
       x.indisunique, x.indisvalid,
       x.indisreplident OR EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.oid),
       string_to_array(x.indkey::text, ' '), string_to_array(x.indclass::text, ' '),
       coalesce(pg_get_expr(x.indpred, x.indrelid), ''),
       coalesce(pg_get_expr(x.indexprs, x.indrelid), ''), m.amname, x.indnkeyatts,
       quote_ident(n.nspname) || '.' || quote_ident(i.relname),
       string_to_array(x.indcollation::text, ' '), string_to_array(x.indoption::text, ' '),
       i.relkind = 'I', x.indimmediate,
       coalesce((to_jsonb(x) ->> 'indnullsnotdistinct')::bool, false), i.oid::text,
       EXISTS (SELECT FROM pg_constraint k WHERE k.contype = 'f' AND k.conrelid = x.indrelid
         AND (x.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey)
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
     JOIN pg_namespace n ON n.oid = t.relnamespace JOIN pg_am m ON m.oid = i.relam
     CROSS JOIN LATERAL (
       SELECT coalesce(sum(pg_relation_size(p.relid)), 0)::int8 AS size,
              coalesce(sum(s.idx_scan), 0)::int8 AS scans
       FROM (SELECT i.oid AS relid WHERE i.relkind = 'i'
             UNION ALL SELECT relid FROM pg_partition_tree(i.oid) WHERE i.relkind = 'I') p
            LEFT JOIN pg_stat_all_indexes s ON s.indexrelid = p.relid
     ) u
WHERE NOT i.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_toast'
  AND (NOT x.indisunique OR NOT x.indisvalid
       OR EXISTS (SELECT FROM pg_index o
                  WHERE o.indrelid = x.indrelid AND o.indexrelid <> x.indexrelid))
  AND NOT ARRAY[x.indrelid, i.oid] && %s::oid[]
ORDER BY 1, 2
"""
_SINCE = """
SELECT extract(epoch FROM coalesce(stats_reset, pg_postmaster_start_time()))::float8
FROM pg_stat_database WHERE datname = current_database()
"""
_COLUMNS = """
SELECT a.attname, coalesce(nullif(s.avg_width, 0), 8)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
     JOIN pg_namespace n ON n.oid = c.relnamespace
     LEFT JOIN pg_stats s
       ON (s.schemaname, s.tablename, s.attname) = (n.nspname, c.relname, a.attname)
WHERE c.oid = to_regclass(%s) AND a.attname = ANY(%s)
"""


class _Index:
    """A row of `_INDEXES`."""

    def __init__(self, row: tuple[Any, ...]) -> None:
        (self.table, self.name, self.size, self.scans, self.unique, self.valid, self.constraint,
         self.columns, self.classes, self.predicate, self.expressions, self.method, self.keys,
         self.quoted, self.collations, self.options, self.parted, self.immediate, self.one_null,
         self.mark, self.of_key) = row  # fmt: skip

    def same(self, other: _Index) -> bool:
        """Whether the other one of its table finds exactly the same rows the same way."""
        return (
            self.method == other.method
            and (self.predicate, self.expressions) == (other.predicate, other.expressions)
            and (self.columns, self.classes) == (other.columns, other.classes)
            and (self.collations, self.options) == (other.collations, other.options)
            and self.keys == other.keys
        )

    def begins(self, other: _Index) -> bool:
        """Whether the other b-tree of its table begins with all of this one's columns."""
        mine = self.columns[: self.keys]
        return (
            self.method == other.method == "btree"
            and not (self.predicate or other.predicate or self.expressions or other.expressions)
            and len(other.columns[: other.keys]) > len(mine) == len(self.columns)
            and other.columns[: len(mine)] == mine
            and other.classes[: len(mine)] == self.classes
            and other.collations[: len(mine)] == self.collations
            and other.options[: len(mine)] == self.options
        )


def look(session: Session, asked: DesiredInstance, slow: Slow | None) -> Advice:
    """What to do about the indexes, and what slow statements lack (None: they are not known)."""
    wanted = [lack for one in slow.statements for lack in one.missing] if slow else []
    notes: list[str] = []
    guessed: list[IndexAdvice] = []

    def inside(database: str, connection: psycopg.Connection[Any]) -> list[IndexAdvice]:
        here = [one for one in wanted if one.database == database]
        existing = _existing(connection, database, locked(connection, database, notes))
        lacking = {(a.table, a.index): a for a in _missing(connection, here)}
        guessed.extend(a for a in lacking.values() if a.planner_before is None)
        lacking |= {(a.table, a.index): a for a in _of_keys(connection, database)}
        return [*existing, *lacking.values()]

    found = look_into(session, of_apps(session, asked), inside, notes)
    if guessed:
        notes.append(_HYPOPG.replace("{major}", str(session.main.info.server_version // 10_000)))
    if slow is not None and not asked.instance.grants:
        notes.append(f"{NOT_TOLD}: {_NO_PLANS}")
    return Advice(tuple(found), "; ".join(notes))


def _existing(
    connection: psycopg.Connection[Any], database: str, out: list[int]
) -> list[IndexAdvice]:
    indexes = [_Index(row) for row in rows(connection, _INDEXES, out)]
    ((since,),) = rows(connection, _SINCE)
    found = []
    unused: dict[str, IndexAdvice] = {}
    gone: set[str] = set()
    beside: dict[str, list[_Index]] = defaultdict(list)
    for one in indexes:
        beside[one.table].append(one)
    needed: set[str] = set()
    # of two that are alike the one that is used stays
    for one in sorted(indexes, key=lambda index: (index.table, index.scans)):
        others = (o for o in beside[one.table] if o is not one and o.quoted not in gone)
        other = next((o for o in others if _serves(o, one)), None)
        # PostgreSQL drops that of a partitioned table in one go only
        drop = f"DROP INDEX {'' if one.parted else 'CONCURRENTLY '}{one.quoted}"
        if not one.valid:
            reason = "its build did not finish: it slows each write and is never used"
            said = (reason, f"REINDEX INDEX CONCURRENTLY {one.quoted}", "reads the table twice")
            found.append(IndexAdvice("invalid", database, one.table, one.name, one.size, *said))
        elif other is not None:
            gone.add(one.quoted)
            needed.add(other.quoted)
            does = "is the same" if one.same(other) else "begins with the same columns"
            said = (f"{other.name} {does}", drop, "none: the other index is used")
            found.append(IndexAdvice("duplicate", database, one.table, one.name, one.size, *said))
        elif not (one.scans or one.unique or one.constraint or one.of_key) and one.size >= _SMALL:
            reason = f"no scan since {datetime.fromtimestamp(since, UTC):%Y-%m-%d}"
            said = (
                f"{reason}; also none on a replica?",
                drop,
                "none now; rebuilding it reads the table twice",
            )
            # the server does not tell when an index was made
            unused[one.quoted] = IndexAdvice(
                "unused", database, one.table, one.name, one.size, *said, since=since, mark=one.mark
            )
    # what takes over another one's work has not shown yet what it is for
    return [*found, *(one for name, one in unused.items() if name not in needed)]


def _serves(other: _Index, one: _Index) -> bool:
    """Whether `other` makes `one` superfluous: a rule that is more than speed stays, also the one
    that there is a single NULL, and that a rule holds at once."""
    if one.unique or one.constraint or not other.valid:
        stricter = other.unique and other.one_null >= one.one_null and other.immediate
        return one.same(other) and stricter and not one.constraint and other.valid
    return one.same(other) or one.begins(other)


def _missing(connection: psycopg.Connection[Any], wanted: Sequence[Missing]) -> list[IndexAdvice]:
    found: dict[tuple[str, tuple[str, ...]], IndexAdvice] = {}
    for one in wanted:
        if (one.table, one.columns) in found or any(_longer(other, one) for other in wanted):
            continue
        widths = dict(rows(connection, _COLUMNS, one.table, list(one.columns)))
        columns = [column for column in one.columns if column in widths]
        if not columns:
            continue
        size = one.size or int(one.rows * (_ENTRY + sum(widths.values())))
        text = _statement(connection, one.table, columns)
        reason = f"a statement reads all {one.rows:,.0f} rows to find these"
        if one.before is not None:
            reason += f"; the planner's cost is {one.before:,.0f}, with it {one.after:,.0f}"
        found[one.table, one.columns] = IndexAdvice(
            "missing", one.database, one.table, ", ".join(columns), size, reason, text,
            f"about {max(1, size >> 20)} MB, and slower writes", one.before, one.after,
        )  # fmt: skip
    return list(found.values())


def _of_keys(connection: psycopg.Connection[Any], database: str) -> Iterator[IndexAdvice]:
    """What foreign keys lack. Raises UnobservableError."""
    try:
        keys = foreign_keys.unserved(connection)
    except psycopg.Error as error:
        raise UnobservableError(f"PostgreSQL did not answer: {first_line(error)}") from None
    for one in keys:
        widths = dict(rows(connection, _COLUMNS, one.table, one.columns))
        size = int(one.rows * (_ENTRY + sum(widths.values())))
        yield IndexAdvice(
            "missing", database, one.table, ", ".join(one.columns), size,
            f"the foreign key {one.name} has no index: for each row that is deleted from "
            f"{one.target}, all {one.rows:,.0f} rows are read",
            _statement(connection, one.table, one.columns),
            f"about {max(1, size >> 20)} MB, and slower writes",
        )  # fmt: skip


def _longer(other: Missing, one: Missing) -> bool:
    """Whether the other index begins with all columns of this one, and has more."""
    length = len(one.columns)
    return (
        other.table == one.table
        and len(other.columns) > length
        and other.columns[:length] == one.columns
    )


def _statement(connection: psycopg.Connection[Any], table: str, columns: list[str]) -> str:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    query = sql.SQL("CREATE INDEX CONCURRENTLY ON {} ({})").format(sql.SQL(table), names)
    return query.as_string(connection)
