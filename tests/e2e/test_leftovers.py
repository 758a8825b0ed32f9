"""An instance that leaves the file is stopped; its data stays and comes back."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from tests.conftest import Cli

pytestmark = pytest.mark.live

BOTH = """
redis: {port: PORT1, memory: 64mb}
instances: {queue: {engine: redis, port: PORT2}}
apps: {shop: {redis: "shop:*", queue: "jobs:*"}}
"""
ONE = 'redis: {port: PORT1, memory: 64mb}\napps: {shop: {redis: "shop:*"}}\n'
#: The same port under another name.
RENAMED = "redis: {port: PORT1, memory: 64mb}\ninstances: {jobs: {engine: redis, port: PORT2}}\n"


def _queue(cli: Cli) -> redis.Redis:
    return redis.Redis.from_url(
        cli.env_of("shop")["QUEUE_URL"], decode_responses=True, socket_timeout=60
    )


def test_it_is_stopped_and_its_data_comes_back(cli: Cli) -> None:
    cli.write(BOTH)
    cli.ok("up")
    with _queue(cli) as client:
        client.set("jobs:1", "kept")
    cli.write(ONE)
    planned = [(s["action"], s["object"]) for s in cli.json("plan")["steps"]]
    assert planned == [("stop", "mng-queue"), ("change", "settings of shop")]
    report = cli.json("up")
    assert [(s["action"], s["object"]) for s in report["steps"]] == planned
    assert any("mng-queue" in notice["text"] for notice in report["remarks"])
    assert cli.run("plan", "--exit-code").returncode == 0
    cli.write(BOTH)
    cli.ok("up")
    with _queue(cli) as client:
        assert client.get("jobs:1") == "kept"


def test_another_instance_takes_its_port_in_the_same_up(cli: Cli) -> None:
    cli.write(BOTH)
    cli.ok("up")
    cli.write(RENAMED)
    steps = [(s["action"], s["object"]) for s in cli.json("plan")["steps"]]
    assert {("stop", "mng-queue"), ("start", "mng-jobs")} <= set(steps)
    units = {unit["name"]: unit for unit in cli.json("up")["units"]}
    assert units["mng-jobs"]["healthy"]
    assert units["mng-jobs"]["port"] == cli.port(2)


def test_servers_that_change_ports_are_told_how(cli: Cli) -> None:
    cli.write(BOTH)
    cli.ok("up")
    cli.write(BOTH.replace("PORT1", "PORT3").replace("PORT2", "PORT1").replace("PORT3", "PORT2"))
    for command in ("plan", "up"):
        done = cli.run(command)
        assert done.returncode == 1
        assert "hint: it belongs to this stack: 'mngdb down', then 'mngdb up'" in done.stderr
    cli.ok("down")
    cli.ok("up")
    assert cli.run("plan", "--exit-code").returncode == 0


@pytest.mark.parametrize("command", [("down",), ("destroy", "--yes", "mng")])
def test_down_and_destroy_stop_it_too(cli: Cli, command: tuple[str, ...]) -> None:
    cli.write(BOTH)
    cli.ok("up")
    pidfiles = (cli.state / "servers").resolve().glob("*/run/server.pid")
    pids = [int(path.read_text().split()[0]) for path in pidfiles]
    assert len(pids) == 2
    cli.write(ONE)
    cli.ok(*command)
    assert not [pid for pid in pids if Path(f"/proc/{pid}/exe").exists()]


def test_another_name_of_the_stack_is_refused_where_it_would_begin_empty(cli: Cli) -> None:
    cli.write(BOTH)
    cli.ok("up")
    cli.write("name: team\n" + BOTH)
    for command in ("plan", "up"):
        done = cli.run(command)
        assert done.returncode == 2
        assert "the stack of this folder is named 'mng'" in done.stderr
        assert "write 'name: mng' again" in done.stderr
        assert "destroy" not in done.stderr
    assert cli.run("destroy", "--yes", "team").returncode == 2
    cli.write(BOTH)
    assert cli.run("plan", "--exit-code").returncode == 0
