"""What `status` asks of a server: it needs none of what `observe` does."""

from __future__ import annotations

from mngdb.engines.postgres.client import Session
from mngdb.model import Vitals


def vitals(session: Session) -> Vitals:
    """Version and uptime, asked with a real query."""
    version, uptime = session.rows(
        "SELECT current_setting('server_version'), "
        "extract(epoch FROM now() - pg_postmaster_start_time())::float8"
    )[0]
    return Vitals(version.split()[0], max(0.0, uptime), "PostgreSQL")
