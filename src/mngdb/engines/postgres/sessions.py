"""Who is connected to PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection

from mngdb.engines.postgres.client import Session
from mngdb.engines.postgres.locks import hidden, need_sight
from mngdb.facts.sessions import OneSession, Sessions
from mngdb.spec.postgres import RESERVED

_QUERY = """
SELECT pid::text, coalesce(usename, ''), coalesce(datname, ''),
       concat_ws(' ', host(client_addr), nullif(application_name, '')),
       CASE WHEN wait_event_type = 'Lock' THEN 'waiting' ELSE coalesce(state, '') END,
       extract(epoch FROM clock_timestamp() - coalesce(state_change, backend_start))::float8, query
FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY state_change
"""
#: Also those that follow the log.
_END = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE usename = %s AND pid <> pg_backend_pid() AND coalesce(pid::text = ANY(%s::text[]), true)
"""
_OWN = "SELECT rolname, rolconnlimit FROM pg_roles WHERE rolconnlimit >= 0"


def look(session: Session) -> Sessions:
    """Every client's session but our own. Raises UnobservableError."""
    need_sight(session)
    ((limit,),) = session.rows("SELECT current_setting('max_connections')::int")
    return Sessions(
        limit,
        tuple(
            OneSession(pid, app, database, client, state, max(0.0, seconds), hidden(query or ""))
            for pid, app, database, client, state, seconds, query in session.rows(_QUERY)
        ),
        RESERVED,
        dict(session.rows(_OWN)),
        texts=True,
    )


def hang_up(session: Session, login: str, only: Collection[str] | None) -> None:
    """End the sessions of a login but our own, or those of them with the ids `only`. Raises
    UnobservableError."""
    session.rows(_END, login, None if only is None else [*only])
