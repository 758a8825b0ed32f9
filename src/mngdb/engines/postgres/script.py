"""A session that writes down what it is told, for psql to say later."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import sql

_HEAD = """\
-- Databases, logins and rights at the first start. Written by mngdb; `mngdb up` does the same, and
-- whatever changes later. Passwords are SCRAM verifiers.
\\set ON_ERROR_STOP on
"""
#: At the first start, there is no archive yet that commits could wait for.
_WAITS_FOR_NOBODY = "SET synchronous_commit = local;"


class Script:
    """Stands in for `client.Session` where steps only write."""

    def __init__(self) -> None:
        self._lines = [_WAITS_FOR_NOBODY]
        self._database = "postgres"

    def execute(self, *statements: sql.Composed) -> None:
        """Statements of one transaction."""
        self._into("postgres")
        self.together(*statements)

    def alone(self, statement: sql.Composed) -> None:
        """A statement that takes no transaction."""
        self._into("postgres")
        self._lines.append(statement.as_string(None) + ";")

    def copy(self, _: str, statement: sql.Composed) -> None:
        """A statement that makes a database from template0."""
        self.alone(statement)

    @contextmanager
    def inside(self, database: str) -> Iterator[Any]:
        """What is written meanwhile is for another database."""
        self._into(database)
        yield _Inside(self)

    def text(self) -> str:
        """All of it."""
        return _HEAD + "\n".join(self._lines) + "\n"

    def _into(self, database: str) -> None:
        if database != self._database:
            connect = "\\connect " + sql.Identifier(database).as_string(None)
            self._lines += [connect, _WAITS_FOR_NOBODY]
            self._database = database

    def together(self, *statements: sql.Composable) -> None:
        """Statements of one transaction, in the database that the script is in."""
        self._lines += ["BEGIN;", *(one.as_string(None) + ";" for one in statements), "COMMIT;"]


class _Inside:
    """Stands in for a connection."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def execute(self, query: sql.Composable) -> None:
        """One statement, or several that were joined to go in one round trip."""
        self._script.together(query)
