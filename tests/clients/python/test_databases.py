"""Python's libraries for PostgreSQL and MongoDB; `just test-clients` alone fetches them."""

from __future__ import annotations

import pytest

from tests.clients.apps import at_once
from tests.clients.languages import python, python_version
from tests.clients.record import record
from tests.conftest import Cli
from tests.live.clients import brought_up

pytestmark = pytest.mark.live

FILE = """
postgres: {port: PORT1, version: 18}
mongodb: {port: PORT2}
apps:
  one: {postgres: {database: one, extensions: [vector]}, mongodb: one}
  two: {postgres: {database: two, extensions: [vector]}, mongodb: two}
"""
#: A step of databases.py, which is its distribution, what people call it, engine, what `--for` is
#: given, and what is run.
STEPS = [
    ("alembic", "Alembic", "postgres", "sqlalchemy", "autogenerate, upgrade, check, downgrade"),
    ("procrastinate", "Procrastinate", "postgres", "psycopg", "its schema, a worker, retries"),
    (
        "pgvector",
        "pgvector",
        "postgres",
        "psycopg",
        "columns, an HNSW index, nearest rows; on PostgreSQL 18 from pip",
    ),
    ("mongoengine", "MongoEngine", "mongodb", "shell", "models, indexes, references, GridFS"),
    ("beanie", "Beanie", "mongodb", "shell", "models, indexes, transactions, change streams"),
]
stack = brought_up(FILE)


@pytest.mark.parametrize(("step", "title", "engine", "reader", "did"), STEPS)
def test_all(stack: Cli, step: str, title: str, engine: str, reader: str, did: str) -> None:
    def run(env: dict[str, str]) -> None:
        python("databases", env, step, packages="databases")

    at_once(stack, "one", "two", run=run, reader=reader)
    record(title, python_version(step, "databases"), engine, did)
