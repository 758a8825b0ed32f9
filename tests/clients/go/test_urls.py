"""Go's drivers, each connected by what `mngdb env APP --for go` prints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.clients.languages import go, go_version
from tests.clients.record import record
from tests.clients.urls import encrypted, proved, stack, works
from tests.conftest import Cli

__all__ = ["stack"]
pytestmark = pytest.mark.live

#: What docs call it, its module, engine.
DRIVERS = [
    ("lib/pq", "github.com/lib/pq", "postgres"),
    ("pgx", "github.com/jackc/pgx/v5", "postgres"),
    ("golang-migrate", "github.com/golang-migrate/migrate/v4", "postgres"),
    ("go-redis", "github.com/redis/go-redis/v9", "redis"),
    ("rueidis", "github.com/redis/rueidis", "redis"),
    ("mongo", "go.mongodb.org/mongo-driver/v2", "mongodb"),
]


@pytest.mark.parametrize(("name", "module", "engine"), DRIVERS)
def test_a_driver_connects(stack: Cli, tmp_path: Path, name: str, module: str, engine: str) -> None:
    def program(env: Mapping[str, str]) -> str:
        return go("urls", env, name)

    said = works(stack, "go", program, tmp_path)
    assert said.startswith("TLS" if encrypted(stack) else "none")
    if not encrypted(stack):
        record(
            "mongo-driver (Go)" if name == "mongo" else name,
            go_version(module),
            engine,
            proved("go"),
        )
