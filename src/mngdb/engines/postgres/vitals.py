"""What `status` asks of a server: it needs none of what `observe` does."""

from __future__ import annotations

from mngdb.engines.postgres.client import Session
from mngdb.errors import UnobservableError
from mngdb.model import Role, Vitals


def vitals(session: Session) -> Vitals:
    """Version, uptime and role, asked with a real query."""
    version, uptime, replica = session.rows(
        "SELECT /* mngdb */ current_setting('server_version'), "
        "extract(epoch FROM now() - pg_postmaster_start_time())::float8, pg_is_in_recovery()"
    )[0]
    role: Role = "replica" if replica else "primary"
    lag = _lag(session) if replica else None
    return Vitals(version.split()[0], max(0.0, uptime), "PostgreSQL", role, lag)


def _lag(session: Session) -> float | None:
    """The age of the last transaction that was replayed, unless all is replayed and more would
    come; None: there was none yet, or this service's PostgreSQL does not tell."""
    try:
        ((lag,),) = session.rows(
            "SELECT CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()"
            " AND EXISTS (SELECT FROM pg_stat_wal_receiver) THEN 0"
            " ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())"
            " END::float8"
        )
    except UnobservableError:
        return None
    return None if lag is None else max(0.0, lag)
