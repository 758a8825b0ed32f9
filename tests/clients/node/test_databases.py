"""Node's libraries for PostgreSQL and MongoDB."""

from __future__ import annotations

from functools import partial

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
  maker1: {postgres: {database: maker1, create_databases: true}}
  maker2: {postgres: {database: maker2, create_databases: true}}
"""
#: A step of sql.mjs, npm's package, the software's name, and what is run.
SQL = [
    ("pg", "pg", "node-postgres (pg)", "pool, tables, transactions, LISTEN and NOTIFY"),
    ("knex", "knex", "Knex", "migrations up and down, transactions, jsonb"),
    ("sequelize", "sequelize", "Sequelize", "sync, alter, enum, associations, transactions"),
    ("typeorm", "typeorm", "TypeORM", "synchronize, uuid keys (uuidExtension: 'pgcrypto')"),
    ("drizzle", "drizzle-orm", "Drizzle", "migrations, transactions"),
    ("pgboss", "pg-boss", "pg-boss", "its schema, queue, worker, schedule"),
    (
        "sessions",
        "connect-pg-simple",
        "connect-pg-simple",
        "its table; a session begins, goes on and ends",
    ),
]
stack = brought_up(FILE)


@pytest.mark.parametrize(("step", "package", "software", "did"), SQL)
def test_postgres(stack: Cli, step: str, package: str, software: str, did: str) -> None:
    at_once(stack, "one", "two", run=lambda env: node("sql", env, step), reader="node")
    record(software, node_version(package), "postgres", did)


def test_graphile_worker(stack: Cli) -> None:
    at_once(stack, "one", "two", run=partial(node, "graphile_worker"), reader="node")
    did = "its schema, jobs, retries, a crontab"
    record("Graphile Worker", node_version("graphile-worker"), "postgres", did)


def test_prisma_makes_its_shadow_database(stack: Cli) -> None:
    at_once(stack, "maker1", "maker2", run=partial(node, "prisma"), reader="prisma")
    did = "migrate dev with its shadow database, deploy, reset, db push; the client"
    record("Prisma", node_version("prisma"), "postgres", did, "works with create_databases: true")


MONGO = [
    (
        "mongoose",
        "mongoose",
        "models, unique and TTL indexes, syncIndexes, transactions, change streams, populate",
    ),
    (
        "collMod",
        "mongoose",
        "collMod of a TTL and a validator, $indexStats, validate, dropDatabase",
    ),
    ("migrate", "migrate-mongo", "up, status, down"),
    ("agenda", "agenda", "jobs at once and every hour, a worker"),
    ("sessions", "connect-mongo", "a session begins, goes on and ends"),
]


@pytest.mark.parametrize(("step", "package", "did"), MONGO)
def test_mongodb(stack: Cli, step: str, package: str, did: str) -> None:
    at_once(stack, "one", "two", run=lambda env: node("mongo", env, step), reader="mongoose")
    record(package, node_version(package), "mongodb", did)
