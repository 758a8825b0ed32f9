"""500 apps on Redis and MongoDB: time grows with their number, not faster."""

from __future__ import annotations

import time

import pytest

from tests.conftest import Cli
from tests.live.clients import planned

pytestmark = [pytest.mark.live, pytest.mark.slow]


def apps(count: int) -> str:
    rows = "".join(f"  app-{n}: {{redis: 'app-{n}:*', mongodb: db-{n}}}\n" for n in range(count))
    return f"redis: {{port: PORT1}}\nmongodb: {{port: PORT2}}\napps:\n{rows}"


def seconds(cli: Cli, *command: str) -> float:
    begun = time.monotonic()
    cli.ok(*command)
    return time.monotonic() - begun


def test_500_apps_are_made_and_planned_in_linear_time(cli: Cli) -> None:
    cli.write(apps(1))
    cli.ok("up")
    cli.write(apps(100))
    few = seconds(cli, "up")
    few_planned = seconds(cli, "plan")
    cli.write(apps(500))
    many = seconds(cli, "up")
    assert planned(cli) == []
    many_planned = seconds(cli, "plan")
    assert many < 10
    assert many < 4 * 2 * few
    assert many_planned < 5 * 2 * few_planned
