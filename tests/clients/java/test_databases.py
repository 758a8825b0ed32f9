"""Java's libraries for PostgreSQL and MongoDB."""

from __future__ import annotations

from functools import partial

import pytest

from tests.clients.apps import at_once
from tests.clients.languages import java, java_version
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
#: Software, Maven's package, engine, and what is run.
DID = [
    ("pgjdbc", "postgresql", "postgres", "tables, batches, transactions"),
    ("HikariCP", "HikariCP", "postgres", "a pool over pgjdbc"),
    ("Flyway", "flyway-core", "postgres", "migrate, validate, clean"),
    ("Liquibase", "liquibase-core", "postgres", "update, rollback, drop-all"),
    ("mongodb-driver-sync", "mongodb-driver-sync", "mongodb", "unique indexes, transactions"),
]
stack = brought_up(FILE)


def test_all(stack: Cli) -> None:
    at_once(stack, "one", "two", run=partial(java, "Databases"), reader="jdbc")
    for software, artifact, engine, did in DID:
        record(software, java_version(artifact), engine, did)
