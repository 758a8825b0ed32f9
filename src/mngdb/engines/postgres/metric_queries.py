"""The queries that PostgreSQL's metrics are made of, and the families that their columns become.

Names, labels and types are postgres_exporter's; tests/live/test_metrics_exporters.py compares them
with the exporter itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from mngdb.data import values
from mngdb.engines.postgres.batch import Rows
from mngdb.samples import Family, Kind, Sample

Column = tuple[str, Kind, str]


class Query(Struct, frozen=True):
    """A query of metric_queries.yaml."""

    part: str
    """What it is a part of, for who asks whether all could be read."""
    sql: str
    labels: tuple[str, ...]
    columns: tuple[Column, ...]
    server: bool = False
    """Whether the samples carry the label `server`, as the exporter's older ones do."""
    since: int = 14
    """PostgreSQL's major version from which on it can be asked."""
    until: int = 999
    """The last one that it is for."""
    old: bool = False
    """Whether each metric is shown once more, as older exporters had it."""

    def families(self, rows: Rows, server: str) -> Iterator[Family]:
        """A family for each column of values."""
        count = len(self.labels)
        more = [("server", server)] if self.server else []
        labels = [
            tuple(
                sorted(
                    [
                        *more,
                        *(
                            (name, value.decode(errors="replace") if value is not None else "")
                            for name, value in zip(self.labels, row[:count], strict=True)
                        ),
                    ]
                )
            )
            for row in rows
        ]
        for column, (name, kind, text) in enumerate(self.columns, start=count):
            samples = [
                Sample(name, label, float(value))
                for label, value in zip(labels, rows.column(column), strict=True)
                if value is not None
            ]
            yield Family(name, kind, text, samples)
            if self.old:
                before = name.removesuffix("_total")
                at = (("server", server),)
                again = [Sample(before, at, sample.value) for sample in samples]
                yield Family(before, kind, text, again)


def _columns(prefix: str, kind: Kind, names: str, text: str) -> tuple[Column, ...]:
    return tuple((prefix + name, kind, f"{text}: {name}") for name in names.split())


def _query(text: Mapping[str, Any]) -> Query:
    columns = ((name, *column) for name, kind in text["metrics"].items() for column in kind.items())
    more = {name: text[name] for name in ("server", "since", "until", "old") if name in text}
    return Query(text["part"], text["sql"], tuple(text.get("labels", ())), tuple(columns), **more)


#: Those that cost next to nothing.
CHEAP: tuple[Query, ...] = tuple(map(_query, values(__file__)))

#: First of a session. A look is nothing to wait for: what somebody locks costs its own figures.
PATIENCE = {"statement_timeout": "3s", "lock_timeout": "300ms"}

#: Only when the server has read its files since. The cost of the view is saved as well. What this
#: session has set for itself does not count.
SETTINGS = """
SELECT l.at, s.name, s.value, s.unit, s.vartype
FROM (SELECT concat(pg_conf_load_time(), pg_is_in_recovery()) AS at) l
CROSS JOIN LATERAL (
    SELECT name, CASE source WHEN 'session' THEN reset_val ELSE setting END AS value,
           coalesce(unit, '') AS unit, vartype FROM pg_settings
    WHERE l.at <> '{loaded}' AND vartype IN ('bool', 'integer', 'real')
) s
"""

#: Databases whose size one scrape asks for: each is a walk through its files.
SIZES_MAX = 100
SIZES = """
SELECT datname, CASE WHEN has_database_privilege(oid, 'CONNECT')
                       OR pg_has_role('pg_read_all_stats', 'USAGE')
                     THEN pg_database_size(oid) END, oid FROM pg_database
WHERE oid > {after} ORDER BY oid LIMIT {limit}
"""

