"""A lock table that is full: who filled it.

Every session may fill the table that all of them share, with pg_advisory_lock for instance. Views
as pg_stat_activity and pg_locks then fail: they hold locks on shared catalogs until they are done,
and no place is free for these. Functions hold none.

https://www.postgresql.org/docs/current/runtime-config-locks.html
"""

from __future__ import annotations

from typing import Any, LiteralString

import psycopg

_HOLDER = """
SELECT pid, count(*) FROM pg_lock_status() WHERE pid <> pg_backend_pid()
GROUP BY pid ORDER BY 2 DESC LIMIT 1
"""
#: The name is in a shared catalog, which takes a lock when it is not cached.
_LOGIN = "SELECT pg_get_userbyid(usesysid) FROM pg_stat_get_activity(%s)"


def cause(connection: psycopg.Connection[Any], error: psycopg.Error) -> tuple[str, str] | None:
    """What is so and what to do, where an error says that the lock table is full."""
    if "max_locks_per_transaction" not in (error.diag.message_hint or ""):
        return None
    full = "PostgreSQL's lock table is full"
    remedy = "'mngdb restart' ends all sessions"
    found = _row(connection, _HOLDER)
    if found is None:
        return full, remedy
    pid, held = found
    login = _row(connection, _LOGIN, pid)
    whose = f" of {login[0]}" if login else ""
    return (
        f"{full}: the session {pid}{whose} holds {held} locks",
        f"mngdb locks kill {pid} --terminate; if no session can start any more, {remedy}",
    )


def _row(
    connection: psycopg.Connection[Any], query: LiteralString, *values: object
) -> tuple[Any, ...] | None:
    """The first row; None where even this finds no place."""
    try:
        return connection.execute(query, values or None).fetchone()
    except psycopg.errors.OutOfMemory:
        return None
