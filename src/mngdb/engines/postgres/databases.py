"""The databases of a PostgreSQL server, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import psycopg

from mngdb.engines.postgres.client import Session, rows
from mngdb.errors import ConnectError, UnobservableError
from mngdb.model import DesiredInstance
from mngdb.spec.postgres import PostgresGrant
from mngdb.spec.several import named

T = TypeVar("T")

_EVERY = """
SELECT datname FROM pg_database
WHERE datallowconn AND NOT datistemplate AND has_database_privilege(oid, 'CONNECT') ORDER BY 1
"""
#: For a lock that came in between: what only looks does not wait for long in each database.
_PATIENCE = "3s"
#: Also those of which somebody waits for such a lock: who comes later waits behind.
_LOCKED = """
SELECT DISTINCT relation::int8 FROM pg_locks
WHERE mode = 'AccessExclusiveLock' AND pid IS DISTINCT FROM pg_backend_pid()
  AND locktype = 'relation'
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def of_apps(session: Session, asked: DesiredInstance) -> list[str]:
    """Those that the file names, also by their beginning; where it names none, as of a server that
    somebody else runs, all that this login may enter."""
    grants = asked.instance.granted(PostgresGrant).values()
    if not grants:
        return session.names(_EVERY)
    found = set(named(grants))
    if any(grant.prefixes for grant in grants):
        every = session.names(_EVERY)
        found |= {name for name in every if any(grant.covers(name) for grant in grants)}
    return sorted(found)


def look_into(
    session: Session,
    databases: Iterable[str],
    look: Callable[[str, psycopg.Connection[Any]], Iterable[T]],
    left_out: list[str],
) -> list[T]:
    """What `look` finds in each database. One that lets nobody in, as a provider's own, or that
    gives no answer, as where somebody holds a lock, comes to `left_out`."""
    found: list[T] = []
    for name in databases:
        try:
            with session.inside(name, lock_timeout=_PATIENCE) as connection:
                found += look(name, connection)
        except UnobservableError as error:
            if isinstance(error, ConnectError) and error.kind == "down":
                raise
            hint = f" ({error.hint})" if error.hint else ""
            left_out.append(f"{name} was skipped: {error.message}{hint}")
    return found


def locked(connection: psycopg.Connection[Any], database: str, left_out: list[str]) -> list[int]:
    """Tables and indexes that nobody may even read now; to ask for their size would wait."""
    found = [oid for (oid,) in rows(connection, _LOCKED)]
    if found:
        what = f"{len(found)} locked tables are" if len(found) > 1 else "a locked table is"
        left_out.append(f"{database}: {what} left out, see 'mngdb locks'")
    return found
