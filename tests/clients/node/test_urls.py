"""Node.js' drivers, each connected by what `mngdb env APP --for DRIVER` prints for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.clients.languages import node, node_version
from tests.clients.record import record
from tests.clients.urls import encrypted, proved, stack, works
from tests.conftest import Cli

__all__ = ["stack"]
pytestmark = pytest.mark.live

#: Program, what it is called at `--for`, npm's package, what people call it, engine.
DRIVERS = [
    ("pg", "node", "pg", "node-postgres (pg)", "postgres"),
    ("knex", "node", "knex", "Knex", "postgres"),
    ("sequelize", "node", "sequelize", "Sequelize", "postgres"),
    ("ioredis", "ioredis", "ioredis", "ioredis", "redis"),
    ("node-redis", "node-redis", "redis", "node-redis", "redis"),
    ("mongoose", "mongoose", "mongoose", "mongoose", "mongodb"),
]


@pytest.mark.parametrize(("script", "driver", "package", "title", "engine"), DRIVERS)
def test_a_driver_connects(
    stack: Cli, tmp_path: Path, script: str, driver: str, package: str, title: str, engine: str
) -> None:
    def program(env: Mapping[str, str]) -> str:
        return node("urls", env, script)

    said = works(stack, driver, program, tmp_path)
    assert said.strip().startswith("TLS" if encrypted(stack) else "none")
    if not encrypted(stack):
        record(title, node_version(package), engine, proved(driver))
