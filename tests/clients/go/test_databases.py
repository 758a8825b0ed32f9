"""Go's libraries for PostgreSQL and MongoDB."""

from __future__ import annotations

from functools import partial

import pytest

from tests.clients.apps import at_once
from tests.clients.languages import go, go_version
from tests.clients.record import record
from tests.conftest import Cli
from tests.live.clients import brought_up

pytestmark = pytest.mark.live

FILE = """
postgres: {port: PORT1}
mongodb: {port: PORT2}
apps:
  one: {postgres: one, mongodb: one}
  two: {postgres: two, mongodb: two}
"""
#: Software, module, engine, and what is run.
DID = [
    ("lib/pq", "github.com/lib/pq", "postgres", "database/sql: tables, transactions"),
    ("sqlx (Go)", "github.com/jmoiron/sqlx", "postgres", "named queries, transactions"),
    ("pgx", "github.com/jackc/pgx/v5", "postgres", "pool, COPY, batches"),
    ("golang-migrate", "github.com/golang-migrate/migrate/v4", "postgres", "up, down, drop"),
    ("goose", "github.com/pressly/goose/v3", "postgres", "up, down; its lock of a session"),
    ("River", "github.com/riverqueue/river", "postgres", "its migrations, workers, retries"),
    (
        "mongo-driver (Go)",
        "go.mongodb.org/mongo-driver/v2",
        "mongodb",
        "unique indexes, transactions",
    ),
]
stack = brought_up(FILE)


def test_all(stack: Cli) -> None:
    at_once(stack, "one", "two", run=partial(go, "databases"), reader="go")
    for software, module, engine, did in DID:
        record(software, go_version(module), engine, did)
