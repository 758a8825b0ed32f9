"""The main job, end to end."""

from __future__ import annotations

import pytest

from tests.conftest import Cli

pytestmark = pytest.mark.live

FILE = """
postgres: {port: PORT1}
redis: {port: PORT2}
mongodb: {port: PORT3, databases: {shop: {indexes: {users: [{keys: {email: 1}, unique: true}]}}}}
apps:
  shop: {postgres: shop, redis: "shop:*", mongodb: shop}
"""


def test_up_then_nothing_to_change(cli: Cli) -> None:
    cli.write(FILE)
    planned = cli.json("plan")["steps"]
    report = cli.json("up")
    done = [(s["action"], s["object"]) for s in report["steps"]]
    assert sorted(done) == sorted((s["action"], s["object"]) for s in planned)
    units = cli.json("status")["units"]
    assert {u["name"] for u in units} == {"mng-pg", "mng-redis", "mng-mongo"}
    assert all(u["healthy"] and u["host"] == "127.0.0.1" for u in units)
    assert cli.run("plan", "--exit-code").returncode == 0
    assert cli.json("up")["steps"] == []


def test_memory_that_there_is_not_is_noticed(cli: Cli) -> None:
    cli.write(FILE.replace("port: PORT2", "port: PORT2, memory: 64tb"))
    for command in (("plan",), ("up", "redis")):
        (notice,) = [n for n in cli.json(*command)["remarks"] if "64tb" in n["text"]]
        assert notice["instance"] == "redis"


def test_where_there_is_nothing_to_show_a_sentence_says_so(cli: Cli) -> None:
    cli.write("redis: {port: PORT1}\napps: {shop: {redis: 'shop:*'}}\n")
    assert "has no log yet" in cli.run("logs", "redis").stderr
    cli.ok("up")
    assert cli.run("logs", "redis").stderr == ""
    assert cli.ok("connections") == "no app is connected\n"
