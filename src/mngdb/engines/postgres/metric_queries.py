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

    sql: str
    labels: tuple[str, ...]
    columns: tuple[Column, ...]
    server: bool = False
    """Whether the samples carry the label `server`, as the exporter's older ones do."""
    since: int = 14
    """PostgreSQL's major version from which on it can be asked."""

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


def _columns(prefix: str, kind: Kind, names: str, text: str) -> tuple[Column, ...]:
    return tuple((prefix + name, kind, f"{text}: {name}") for name in names.split())


def _query(text: Mapping[str, Any]) -> Query:
    columns = ((name, *column) for name, kind in text["metrics"].items() for column in kind.items())
    return Query(
        text["sql"],
        tuple(text.get("labels", ())),
        tuple(columns),
        text.get("server", False),
        text.get("since", 14),
    )


#: Those that cost next to nothing.
CHEAP: tuple[Query, ...] = tuple(map(_query, values(__file__)))

#: Only when the server has read its files since. The cost of the view is saved as well.
SETTINGS = """
SELECT l.at, s.name, s.setting, s.unit, s.vartype
FROM (SELECT concat(pg_conf_load_time(), pg_is_in_recovery()) AS at) l
CROSS JOIN LATERAL (
    SELECT name, setting, coalesce(unit, '') AS unit, vartype FROM pg_settings
    WHERE l.at <> '{loaded}' AND vartype IN ('bool', 'integer', 'real')
) s
"""

#: Databases whose size one scrape asks for: each is a walk through its files.
SIZES_MAX = 100
SIZES = """
SELECT datname, pg_database_size(oid), oid FROM pg_database
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
#: The columns of `TABLES` after database, schema and table.
TABLE_COLUMNS: tuple[Column, ...] = (
    *_columns(_TABLES, "counter", _COUNTERS, "Of this table"),
    *_columns(_TABLES, "gauge", _GAUGES, "Of this table"),
    *_columns(_TABLES, "gauge", _TIMES, "When, in seconds since 1970, 0 for never"),
    *_columns(_TABLES, "counter", _COUNTS, "Of this table"),
    *_columns(_TABLES, "gauge", "size_bytes", "Of this table, its indexes and what is toasted"),
    *_columns(_TABLES_IO, "counter", _IO, "Of this table"),
)
#: Tables of a database that are counted, the largest ones: an app may make as many as it likes, and
#: each is 27 samples.
TABLES_COUNTED = 500
TABLES = f"""
SELECT current_database(), s.schemaname, s.relname,
       seq_scan, seq_tup_read, coalesce(idx_scan, 0), coalesce(idx_tup_fetch, 0), n_tup_ins,
       n_tup_upd, n_tup_del, n_tup_hot_upd, n_live_tup, n_dead_tup, n_mod_since_analyze,
       trunc(extract(epoch FROM coalesce(last_vacuum, 'epoch'))),
       trunc(extract(epoch FROM coalesce(last_autovacuum, 'epoch'))),
       trunc(extract(epoch FROM coalesce(last_analyze, 'epoch'))),
       trunc(extract(epoch FROM coalesce(last_autoanalyze, 'epoch'))),
       vacuum_count, autovacuum_count, analyze_count, autoanalyze_count,
       pg_total_relation_size(s.relid),
       heap_blks_read, heap_blks_hit, coalesce(idx_blks_read, 0), coalesce(idx_blks_hit, 0),
       coalesce(toast_blks_read, 0), coalesce(toast_blks_hit, 0), coalesce(tidx_blks_read, 0),
       coalesce(tidx_blks_hit, 0), few.total
FROM (
  SELECT c.oid, count(*) OVER () AS total FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'm', 'p') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  ORDER BY c.relpages DESC, c.oid LIMIT {TABLES_COUNTED}
) few JOIN pg_stat_user_tables s ON s.relid = few.oid
JOIN pg_statio_user_tables io ON io.relid = s.relid
"""  # noqa: S608 - of a constant
