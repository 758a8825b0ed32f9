"""restart, up INSTANCE, down INSTANCE: the others are left as they are."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

import psutil
import pytest
import redis

from tests.conftest import Cli
from tests.live import faults
from tests.live.clients import redis_as
from tests.live.impostors import Stranger, silent
from tests.live.scrapes import until

pytestmark = pytest.mark.live
TWO = """
redis: {port: PORT1}
postgres: {port: PORT2}
apps: {shop: {redis: "shop:*", postgres: shop}}
"""
#: Four seconds of work.
SCRIPT = "local t = redis.call('TIME')[1] while redis.call('TIME')[1] - t < 4 do end"
AGENT = "agent: {alerts: false, ports: {postgres: PORT4, redis: PORT5, mngdb: PORT6}}\n"


def units(cli: Cli) -> dict[str, str]:
    """Each unit's state."""
    found = cli.run("--json", "status")
    import json

    return {one["name"]: one["state"] for one in json.loads(found.stdout)["units"]}


def test_restart_of_one_instance_leaves_the_others_alone(cli: Cli) -> None:
    cli.write(TWO)
    cli.ok("up")
    with redis_as(cli, "shop") as shop:
        shop.set("shop:a", "kept")
    before = {unit: faults.pid(cli, unit) for unit in ("mng-redis", "mng-pg")}
    done = cli.run("restart", "mng-redis")
    assert done.returncode == 0, done.stderr
    assert "restarting: requested" in done.stderr
    assert "mng-pg" not in done.stdout + done.stderr
    assert faults.pid(cli, "mng-redis") != before["mng-redis"]
    assert faults.pid(cli, "mng-pg") == before["mng-pg"]
    with redis_as(cli, "shop") as shop:
        assert shop.get("shop:a") == "kept"
    faults.sound(cli, {"mng-redis", "mng-pg"})


def test_restart_starts_what_does_not_run_and_wakes_what_was_halted(cli: Cli) -> None:
    cli.write(TWO)
    cli.ok("up")
    cli.ok("down", "redis")
    halted = faults.pid(cli, "mng-pg")
    os.kill(halted, signal.SIGSTOP)
    begun = time.monotonic()
    cli.ok("restart")
    assert time.monotonic() - begun < 60
    assert faults.pid(cli, "mng-pg") != halted
    faults.sound(cli, {"mng-redis", "mng-pg"})


def test_restart_of_the_whole_stack_restarts_the_agent_too(cli: Cli) -> None:
    cli.write(TWO + AGENT)
    cli.ok("up")
    agent = cli.state / "agent/agent.pid"
    before = agent.read_text()
    steps = cli.json("restart")["steps"]
    assert sorted((s["action"], s["object"]) for s in steps) == [
        ("restart", "mng-agent"),
        ("restart", "mng-pg"),
        ("restart", "mng-redis"),
    ]
    assert agent.read_text() != before
    assert cli.json("plan")["steps"] == []


def test_an_interrupted_restart_says_what_is_stopped_and_the_agent_leaves_it_so(cli: Cli) -> None:
    cli.write(TWO + AGENT)
    cli.ok("up")
    pid = faults.pid(cli, "mng-redis")
    # it takes no signal while a script runs
    admin = redis.Redis.from_url(cli.ok("url", "redis").strip(), socket_timeout=60)

    def work() -> None:
        with contextlib.suppress(redis.RedisError):  # it stops as soon as the script ends
            admin.eval(SCRIPT, 0)

    busy = threading.Thread(target=work)
    busy.start()
    process, said = faults.interrupted(cli, "restart", "redis", moment="restarting", pause=0.5)
    assert process.returncode == 130, said
    assert "mng-redis  stopped by the interrupted restart" in said
    assert "mng-pg" not in said
    busy.join()
    until(lambda: not faults.runs(pid))
    time.sleep(3)  # the agent looks each second
    assert units(cli)["mng-redis"] == "stopped"
    assert "crashed" not in cli.ok("logs", "agent")
    cli.ok("up")
    faults.sound(cli, {"mng-redis", "mng-pg"})


def test_up_of_one_instance_makes_its_secrets_and_nothing_of_the_others(cli: Cli) -> None:
    cli.write(TWO)
    cli.ok("up", "redis")
    assert sorted(one.name for one in (cli.state / "secrets").glob("*_*")) == [
        "redis_admin",
        "redis_shop",
    ]
    assert units(cli) == {"mng-redis": "running", "mng-pg": "absent"}
    cli.ok("up", "mng-pg")
    faults.sound(cli, {"mng-redis", "mng-pg"})


def test_an_instance_that_was_stopped_by_name_is_started_by_nobody_before_up(cli: Cli) -> None:
    cli.write(TWO + AGENT)
    cli.ok("up")
    said = cli.run("down", "redis")
    assert said.stderr.split() == ["mng-redis", "stopped"]
    time.sleep(3)  # the agent looks every second
    assert units(cli) == {"mng-redis": "stopped", "mng-pg": "running", "mng-agent": "running"}
    assert "mng-redis: stopped by 'mngdb down'" in cli.run("status").stderr
    # a reboot: everything is gone
    for unit in ("mng-pg",):
        psutil.Process(faults.pid(cli, unit)).kill()
    done = cli.run("up", "--boot")
    assert done.returncode == 0, done.stderr
    assert units(cli) == {"mng-redis": "stopped", "mng-pg": "running", "mng-agent": "running"}
    cli.ok("up")
    assert units(cli)["mng-redis"] == "running"
    cli.ok("down")
    cli.ok("up", "--boot")
    assert set(units(cli).values()) == {"running"}


@pytest.mark.parametrize("command", ["up", "down", "restart"])
def test_a_name_that_is_none_is_refused_with_the_nearest(cli: Cli, command: str) -> None:
    cli.write(
        TWO + "instances: {legacy: {engine: redis, target: {external: {url: 'redis://a'}}}}\n"
    )
    done = cli.run(command, "postgers")
    assert done.returncode == 2
    assert "no instance named 'postgers' (did you mean 'postgres'?)" in done.stderr
    assert not (cli.folder / ".mngdb").exists()
    done = cli.run(command, "agent")
    assert done.returncode == 2
    assert "no instance named 'agent'" in done.stderr
    if command != "up":
        done = cli.run(command, "legacy")
        assert done.returncode == 2
        assert "legacy is external: mngdb does not" in done.stderr


@pytest.mark.parametrize(
    ("name", "unit", "number"), [("redis", "mng-redis", 1), ("postgres", "mng-pg", 2)]
)
def test_a_port_that_is_taken_during_a_restart_is_told_as_it_is(
    cli: Cli, name: str, unit: str, number: int
) -> None:
    cli.write(TWO)
    cli.ok("up")
    taker = Stranger(cli.port(number), silent)
    waiting = threading.Thread(target=taker.listen)
    waiting.start()
    try:
        done = cli.run("restart", name)
        assert done.returncode == 1
        assert f"{unit} was stopped for the restart and did not start again" in done.stderr
        assert f"port {cli.port(number)} of 127.0.0.1 is taken by" in done.stderr
        assert f"(pid {os.getpid()})" in done.stderr
        assert "mngdb up" in done.stderr
        assert "nothing was changed" not in done.stderr
        assert "old ones" not in done.stderr
        assert units(cli)[unit] == "stopped"
    finally:
        waiting.join()
        taker.close()
    cli.ok("up")
    faults.sound(cli, {"mng-redis", "mng-pg"})