_TABLES = "pg_stat_user_tables_"
_TABLES_IO = "pg_statio_user_tables_"
_COUNTERS = (
    "seq_scan seq_tup_read idx_scan idx_tup_fetch n_tup_ins n_tup_upd n_tup_del n_tup_hot_upd"
)
_GAUGES = "n_live_tup n_dead_tup n_mod_since_analyze"
_TIMES = "last_vacuum last_autovacuum last_analyze last_autoanalyze"
_COUNTS = "vacuum_count autovacuum_count analyze_count autoanalyze_count"
_IO = (
    "heap_blocks_read heap_blocks_hit idx_blocks_read idx_blocks_hit toast_blocks_read "
    "toast_blocks_hit tidx_blocks_read tidx_blocks_hit"
)
#: The columns of `TABLES` after table, database, schema and name; then its size.
TABLE_COLUMNS: tuple[Column, ...] = (
    *_columns(_TABLES, "counter", _COUNTERS, "Of this table"),
    *_columns(_TABLES, "gauge", _GAUGES, "Of this table"),
    *_columns(_TABLES, "gauge", _TIMES, "When, in seconds since 1970, 0 for never"),
    *_columns(_TABLES, "counter", _COUNTS, "Of this table"),
    *_columns(_TABLES_IO, "counter", _IO, "Of this table"),
    *_columns(_TABLES, "gauge", "size_bytes", "Of this table, its indexes and what is toasted"),
)
#: Tables of a database that are counted, the largest ones: an app may make as many as it likes, and
#: each is 27 samples.
TABLES_COUNTED = 500
_FEW = f"""
  SELECT c.oid, c.reltoastrelid, c.relpages, count(*) OVER () AS total FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'm', 'p') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  ORDER BY c.relpages DESC, c.oid LIMIT {TABLES_COUNTED}
"""  # noqa: S608 - of a constant
TABLES = f"""
SELECT s.relid, current_database(), s.schemaname, s.relname,
       seq_scan, seq_tup_read, coalesce(idx_scan, 0), coalesce(idx_tup_fetch, 0), n_tup_ins,
       n_tup_upd, n_tup_del, n_tup_hot_upd, n_live_tup, n_dead_tup, n_mod_since_analyze,
       trunc(extract(epoch FROM coalesce(last_vacuum, 'epoch'))),
       trunc(extract(epoch FROM coalesce(last_autovacuum, 'epoch'))),
       trunc(extract(epoch FROM coalesce(last_analyze, 'epoch'))),
       trunc(extract(epoch FROM coalesce(last_autoanalyze, 'epoch'))),
       vacuum_count, autovacuum_count, analyze_count, autoanalyze_count,
       heap_blks_read, heap_blks_hit, coalesce(idx_blks_read, 0), coalesce(idx_blks_hit, 0),
       coalesce(toast_blks_read, 0), coalesce(toast_blks_hit, 0), coalesce(tidx_blks_read, 0),
       coalesce(tidx_blks_hit, 0), few.total
FROM ({_FEW}) few JOIN pg_stat_user_tables s ON s.relid = few.oid
JOIN pg_statio_user_tables io ON io.relid = s.relid
"""  # noqa: S608 - of a constant
#: Apart, for it waits for locks. Without those that somebody has for himself, or waits for: who
#: comes later waits behind.
TABLE_SIZES = f"""
WITH held AS MATERIALIZED (
  SELECT relation FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND locktype = 'relation'
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
)
SELECT few.oid, pg_total_relation_size(few.oid) FROM ({_FEW}) few
WHERE NOT EXISTS (
  SELECT FROM held WHERE relation IN (few.oid, few.reltoastrelid) OR relation IN (
    SELECT indexrelid FROM pg_index WHERE indrelid IN (few.oid, few.reltoastrelid)))
"""  # noqa: S608 - of a constant

#: The columns of `INDEXES` after database, schema, table and index.
INDEX_COLUMNS: tuple[Column, ...] = (
    ("pg_statio_user_indexes_idx_blks_read_total", "counter", "Blocks read from this index"),
    ("pg_statio_user_indexes_idx_blks_hit_total", "counter", "Buffer hits in this index"),
)
#: Those of the largest tables.
INDEXES = f"""
SELECT current_database(), s.schemaname, s.relname, s.indexrelname, s.idx_blks_read, s.idx_blks_hit
FROM ({_FEW}) few JOIN pg_statio_user_indexes s ON s.relid = few.oid
ORDER BY few.relpages DESC, few.oid, s.indexrelid LIMIT {TABLES_COUNTED}
"""  # noqa: S608 - of a constant

#: Where the extension is, quoted where it must be.
EXTENSION = """
SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'pg_stat_statements'
"""
#: The columns of `STATEMENTS` after its labels.
STATEMENT_LABELS = ("user", "datname", "queryid")
STATEMENT_COLUMNS: tuple[Column, ...] = tuple(
    (f"pg_stat_statements_{name}_total", "counter", text)
    for name, text in (
        ("calls", "Number of times executed"),
        ("seconds", "Total time spent in the statement, in seconds"),
        ("rows", "Total number of rows retrieved or affected by the statement"),
        ("block_read_seconds", "Total time the statement spent reading blocks, in seconds"),
        ("block_write_seconds", "Total time the statement spent writing blocks, in seconds"),
    )
)
#: As the exporter has it, the hundred dearest of those above the first tenth. Without the texts,
#: which the server would read from a file.
STATEMENTS = """
WITH s AS MATERIALIZED (
  SELECT userid, dbid, queryid, sum(calls) AS calls, sum(total_exec_time) AS total,
         sum(rows) AS rows, sum({io}blk_read_time) AS reading, sum({io}blk_write_time) AS writing
  FROM {schema}.pg_stat_statements(false) WHERE queryid IS NOT NULL GROUP BY 1, 2, 3
)
SELECT pg_get_userbyid(userid), d.datname, queryid, calls, total / 1000, rows, reading / 1000,
       writing / 1000
FROM s JOIN pg_database d ON d.oid = s.dbid
WHERE total > (SELECT percentile_cont(0.1) WITHIN GROUP (ORDER BY total) FROM s)
ORDER BY total DESC LIMIT 100
"""
