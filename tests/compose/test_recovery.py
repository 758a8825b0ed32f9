"""What Docker sees and what we see: halted, out of memory, changed behind our back."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

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
    assert f"Docker reports {up.unit('pg')} as unhealthy: " in shown.stderr
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
    assert f"{up.unit('redis')} responds, but its health check fails: " in cause["text"]
    assert "ermission denied" in cause["text"]
    assert cause["command"].startswith("mngdb up")
    up.ok("up")
    up.health("redis")
    assert up.json("doctor")["cause"] is None


def give(folder: Path, uid: int) -> None:
    """As `chown -R` does."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, uid, uid)


def test_a_folder_that_was_given_to_another_account_is_taken_back_as_plan_says(
    up: ComposeCli,
) -> None:
    up.ok("up")
    begun = up.inspect("pg")["State"]["StartedAt"]
    for given in ("conf", "secrets", "."):
        give(up.rendered / given, 1000)
        steps = up.steps()
        assert steps[0]["object"] == f"folder {up.rendered}"
        named = {
            "conf": f"conf/{up.unit('pg')}",
            "secrets": "secrets/redis_password",
            ".": "itself",
        }
        assert named[given] in steps[0]["detail"]
        done = up.json("up")["steps"]
        assert {(one["object"], one["action"]) for one in steps} == {
            (one["object"], one["action"]) for one in done
        }
        assert up.steps() == []
        owners = {path.stat().st_uid for path in up.rendered.rglob("*") if path.is_dir()}
        assert owners == {0}
        for what in ("pg", "redis"):
            up.exec(what, "sh", "/etc/mngdb/health.sh")
    assert up.inspect("pg")["State"]["StartedAt"] == begun


def test_a_secret_that_its_container_cannot_read_is_a_step_of_the_plan(up: ComposeCli) -> None:
    up.ok("up")
    for path in (up.rendered / "secrets").iterdir():
        os.chown(path, 0, 0)
    (step,) = up.steps()
    assert step["object"] == f"folder {up.rendered}"
    assert {"secrets/postgres_password", "secrets/redis_password"} <= {
        *step["detail"].removeprefix("owner, mode or content of ").split(", ")
    }
    assert up.json("up")["steps"] == [step]
    assert up.steps() == []
    for what in ("pg", "redis"):
        up.exec(what, "sh", "/etc/mngdb/health.sh")


def test_a_secret_that_was_edited_or_removed_is_a_step_of_the_plan(up: ComposeCli) -> None:
    up.ok("up")
    secrets = up.rendered / "secrets"
    (secrets / "redis_password").write_text("another one")
    (secrets / "postgres_password").unlink()
    (step,) = up.steps()
    listed = "secrets/postgres_password, secrets/redis_password"
    assert step["detail"] == f"owner, mode or content of {listed}"
    assert up.json("up")["steps"] == [step]
    assert up.steps() == []
    up.docker.docker("restart", up.unit("pg"))
    for what in ("pg", "redis"):
        up.health(what)


def test_a_folder_of_another_account_without_the_stacks_mark_is_refused_by_plan_and_up(
    up: ComposeCli,
) -> None:
    up.ok("up")
    file, conf = up.rendered / "docker-compose.yml", up.rendered / "conf"
    text = file.read_text()
    # as the version before wrote it: anybody could
    file.write_text(re.sub(r".*mngdb\.id.*\n", "", text))
    give(conf, 1000)
    for command in ("plan", "up"):
        done = up.run(command)
        assert done.returncode == 2
        assert f"{conf} belongs to another user (user id 1000)" in done.stderr
        assert f"chown -R 0 {up.rendered}" in done.stderr
    file.write_text(text)
    elsewhere = conf.rename(up.state / "aside")
    conf.symlink_to(elsewhere)
    for command in ("plan", "up"):
        done = up.run(command)
        assert done.returncode == 2
        assert f"{conf} is a symbolic link, not a directory" in done.stderr
    assert elsewhere.stat().st_uid == 1000
    conf.unlink()
    elsewhere.rename(conf)
    up.ok("up")
    assert up.steps() == []


def test_a_server_that_was_halted_is_told_and_restart_helps(up: ComposeCli) -> None:
    unit = up.unit("redis")
    begun = up.inspect("redis")["State"]["StartedAt"]
    up.exec("redis", "bash", "-c", "kill -STOP $(pidof redis-server)")
    for command in ("plan", "up", "status"):
        done = up.run(command)
        said = done.stdout + done.stderr
        assert done.returncode != 0, said
        assert f"{unit} is halted (by SIGSTOP or a debugger)" in said
        assert f"'docker kill --signal CONT {unit}' resumes it; 'mngdb restart redis'" in said
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
