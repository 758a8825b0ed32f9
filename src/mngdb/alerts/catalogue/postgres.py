"""Rules for PostgreSQL, on postgres_exporter's metrics."""

from __future__ import annotations

from mngdb.alerts.expr import Expr, highest, increase, lowest, metric, total
from mngdb.alerts.rules import HOUR, MINUTE, Rule

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


RULES = (
    Rule(
        "PostgresDown",
        "postgres",
        "critical",
        lambda _: metric("pg_up").equals(0),
        None,
        MINUTE,
        "PostgreSQL {instance} does not answer",
        "The exporter cannot log in. Look at 'mngdb status' and 'mngdb logs {instance}'.",
        "B11",
        down=True,
    ),
    Rule(
        "PostgresExporterGone",
        "postgres",
        "critical",
        "pg_up",
        None,
        2 * MINUTE,
        "nothing measures PostgreSQL {instance}",
        "No exporter reports on it, so no other rule of it can fire. Look at 'mngdb status'.",
        "B11",
    ),
    Rule(
        "PostgresExporterFailing",
        "postgres",
        "warning",
        # an exporter that is too old for its server is half blind and says nothing but this
        lambda _: (
            (highest(metric("pg_exporter_last_scrape_error"), "instance") > 0)
            .otherwise(lowest(metric("pg_scrape_collector_success"), "instance").equals(0))
            .unless(metric("pg_up").equals(0), "instance")
        ),
        None,
        5 * MINUTE,
        "not everything of PostgreSQL {instance} can be measured",
        "The exporter's log says what fails: most often it is too old for the server.",
        "postgres_exporter 0.11 on PostgreSQL 17",
    ),
    Rule(
        "PostgresConnectionsHigh",
        "postgres",
        "warning",
        lambda share: share < _IN_USE / _LIMIT,
        0.8,
        5 * MINUTE,
        "PostgreSQL {instance} is near its limit of connections",
        "Look for an app that does not close its own ('mngdb connections {instance}'); raise "
        "'max_connections' only after that.",
        "B11",
    ),
    Rule(
        "PostgresConnectionsExhausted",
        "postgres",
        "critical",
        lambda share: share < _IN_USE / _LIMIT,
        0.95,
        MINUTE,
        "PostgreSQL {instance} has next to no connections left",
        "Apps get 'too many clients already'. 'mngdb connections {instance}' says who holds them.",
        "B11",
        covers="PostgresConnectionsHigh",
    ),
    Rule(
        "PostgresReplicationLag",
        "postgres",
        "warning",
        lambda seconds: (metric("pg_replication_lag_seconds") > seconds).where(
            metric("pg_replication_is_replica").equals(1)
        ),
        10,
        MINUTE,
        "the replica PostgreSQL {instance} is behind",
        "What it answers is old, and so much would be lost if the primary died now.",
        "B11",
    ),
    Rule(
        "PostgresDeadlocks",
        "postgres",
        "warning",
        lambda times: (
            total(increase(metric("pg_stat_database_deadlocks"), 5 * MINUTE), "instance", "datname")
            > times
        ),
        0,
        0,
        "transactions in {datname} of PostgreSQL {instance} lock each other",
        "One of them was cancelled. 'mngdb logs {instance}' names both statements.",
        "PostgreSQL 17, 13.3.4",
    ),
    Rule(
        "PostgresLocksNearLimit",
        "postgres",
        "critical",
        lambda share: total(metric("pg_locks_count"), "instance") / _LOCKS > share,
        0.7,
        0,
        "the lock table of PostgreSQL {instance} is nearly full",
        "Once it is, nobody can log in. Look for a transaction on thousands of tables, or an app "
        "that keeps advisory locks: 'mngdb sessions {instance}' names it, 'mngdb locks kill PID "
        "--terminate' ends it. If it needs so many, raise 'max_locks_per_transaction'.",
        "PostgreSQL 17, 19.12",
    ),
    Rule(
        "PostgresWraparoundNear",
        "postgres",
        "warning",
        lambda age: highest(_FROZEN, "instance", "datname") > age,
        500e6,
        10 * MINUTE,
        "autovacuum does not keep up in {datname} of PostgreSQL {instance}",
        "It should freeze at an age of 200 million transactions. Look for long transactions, "
        "prepared ones and forgotten slots.",
        "PostgreSQL 17, 24.1.5",
    ),
    Rule(
        "PostgresWraparoundImminent",
        "postgres",
        "critical",
        lambda age: highest(_FROZEN, "instance", "datname") > age,
        1.5e9,
        0,
        "{datname} of PostgreSQL {instance} will soon refuse writes",
        "It stops 3 million transactions before 2^31. End what holds vacuum back, then run "
        "VACUUM (FREEZE) in that database.",
        "PostgreSQL 17, 24.1.5",
        covers="PostgresWraparoundNear",
    ),
    Rule(
        "PostgresArchiveFailing",
        "postgres",
        "critical",
        lambda times: (
            increase(metric("pg_stat_archiver_failed_count"), 10 * MINUTE) > times
        ).unless(
            increase(metric("pg_stat_archiver_archived_count"), 5 * MINUTE) > 0,
            "instance",
        ),
        0,
        MINUTE,
        "PostgreSQL {instance} cannot archive its WAL",
        "No point in time after the last archived segment can be restored, and WAL piles up. "
        "The server's log has the command's error.",
        "A10, B11",
    ),
    Rule(
        "PostgresWalPilesUp",
        "postgres",
        "warning",
        lambda times: (
            highest(metric("pg_wal_size_bytes"), "instance")
            / highest(metric("pg_settings_max_wal_size_bytes"), "instance")
            > times
        ),
        2,
        10 * MINUTE,
        "PostgreSQL {instance} keeps far more WAL than max_wal_size",
        "Archiving fails, or a replication slot is forgotten. At a full disk the server stops.",
        "A10",
    ),
    Rule(
        "PostgresLongTransaction",
        "postgres",
        "warning",
        lambda seconds: _transactions(state="active|idle in transaction") > seconds,
        HOUR,
        0,
        "a transaction in {datname} of PostgreSQL {instance} is old",
        "Nothing that it might see can be cleaned up. 'mngdb sessions {instance}' names it, "
        "'mngdb locks kill PID --terminate' ends it.",
        "A12",
    ),
    Rule(
        "PostgresIdleInTransaction",
        "postgres",
        "warning",
        lambda seconds: (
            _transactions(state="idle in transaction|idle in transaction (aborted)") > seconds
        ),
        10 * MINUTE,
        0,
        "an app holds a transaction in {datname} of PostgreSQL {instance} and does nothing",
        "Its locks stay, and others wait. 'mngdb sessions {instance}' names it; "
        "'mngdb locks kill PID --terminate' ends it, 'idle_in_transaction_timeout' the next ones.",
        "A12",
    ),
)
