"""Node's libraries for PostgreSQL and MongoDB."""

from __future__ import annotations

import pytest

from tests.clients.apps import at_once
from tests.clients.languages import node, node_version
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
#: A step of sql.mjs, npm's package, the software's name, and what is run.
SQL = [
    ("pg", "pg", "node-postgres (pg)", "pool, tables, transactions, LISTEN and NOTIFY"),
    ("knex", "knex", "Knex", "migrations up and down, transactions, jsonb"),
    ("sequelize", "sequelize", "Sequelize", "sync, alter, enum, associations, transactions"),
    ("typeorm", "typeorm", "TypeORM", "synchronize, uuid keys (uuidExtension: 'pgcrypto')"),
    ("drizzle", "drizzle-orm", "Drizzle", "migrations, transactions"),
    ("pgboss", "pg-boss", "pg-boss", "its schema, queue, worker, schedule"),
]
stack = brought_up(FILE)


@pytest.mark.parametrize(("step", "package", "software", "did"), SQL)
def test_postgres(stack: Cli, step: str, package: str, software: str, did: str) -> None:
    at_once(stack, "one", "two", run=lambda env: node("sql", env, step), reader="node")
    record(software, node_version(package), "postgres", did)


def test_mongoose(stack: Cli) -> None:
    run = "mongoose"
    at_once(stack, "one", "two", run=lambda env: node("mongo", env, run), reader="mongoose")
    did = "models, unique and TTL indexes, syncIndexes, transactions, change streams, populate"
    record("mongoose", node_version("mongoose"), "mongodb", did)
