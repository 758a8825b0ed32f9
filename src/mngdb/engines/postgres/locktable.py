"""A lock table that is full: who filled it.

Every session may fill the table that all of them share, with pg_advisory_lock for instance. Views
as pg_stat_activity and pg_locks then fail: they hold locks on shared catalogs until they are done,
and no place is free for these. Functions hold none.

https://www.postgresql.org/docs/current/runtime-config-locks.html
"""

from __future__ import annotations

from typing import Any

import psycopg

_HOLDER = """
SELECT l.pid, l.held, pg_get_userbyid(a.usesysid) FROM (
  SELECT pid, count(*) AS held FROM pg_lock_status() WHERE pid <> pg_backend_pid()
  GROUP BY pid ORDER BY held DESC LIMIT 1) l, pg_stat_get_activity(l.pid) a
"""


def cause(connection: psycopg.Connection[Any], error: psycopg.Error) -> tuple[str, str] | None:
    """What is so and what to do, where an error says that the lock table is full."""
    if "max_locks_per_transaction" not in (error.diag.message_hint or ""):
        return None
    full = "PostgreSQL's lock table is full"
    try:
        found = connection.execute(_HOLDER).fetchone()
    except psycopg.Error:
        found = None
    if found is None:
        return full, "'mngdb locks' shows who holds what; 'mngdb restart' empties it"
    pid, held, login = found
    return (
        f"{full}: the session {pid} of {login} holds {held} locks",
        f"mngdb locks kill {pid} --terminate",
    )
