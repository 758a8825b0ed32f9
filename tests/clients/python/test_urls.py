"""Python's drivers, each connected by what `mngdb env APP --for DRIVER` prints for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.clients.languages import python, python_version
from tests.clients.record import record
from tests.clients.urls import encrypted, proved, stack, works
from tests.conftest import Cli

__all__ = ["stack"]
pytestmark = [pytest.mark.live, pytest.mark.slow]

#: Program, what it is called at `--for`, distribution, engines.
DRIVERS = [
    ("psycopg", "psycopg", "psycopg", "postgres"),
    ("psycopg2", "psycopg", "psycopg2-binary", "postgres"),
    ("libpq", "libpq", "psycopg", "postgres"),
    ("asyncpg", "asyncpg", "asyncpg", "postgres"),
    ("sqlalchemy", "sqlalchemy", "SQLAlchemy", "postgres"),
    ("sqlalchemy-asyncpg", "sqlalchemy-asyncpg", "SQLAlchemy", "postgres"),
    ("sqlalchemy-pg8000", "sqlalchemy-pg8000", "pg8000", "postgres"),
    ("tortoise", "tortoise", "tortoise-orm", "postgres"),
    ("django", "django", "Django", "postgres redis"),
    ("redis-py", "", "redis", "redis"),
    ("pymongo", "", "pymongo", "mongodb"),
]
#: What people call some of them.
_TITLES = {"psycopg2-binary": "psycopg2", "redis": "redis-py", "tortoise-orm": "Tortoise ORM"}


@pytest.mark.parametrize(("script", "driver", "name", "engine"), DRIVERS)
def test_a_driver_connects(
    stack: Cli, tmp_path: Path, script: str, driver: str, name: str, engine: str
) -> None:
    def program(env: Mapping[str, str]) -> str:
        return python("urls", env, script, packages="drivers")

    said = works(stack, driver, program, tmp_path)
    assert said.split()[-1].startswith("TLS" if encrypted(stack) else "none")
    if not encrypted(stack):
        for one in engine.split():
            record(_TITLES.get(name, name), python_version(name, "drivers"), one, proved(driver))
