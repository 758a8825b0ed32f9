"""One app's leak leaves the others their connections: the default limit of several apps."""

from __future__ import annotations

import json
from contextlib import ExitStack

import psycopg
import pytest

from tests.conftest import Cli
from tests.live.clients import converge, planned
from tests.live.postgres import alone, value

pytestmark = pytest.mark.live

ONE = "postgres: {port: PORT1, memory: 64mb, max_connections: 25}\napps: {shop: {postgres: shop}}\n"
TWO = ONE.replace("}}\n", "}, blog: {postgres: blog}}\n")
LIMIT = "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'shop'"


def test_a_leak_of_one_app_leaves_the_others_theirs(cli: Cli) -> None:
    cli.write(ONE)
    cli.ok("up")
    assert value(cli, LIMIT) == -1  # who is alone has nobody to starve
    # another app comes, as does a version of mngdb that limits: one step, then nothing
    cli.write(TWO)
    steps = converge(cli)
    (step,) = [one for one in steps if one["object"] == "role shop"]
    assert (step["action"], step["detail"]) == ("change", "connection limit -1 → 12")
    assert not step["restart"]
    assert not step["destructive"]
    assert planned(cli) == []
    assert json.loads(cli.ok("--json", "config"))["file"]["apps"]["shop"]["postgres"][
        "connections"
    ] == int((25 - 5) * 0.6)
    env = {app: cli.env_of(app)["POSTGRES_URL"] for app in ("shop", "blog")}
    alone(cli)
    with ExitStack() as held:
        for _ in range(12):
            connection = psycopg.connect(env["shop"], autocommit=True)
            held.callback(connection.close)
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            psycopg.connect(env["shop"])
        with psycopg.connect(env["blog"]) as other:
            assert other.execute("SELECT 1").fetchone() == (1,)
        found = json.loads(cli.run("--json", "doctor").stdout)
        assert found["cause"]["cause"] == "app-limit"
        assert "shop has reached its connection limit on postgres: 12" in (found["cause"]["text"])
        assert "shop holds 12 connections, 12 of them idle" in cli.ok("connections")
    # what the file says counts
    cli.write(
        TWO.replace("shop: {postgres: shop}", "shop: {postgres: {database: shop, connections: -1}}")
    )
    converge(cli)
    assert value(cli, LIMIT) == -1
    cli.write(ONE)
    cli.ok("up", "--prune")
    assert value(cli, LIMIT) == -1
    # it owns its database
    assert not value(cli, "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'blog'")
