"""The databases of a PostgreSQL server, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg

from mngdb.engines.postgres.client import Session
from mngdb.errors import ConnectError

_EVERY = """
SELECT datname FROM pg_database
WHERE datallowconn AND NOT datistemplate AND has_database_privilege(oid, 'CONNECT') ORDER BY 1
"""


def every(session: Session) -> list[str]:
    """Those that this login may enter."""
    return [str(name) for (name,) in session.rows(_EVERY)]


def inside_each(
    session: Session, databases: Iterable[str], closed: list[str]
) -> Iterator[tuple[str, psycopg.Connection[Any]]]:
    """A connection into each; those that let nobody in (as a provider's own) come to `closed`."""
    for name in databases:
        with ExitStack() as entered:
            try:
                connection = entered.enter_context(session.inside(name))
            except ConnectError as error:
                if error.kind == "down":
                    raise
                closed.append(f"{name} was not looked at: {error.message}")
                continue
            yield name, connection
