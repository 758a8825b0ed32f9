"""Dead rows and empty space in PostgreSQL, estimated from its statistics, and what keeps it.

https://www.postgresql.org/docs/current/routine-vacuuming.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg

from mngdb.engines.postgres.client import Session, rows
from mngdb.engines.postgres.databases import locked, look_into, of_apps
from mngdb.facts.bloat import Bloat, Bloated
from mngdb.model import DesiredInstance
from mngdb.words import many

#: Less than this wasted is not worth a lock; less than this share of a table, in space or in rows,
#: is what autovacuum leaves by its own settings (autovacuum_vacuum_scale_factor).
_SMALL, _SHARE = 1 << 20, 0.2
#: Dead rows from which on they are worth a sentence.
_DEAD = 10_000
#: Columns' average width and 24 bytes of header and 4 of line pointer for each row, on pages of
#: 8192 bytes that are filled to the fill factor. Without statistics a table is left out.
_TABLES = """
WITH width AS (
  SELECT schemaname, tablename, sum((1 - null_frac) * avg_width) AS bytes FROM pg_stats
  WHERE NOT inherited GROUP BY 1, 2
)
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), pg_relation_size(c.oid),
       greatest(0, pg_relation_size(c.oid) - ceil(
         greatest(c.reltuples, 0) * (w.bytes + 28) / (8168 * coalesce((
           SELECT option_value::float / 100 FROM pg_options_to_table(c.reloptions)
           WHERE option_name = 'fillfactor'), 1))) * 8192)::int8,
       coalesce(s.n_dead_tup, 0), greatest(0, c.reltuples),
       coalesce(s.last_autovacuum, s.last_vacuum) IS NULL,
       coalesce(c.reloptions::text ~ 'autovacuum_enabled=(off|false|no|0)', false)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     JOIN width w ON (w.schemaname, w.tablename) = (n.nspname, c.relname)
     LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND n.nspname !~ '^pg_toast' AND c.oid <> ALL(%s::oid[])
ORDER BY 3 DESC LIMIT 1000
"""
#: The same of b-trees: 8 bytes of header and 4 of line pointer for each entry, on pages that are
#: filled to 90 %. Half of that is usual where entries come in any order: only more is told. Entries
#: that share a value take less than this says, so that nothing is told of them too early.
_INDEXES = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(i.relname), pg_relation_size(i.oid),
       greatest(0, pg_relation_size(i.oid) - (1 + ceil(
         i.reltuples * (12 + 8 * ceil(w.bytes / 8)) / (8152 * 0.9))) * 8192)::int8,
       coalesce(t.n_dead_tup, 0)
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
     JOIN pg_namespace n ON n.oid = i.relnamespace
     JOIN pg_am m ON m.oid = i.relam AND m.amname = 'btree'
     LEFT JOIN pg_stat_all_tables t ON t.relid = x.indrelid
     CROSS JOIN LATERAL (
       SELECT sum((1 - s.null_frac) * s.avg_width) AS bytes, count(*) AS known
       FROM unnest(string_to_array(x.indkey::text, ' ')::int2[]) WITH ORDINALITY k (number, place)
            JOIN pg_attribute a
              ON (a.attrelid, a.attnum) = (CASE WHEN k.number = 0 THEN x.indexrelid
                                           ELSE x.indrelid END,
                                           CASE WHEN k.number = 0 THEN k.place ELSE k.number END)
            JOIN pg_class o ON o.oid = a.attrelid
            JOIN pg_stats s ON (s.schemaname, s.tablename, s.attname, s.inherited)
                             = (n.nspname, o.relname, a.attname, false)
     ) w
WHERE i.relpages >= 128 AND i.reltuples >= 0 AND x.indisvalid AND w.known >= x.indnatts
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_toast'
  AND i.oid <> ALL(%s::oid[])
ORDER BY 3 DESC LIMIT 1000
"""
#: Large tables of which nothing can be said.
_UNSEEN = """
SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND c.relpages >= 128 AND n.nspname !~ '^(pg_|information_schema)'
  AND NOT EXISTS (SELECT FROM pg_stats s
                  WHERE (s.schemaname, s.tablename) = (n.nspname, c.relname))
"""
#: What keeps dead rows from being cleaned: the oldest snapshot anybody still holds.
_HOLD = """
SELECT * FROM (
  SELECT format('the open transaction of %s (pid %s, %s)', usename, pid, state), age(backend_xmin)
  FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid()
  UNION ALL
  SELECT format('the replication slot %s', slot_name), age(coalesce(xmin, catalog_xmin))
  FROM pg_replication_slots WHERE coalesce(xmin, catalog_xmin) IS NOT NULL
  UNION ALL
  SELECT format('the prepared transaction %s', gid), age(transaction) FROM pg_prepared_xacts
) x ORDER BY 2 DESC LIMIT 1
"""


def look(session: Session, asked: DesiredInstance) -> Bloated:
    """Tables and indexes with wasted space or dead rows, the most first."""
    held = session.rows(_HOLD)
    holder = f"{held[0][0]} holds them" if held else ""
    notes: list[str] = []

    def inside(database: str, connection: psycopg.Connection[Any]) -> list[Bloat]:
        out = locked(connection, database, notes)
        tables = list(_tables(connection, database, out, holder))
        ((unseen,),) = rows(connection, _UNSEEN)
        if unseen:
            why = f"no ANALYZE yet, or {session.access.user} cannot read them (pg_read_all_data)"
            notes.append(f"{database}: skipped without statistics: {many(unseen, 'table')}: {why}")
        return [*tables, *_indexes(connection, database, out, holder)]

    found = look_into(session, of_apps(session, asked), inside, notes)
    return Bloated(tuple(sorted(found, key=lambda one: -one.wasted)), "; ".join(notes))


def _tables(
    connection: psycopg.Connection[Any], database: str, out: list[int], holder: str
) -> Iterator[Bloat]:
    for name, size, wasted, dead, live, never, off in rows(connection, _TABLES, out):
        empty = wasted >= max(_SMALL, _SHARE * size)
        if not empty and dead < max(_DEAD, _SHARE * (live + dead)):
            continue
        reason = _reason(dead, never, off, holder)
        statement = _statement(name, size, wasted, dead)
        yield Bloat(database, name, "table", size, wasted, dead, reason, statement)


def _indexes(
    connection: psycopg.Connection[Any], database: str, out: list[int], holder: str
) -> Iterator[Bloat]:
    for name, size, wasted, dead in rows(connection, _INDEXES, out):
        if wasted >= _SMALL and wasted > size // 2:
            statement = f"REINDEX INDEX CONCURRENTLY {name}"
            reason = _reason(dead, False, False, holder) or "vacuum frees entries, not pages"
            yield Bloat(database, name, "index", size, wasted, 0, reason, statement)


def _reason(dead: int, never: bool, off: bool, holder: str) -> str:
    if off:
        return "autovacuum is disabled for this table"
    if dead >= _DEAD and holder:
        return holder
    return "it was never vacuumed" if never and dead else ""


def _statement(name: str, size: int, wasted: int, dead: int) -> str:
    if wasted > size // 2:
        return f"VACUUM FULL {name} (locks it; pg_repack does not)"
    return f"VACUUM (ANALYZE) {name}" if dead else f"VACUUM {name}"
