"""What Docker sees and what we see: halted, out of memory, changed behind our back."""

from __future__ import annotations

import json
import os
import time

import pytest

from tests.compose.stacks import ComposeCli

pytestmark = pytest.mark.docker
STACK = (
    "agent: false\npostgres: {memory: 64mb}\nredis: {memory: 32mb}\n"
    'apps: {shop: {postgres: shop, redis: "shop:*"}}\n'
)


@pytest.fixture(scope="module")
def up(module_stack: ComposeCli) -> ComposeCli:
    module_stack.write(STACK)
    module_stack.ok("up")
    return module_stack


def docker_says(stack: ComposeCli, what: str) -> str:
    """Docker's verdict, as `status --json` shows it."""
    units = json.loads(stack.run("--json", "status").stdout)["units"]
    found: str = next(one for one in units if one["name"] == stack.unit(what))["docker_health"]
    return found


def test_owner_and_mode_of_the_mounted_files_are_seen_and_mended(up: ComposeCli) -> None:
    for what in ("pg", "redis"):
        up.health(what)
    assert docker_says(up, "pg") == "healthy"
    begun = up.inspect("pg")["State"]["StartedAt"]
    for what in ("pg", "redis"):
        conf = up.rendered / "conf" / up.unit(what)
        for path in conf.iterdir():
            os.chown(path, 0, 0)
            path.chmod(0o600)
    (up.rendered / "conf" / up.unit("redis")).chmod(0o700)
    for what in ("pg", "redis"):
        up.health(what, "unhealthy")
    shown = up.run("status")
    assert shown.returncode == 1
    assert shown.stdout.count("healthy (Docker: unhealthy)") == 2
    assert f"Docker calls {up.unit('pg')} unhealthy: " in shown.stderr
    steps = up.json("plan")["steps"]
    assert {(s["instance"], s["action"]) for s in steps} == {
        ("postgres", "reload"),
        ("redis", "reload"),
    }
    assert all("(its owner or mode)" in s["detail"] for s in steps)
    up.ok("up")
    for what in ("pg", "redis"):
        up.health(what)
    assert up.json("plan")["steps"] == []
    assert up.inspect("pg")["State"]["StartedAt"] == begun
    up.ok("status")


def test_what_docker_calls_unhealthy_is_a_cause_for_doctor_when_nothing_else_is(
    up: ComposeCli,
) -> None:
    up.ok("up")
    up.health("redis")
    assert up.json("doctor")["cause"] is None
    health = up.rendered / "conf" / up.unit("redis") / "health.sh"
    health.chmod(0)
    os.chown(health, 0, 0)
    up.health("redis", "unhealthy")
    done = up.run("--json", "doctor")
    cause = json.loads(done.stdout)["cause"]
    assert (done.returncode, cause["cause"], cause["instances"]) == (1, "unhealthy", ["redis"])
    assert f"{up.unit('redis')} answers, but Docker calls it unhealthy: " in cause["text"]
    assert "ermission denied" in cause["text"]
    assert cause["command"].startswith("mngdb up")
    up.ok("up")
    up.health("redis")
    assert up.json("doctor")["cause"] is None


def test_a_server_that_was_halted_is_told_and_restart_helps(up: ComposeCli) -> None:
    unit = up.unit("redis")
    begun = up.inspect("redis")["State"]["StartedAt"]
    up.exec("redis", "bash", "-c", "kill -STOP $(pidof redis-server)")
    for command in ("plan", "up", "status"):
        done = up.run(command)
        said = done.stdout + done.stderr
        assert done.returncode != 0, said
        assert f"{unit} is halted (SIGSTOP, or a debugger) and answers nobody" in said
        assert f"'docker kill --signal CONT {unit}' lets it go on; 'mngdb restart redis'" in said
        assert "'mngdb up' starts" not in said
    assert up.inspect("redis")["State"]["StartedAt"] == begun
    up.docker.docker("kill", "--signal", "CONT", unit)
    assert up.json("plan")["steps"] == []
    up.exec("redis", "bash", "-c", "kill -STOP $(pidof redis-server)")
    before = time.monotonic()
    up.ok("restart", "redis")
    assert time.monotonic() - before < 60
    assert up.inspect("redis")["State"]["StartedAt"] != begun
    assert up.json("plan")["steps"] == []


def test_a_limit_that_docker_update_changed_is_told_and_put_right(up: ComposeCli) -> None:
    wanted = up.inspect("redis")["HostConfig"]["Memory"]
    more = wanted + (64 << 20)
    up.docker.docker("update", "--memory", str(more), "--memory-swap", str(more), up.unit("redis"))
    (step,) = up.json("plan")["steps"]
    assert step["action"] == "restart"
    assert "its memory limit is" in step["detail"]
    up.ok("up")
    assert up.inspect("redis")["HostConfig"]["Memory"] == wanted
    assert up.json("plan")["steps"] == []


def test_one_instance_is_stopped_and_started_alone(up: ComposeCli) -> None:
    begun = up.inspect("pg")["State"]["StartedAt"]
    said = up.run("down", "redis")
    assert said.stderr.split() == [up.unit("redis"), "stopped"]
    assert up.inspect("pg")["State"]["Running"]
    up.ok("up", "--boot")
    assert not up.inspect("redis")["State"]["Running"]
    up.ok("up", "redis")
    assert up.inspect("pg")["State"]["StartedAt"] == begun
    assert up.json("plan")["steps"] == []
