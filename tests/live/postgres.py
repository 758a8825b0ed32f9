"""psycopg as users use it, and a stack whose tests leave it as they found it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.conftest import Cli
from tests.live.clients import url
from tests.live.scrapes import until

Connection = psycopg.Connection[Any]


@contextlib.contextmanager
def pg(cli: Cli, app: str | None = None, database: str = "", **more: Any) -> Iterator[Connection]:
    """psycopg from the URL that `mngdb` prints alone; without an app as the administrator."""
    if database:
        more["dbname"] = database
    instance = more.pop("instance", "postgres")
    with psycopg.connect(url(cli, instance, app), autocommit=True, **more) as connection:
        yield connection


def sql(cli: Cli, *statements: str, app: str | None = None, database: str = "") -> list[Any]:
    """The rows of the last of several statements."""
    with pg(cli, app, database) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def value(cli: Cli, statement: str, app: str | None = None, database: str = "") -> Any:
    """The only value of the only row."""
    ((found,),) = sql(cli, statement, app=app, database=database)
    return found


def alone(cli: Cli) -> None:
    """Wait until no session is left of those that were closed: the server takes its time, and
    counts them until then."""
    others = "pid <> pg_backend_pid() AND backend_type = 'client backend'"
    until(lambda: value(cli, f"SELECT count(*) FROM pg_stat_activity WHERE {others}") == 0)


def refused(cli: Cli, app: str, statement: str, database: str = "") -> str:
    """The error that an app gets for a statement; fails when it is let through."""
    with pg(cli, app, database) as connection, pytest.raises(psycopg.Error) as error:
        connection.execute(statement)
    return type(error.value).__name__
