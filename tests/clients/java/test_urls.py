"""Java's drivers and Spring Boot, each connected by what `mngdb env APP --for DRIVER` prints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.clients.languages import java, java_version
from tests.clients.record import record
from tests.clients.urls import ENGINES, encrypted, proved, stack, works
from tests.conftest import Cli

__all__ = ["stack"]
pytestmark = pytest.mark.live

#: What docs call it, what it is called at `--for`, its artifact, engine.
DRIVERS = [
    ("pgjdbc", "jdbc", "postgresql", "postgres"),
    ("HikariCP", "jdbc", "HikariCP", "postgres"),
    ("Flyway", "jdbc", "flyway-core", "postgres"),
    ("Jedis", "jedis", "jedis", "redis"),
    ("Lettuce", "lettuce", "lettuce-core", "redis"),
]


@pytest.mark.parametrize(("name", "driver", "artifact", "engine"), DRIVERS)
def test_a_driver_connects(
    stack: Cli, tmp_path: Path, name: str, driver: str, artifact: str, engine: str
) -> None:
    def program(env: Mapping[str, str]) -> str:
        return java("Urls", env, name)

    said = works(stack, driver, program, tmp_path)
    assert said.startswith("TLS" if encrypted(stack) else "none")
    if not encrypted(stack):
        record(name, java_version(artifact), engine, proved(driver))


@pytest.mark.parametrize("engine", ENGINES)
def test_spring_boot_connects(stack: Cli, tmp_path: Path, engine: str) -> None:
    def program(env: Mapping[str, str]) -> str:
        return java("Boot", env, engine)

    assert "connected" in works(stack, "spring", program, tmp_path)
    if not encrypted(stack):
        record("Spring Boot", java_version("spring-boot"), engine, proved("spring"))
