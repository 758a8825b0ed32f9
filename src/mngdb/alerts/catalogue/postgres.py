"""Rules for PostgreSQL, on postgres_exporter's metrics."""

from __future__ import annotations

from mngdb.alerts.expr import Expr, highest, increase, lowest, metric, total
from mngdb.alerts.rules import MINUTE, described

_NOT_SUPERUSERS = metric("pg_settings_max_connections") - metric(
    "pg_settings_superuser_reserved_connections"
)
#: What apps can have: the last ones are the administrator's and, from PostgreSQL 16 on, the
#: monitor's.
_LIMIT = highest(
    (_NOT_SUPERUSERS - metric("pg_settings_reserved_connections")).otherwise(_NOT_SUPERUSERS),
    "instance",
)
_IN_USE = total(metric("pg_stat_database_numbackends"), "instance")
#: Places in the table of locks that all sessions share (PostgreSQL 17, 19.12).
_LOCKS = highest(metric("pg_settings_max_locks_per_transaction"), "instance") * highest(
    metric("pg_settings_max_connections") + metric("pg_settings_max_prepared_transactions"),
    "instance",
)
_FROZEN = metric("pg_database_wraparound_age_datfrozenxid_seconds")


def _transactions(*, state: str) -> Expr:
    """The oldest transaction of each database; those of users, not autovacuum's."""
    longest = metric("pg_stat_activity_max_tx_duration", state=state, usename="!")
    return highest(longest, "instance", "datname")


RULES = described(
    __file__,
    {
        "PostgresDown": lambda _: metric("pg_up").equals(0),
        "PostgresExporterGone": "pg_up",
        # an exporter that is too old for its server is half blind and says nothing but this
        "PostgresExporterFailing": lambda _: (
            (highest(metric("pg_exporter_last_scrape_error"), "instance") > 0)
            .otherwise(lowest(metric("pg_scrape_collector_success"), "instance").equals(0))
            .unless(metric("pg_up").equals(0), "instance")
        ),
        "PostgresConnectionsHigh": lambda share: share < _IN_USE / _LIMIT,
        "PostgresConnectionsExhausted": lambda share: share < _IN_USE / _LIMIT,
        "PostgresReplicationLag": lambda seconds: (
            metric("pg_replication_lag_seconds") > seconds
        ).where(metric("pg_replication_is_replica").equals(1)),
        "PostgresDeadlocks": lambda times: (
            total(increase(metric("pg_stat_database_deadlocks"), 5 * MINUTE), "instance", "datname")
            > times
        ),
        "PostgresLocksNearLimit": lambda share: (
            total(metric("pg_locks_count"), "instance") / _LOCKS > share
        ),
        "PostgresWraparoundNear": lambda age: highest(_FROZEN, "instance", "datname") > age,
        "PostgresWraparoundImminent": lambda age: highest(_FROZEN, "instance", "datname") > age,
        "PostgresArchiveFailing": lambda times: (
            increase(metric("pg_stat_archiver_failed_count"), 10 * MINUTE) > times
        ).unless(
            increase(metric("pg_stat_archiver_archived_count"), 5 * MINUTE) > 0,
            "instance",
        ),
        "PostgresWalPilesUp": lambda times: (
            highest(metric("pg_wal_size_bytes"), "instance")
            / highest(metric("pg_settings_max_wal_size_bytes"), "instance")
            > times
        ),
        "PostgresLongTransaction": lambda seconds: (
            _transactions(state="active|idle in transaction") > seconds
        ),
        "PostgresIdleInTransaction": lambda seconds: (
            _transactions(state="idle in transaction|idle in transaction (aborted)") > seconds
        ),
    },
)
