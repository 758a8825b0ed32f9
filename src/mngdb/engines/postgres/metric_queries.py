"""The queries that PostgreSQL's metrics are made of, and the families that their columns become.

Names, labels and types are postgres_exporter's; tests/live/test_metrics_exporters.py compares them
with the exporter itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mngdb.engines.postgres.batch import Rows
from mngdb.samples import Family, Kind, Sample

Column = tuple[str, Kind, str]


@dataclass(frozen=True)
class Query:
    """A query whose first columns are labels and whose others are values, in order. NULL is no
    sample."""

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


_DATABASE = "pg_stat_database_"
_CONFLICTS = "pg_stat_database_conflicts_"

CHEAP: tuple[Query, ...] = (
    Query(
        "SELECT datname, datconnlimit, age(datfrozenxid), mxid_age(datminmxid) FROM pg_database",
        ("datname",),
        (
            ("pg_database_connection_limit", "gauge", "Connection limit set for the database"),
            (
                "pg_database_wraparound_age_datfrozenxid_seconds",
                "gauge",
                "Age of the oldest transaction ID that is not frozen, in transactions",
            ),
            (
                "pg_database_wraparound_age_datminmxid_seconds",
                "gauge",
                "Age of the oldest multi-transaction ID that is not replaced, in transactions",
            ),
        ),
    ),
    Query(
        """
        SELECT datid, datname, extract(epoch FROM coalesce(stats_reset, 'epoch'::timestamptz)),
               numbackends, xact_commit, xact_rollback, blks_read, blks_hit, tup_returned,
               tup_fetched, tup_inserted, tup_updated, tup_deleted, conflicts, temp_files,
               temp_bytes, deadlocks, blk_read_time, blk_write_time, active_time / 1000
        FROM pg_stat_database WHERE datname IS NOT NULL
        """,
        ("datid", "datname"),
        (
            (_DATABASE + "stats_reset", "counter", "When these statistics were last reset"),
            (_DATABASE + "numbackends", "gauge", "Backends connected to this database"),
            *_columns(
                _DATABASE,
                "counter",
                "xact_commit xact_rollback blks_read blks_hit tup_returned tup_fetched "
                "tup_inserted tup_updated tup_deleted conflicts temp_files temp_bytes deadlocks "
                "blk_read_time blk_write_time",
                "Of this database",
            ),
            (
                _DATABASE + "active_time_seconds_total",
                "counter",
                "Time spent executing SQL statements in this database, in seconds",
            ),
        ),
    ),
    Query(
        """
        SELECT datid, datname, confl_tablespace, confl_lock, confl_snapshot, confl_bufferpin,
               confl_deadlock FROM pg_stat_database_conflicts
        """,
        ("datid", "datname"),
        _columns(
            _CONFLICTS,
            "counter",
            "confl_tablespace confl_lock confl_snapshot confl_bufferpin confl_deadlock",
            "Queries of a standby that were cancelled",
        ),
        server=True,
    ),
    Query(
        "SELECT datid, datname, confl_active_logicalslot FROM pg_stat_database_conflicts",
        ("datid", "datname"),
        _columns(
            _CONFLICTS,
            "untyped",
            "confl_active_logicalslot",
            "Logical slots of a standby that were invalidated",
        ),
        server=True,
        since=16,
    ),
    Query(
        """
        SELECT datname, state, coalesce(usename, ''), application_name, backend_type,
               coalesce(wait_event_type, ''), coalesce(wait_event, ''), count(*),
               coalesce(max(extract(epoch FROM now() - xact_start)), 0)
        FROM pg_stat_activity WHERE datname IS NOT NULL AND state IS NOT NULL
        GROUP BY 1, 2, 3, 4, 5, 6, 7
        """,
        (
            "datname",
            "state",
            "usename",
            "application_name",
            "backend_type",
            "wait_event_type",
            "wait_event",
        ),
        (
            ("pg_stat_activity_count", "gauge", "number of connections in this state"),
            (
                "pg_stat_activity_max_tx_duration",
                "gauge",
                "max duration in seconds any active transaction has been running",
            ),
        ),
        server=True,
    ),
    Query(
        """
        SELECT d.datname, lower(l.mode), count(*) FROM pg_locks l
        JOIN pg_database d ON d.oid = l.database GROUP BY 1, 2
        """,
        ("datname", "mode"),
        (("pg_locks_count", "gauge", "Number of locks"),),
    ),
    Query(
        """
        SELECT archived_count, failed_count,
               coalesce(extract(epoch FROM now() - last_archived_time), 'NaN')
        FROM pg_stat_archiver
        """,
        (),
        (
            (
                "pg_stat_archiver_archived_count",
                "counter",
                "Number of WAL files that have been successfully archived",
            ),
            (
                "pg_stat_archiver_failed_count",
                "counter",
                "Number of failed attempts for archiving WAL files",
            ),
            (
                "pg_stat_archiver_last_archive_age",
                "gauge",
                "Time in seconds since last WAL segment was successfully archived",
            ),
        ),
        server=True,
    ),
    Query(
        """
        SELECT buffers_clean, maxwritten_clean, buffers_alloc,
               trunc(extract(epoch FROM stats_reset)) FROM pg_stat_bgwriter
        """,
        (),
        _columns(
            "pg_stat_bgwriter_",
            "counter",
            "buffers_clean_total maxwritten_clean_total buffers_alloc_total stats_reset_total",
            "Of the background writer",
        ),
    ),
    Query(
        """
        SELECT num_timed, num_requested, restartpoints_timed, restartpoints_req,
               restartpoints_done, write_time, sync_time, buffers_written,
               trunc(extract(epoch FROM stats_reset)) FROM pg_stat_checkpointer
        """,
        (),
        _columns(
            "pg_stat_checkpointer_",
            "counter",
            "num_timed_total num_requested_total restartpoints_timed_total "
            "restartpoints_req_total restartpoints_done_total write_time_total sync_time_total "
            "buffers_written_total stats_reset_total",
            "Of the checkpointer",
        ),
        since=17,
    ),
    Query(
        """
        SELECT CASE WHEN NOT pg_is_in_recovery() THEN 0
                    WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
                    ELSE greatest(0, extract(epoch FROM now() - pg_last_xact_replay_timestamp()))
               END,
               pg_is_in_recovery()::int,
               greatest(0, coalesce(extract(epoch FROM now() - pg_last_xact_replay_timestamp()), 0))
        """,
        (),
        (
            ("pg_replication_lag_seconds", "gauge", "Replication lag behind master in seconds"),
            ("pg_replication_is_replica", "gauge", "Indicates if the server is a replica"),
            ("pg_replication_last_replay_seconds", "gauge", "Age of last replay in seconds"),
        ),
    ),
    Query(
        """
        SELECT application_name, client_addr, state,
               pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()
                                    ELSE pg_current_wal_lsn() END, replay_lsn)
        FROM pg_stat_replication
        """,
        ("application_name", "client_addr", "state"),
        (
            (
                "pg_stat_replication_pg_wal_lsn_diff",
                "gauge",
                "Lag in bytes between master and slave",
            ),
        ),
        server=True,
    ),
    Query(
        """
        SELECT slot_name, slot_type, active::int, safe_wal_size,
               pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()
                                    ELSE pg_current_wal_lsn() END, restart_lsn)
        FROM pg_replication_slots
        """,
        ("slot_name", "slot_type"),
        (
            (
                "pg_replication_slot_slot_is_active",
                "gauge",
                "whether the replication slot is active or not",
            ),
            (
                "pg_replication_slot_safe_wal_size_bytes",
                "gauge",
                "number of bytes that can be written to WAL before the slot is lost",
            ),
            (
                "pg_replication_slots_pg_wal_lsn_diff",
                "gauge",
                "WAL in bytes that the slot keeps",
            ),
        ),
    ),
    Query(
        """
        SELECT count(*), min(extract(epoch FROM xact_start)) FROM pg_stat_activity
        WHERE state IS DISTINCT FROM 'idle' AND backend_type = 'client backend'
          AND now() - xact_start > interval '5 minutes'
        """,
        (),
        (
            (
                "pg_long_running_transactions",
                "gauge",
                "Transactions that run for longer than five minutes",
            ),
            (
                "pg_long_running_transactions_oldest_timestamp_seconds",
                "gauge",
                "When the oldest of them began",
            ),
        ),
    ),
    Query(
        "SELECT rolname, rolconnlimit FROM pg_roles",
        ("rolname",),
        (("pg_roles_connection_limit", "gauge", "Connection limit set for the role"),),
    ),
    Query(
        "SELECT count(*), sum(size) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'",
        (),
        (
            ("pg_wal_segments", "gauge", "Number of WAL segments"),
            ("pg_wal_size_bytes", "gauge", "Total size of WAL segments"),
        ),
    ),
    Query(
        """
        SELECT version(), regexp_replace(current_setting('server_version'),
                                         '^(\\d+)\\.(\\d+).*$', '\\1.\\2.0'), 1
        """,
        ("version", "short_version"),
        (("pg_static", "untyped", "Version string as reported by postgres"),),
        server=True,
    ),
)

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
