"""500 apps on Redis and MongoDB: the work grows with their number, not faster."""

from __future__ import annotations

import pytest

from tests.conftest import Cli
from tests.live.clients import planned, work

pytestmark = [pytest.mark.live, pytest.mark.slow]


def apps(count: int) -> str:
    rows = "".join(f"  app-{n}: {{redis: 'app-{n}:*', mongodb: db-{n}}}\n" for n in range(count))
    return f"redis: {{port: PORT1}}\nmongodb: {{port: PORT2}}\napps:\n{rows}"


def test_500_apps_are_made_and_planned_in_linear_time(cli: Cli) -> None:
    cli.write(apps(1))
    cli.ok("up")
    cli.write(apps(100))
    few = work(cli, "up")
    few_planned = work(cli, "plan")
    cli.write(apps(500))
    many = work(cli, "up")
    assert planned(cli) == []
    many_planned = work(cli, "plan")
    assert many < 4 * 2 * few
    assert many_planned < 5 * 2 * few_planned
