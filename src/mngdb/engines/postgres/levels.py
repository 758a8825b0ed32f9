"""What the rights of roles come to in a database, whoever they have them from: how `init --from`
writes them into the file, and how a server that is adopted is compared with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from psycopg import sql

from mngdb.data import text

_QUERY = text(__file__, "levels.sql")
_BY_PUBLIC = text(__file__, "by_public.sql")


class Level(Struct, frozen=True):
    """What a role may do with the tables of a database (views are among them)."""

    tables: int = 0
    """How many there are."""
    owned: int = 0
    reads: int = 0
    writes: int = 0
    """Those on which it has INSERT, UPDATE and DELETE."""
    touches: int = 0
    """Those on which it has any right to write."""

    @property
    def access(self) -> str:
        """As the file says it: `readwrite`, `readonly`; empty: it is neither."""
        if not self.tables or self.reads < self.tables:
            return ""
        if self.writes == self.tables:
            return "readwrite"
        return "" if self.touches else "readonly"

    def enough(self, access: str) -> bool:
        """Whether it may do all that `access` stands for with what is there."""
        return self.reads == self.tables and (access == "readonly" or self.writes == self.tables)


def look(connection: Any, roles: Sequence[str]) -> dict[str, Level]:
    """Role to its level in the connection's database. Raises UnobservableError."""
    from mngdb.engines.postgres import client

    query = sql.SQL(_QUERY).format()
    return {name: Level(*counts) for name, *counts in client.rows(connection, query, list(roles))}


def by_public(connection: Any) -> tuple[str, ...]:
    """The logins with rights on tables of the connection's database that may connect to it because
    everybody may. Raises UnobservableError."""
    from mngdb.engines.postgres import client

    return tuple(name for (name,) in client.rows(connection, sql.SQL(_BY_PUBLIC).format()))
