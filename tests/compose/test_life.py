"""Start, stop, change, kill, reboot: what was acknowledged is there, and `up` finishes the rest."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.compose.stacks import ComposeCli
from tests.docker import Engine, new

pytestmark = pytest.mark.docker
FILE = """\
agent: false
postgres: {memory: 64mb}
redis: {memory: 64mb}
apps:
  shop: {postgres: shop, redis: "shop:*"}
"""


@pytest.fixture(scope="module")
def up(module_stack: ComposeCli) -> ComposeCli:
    module_stack.write(FILE)
    module_stack.ok("up")
    return module_stack


def started(stack: ComposeCli, what: str) -> str:
    return str(stack.inspect(what)["State"]["StartedAt"])


def test_a_second_up_changes_nothing(up: ComposeCli) -> None:
    assert up.steps() == []
    assert "nothing to change" in up.run("up").stderr
    up.ok("doctor", "shop")


def test_an_apps_damaged_secrets_cost_that_app_alone(up: ComposeCli) -> None:
    names, files = ("postgres_shop", "redis_shop"), (up.state / "secrets", up.rendered / "secrets")
    mounted = [(files[1] / name).read_text() for name in names]
    before = [started(up, what) for what in ("pg", "redis")]
    for name in names:
        (files[0] / name).write_text("")
    # an app that is new costs no other one its place either
    (files[0] / "redis_new").write_text("")
    (files[0] / "redis_new").chmod(0o600)
    up.write(FILE + '  new: {redis: "new:*"}\n  crm: {postgres: crm, redis: "crm:*"}\n')
    for command in ("plan", "up"):
        done = up.run(command)
        assert done.returncode == 2, done.stderr
        said = [done.stderr.count(f"{name} is empty") for name in (*names, "redis_new")]
        assert said == [1, 1, 1]
    left = up.run("--json", "plan")
    assert (left.returncode, json.loads(left.stdout)["steps"]) == (2, [])
    up.ok("doctor", "crm")
    # the app's own logins, and what it mounts, are as before; what was never there is not made
    assert [(files[1] / name).read_text() for name in names] == mounted
    assert not (files[1] / "redis_new").exists()
    users = up.redis("acl", "users").split()
    assert ("shop" in users, "new" in users) == (True, False)
    assert [started(up, what) for what in ("pg", "redis")] == before
    for name, content in zip(names, mounted, strict=True):
        (files[0] / name).write_text(content)
    (files[0] / "redis_new").unlink()
    up.write(FILE)
    up.ok("up", "--prune")
    up.ok("doctor", "shop")


def another_clone_leaves_it_alone(up: ComposeCli, folder: Path) -> None:
    """The file of another folder, with a stack of the same name: `mng`, often."""
    other = ComposeCli(folder, up.docker, up.name)
    other.write(FILE)
    for command in (("plan",), ("up",), ("up", "--allow", up.unit("redis"))):
        done = other.run(*command)
        assert done.returncode == 1
        assert f"is taken by a volume of the stack {up.name} in {up.folder}\n" in done.stderr
        assert "destroy" not in done.stderr
    other.ok("down")
    other.ok("destroy", "--yes", up.name)


def test_down_keeps_the_data_and_up_brings_it_back(up: ComposeCli, tmp_path: Path) -> None:
    up.redis("set", "shop:a", "1")
    up.sql("CREATE TABLE kept AS SELECT 1 AS a", "shop", "shop")
    stopped = up.json("down")
    assert sorted(stopped["stopped"]) == [up.unit("pg"), up.unit("redis")]
    assert up.docker.docker("ps", "-aq", "--filter", f"name=^{up.name}-") == ""
    assert {unit["state"] for unit in up.run_json("status")["units"]} == {"stopped"}
    actions = {(step["action"], step["object"]) for step in up.steps()}
    assert actions == {("start", up.unit("pg")), ("start", up.unit("redis"))}
    for command, said in (("logs", "has no container"), ("shell", "is not running")):
        done = up.run(command, "redis")
        assert (done.returncode, done.stdout) == (1, "")
        assert f"error: {up.unit('redis')} {said}" in done.stderr
    another_clone_leaves_it_alone(up, tmp_path)
    up.ok("up")
    assert up.redis("get", "shop:a") == "1"
    assert up.sql("SELECT a FROM kept", "shop") == "1"
    assert up.steps() == []


def test_containers_are_backed_up_and_their_data_restored_as_processes(up: ComposeCli) -> None:
    up.redis("set", "shop:a", "in the snapshot")
    up.ok("backup")
    up.redis("set", "shop:a", "1")
    drills = {one["instance"]: one for one in up.json("drill")["drills"]}
    assert {one["verdict"] for one in drills.values()} == {"pass"}, drills
    found = up.json("restore", "redis", "--latest")
    host, _, port = found["address"].rpartition(":")
    secret = up.secret("redis_shop")
    with redis.Redis(host, int(port), username="shop", password=secret) as client:
        assert client.get("shop:a") == b"in the snapshot"
    assert up.redis("get", "shop:a") == "1"
    refused = up.run("restore", "redis", "--latest", "--replace", "--yes")
    assert (refused.returncode, "cannot be replaced" in refused.stderr) == (2, True)
    up.ok("restore", "--forget")


def test_a_restart_by_hand_needs_nothing(up: ComposeCli) -> None:
    up.compose("restart")
    up.health("pg")
    assert up.steps() == []


def test_a_changed_limit_makes_one_container_anew(up: ComposeCli) -> None:
    before = started(up, "pg")
    up.write(FILE.replace("redis: {memory: 64mb}", "redis: {memory: 300mb, timeout: 90s}"))
    (step,) = [step for step in up.steps() if step["restart"]]
    assert step["object"] == up.unit("redis")
    assert "mem_limit 192mb → 450mb" in step["detail"]
    up.ok("up")
    assert up.steps() == []
    assert up.redis("config", "get", "maxmemory").split()[-1] == str(300 << 20)
    assert up.inspect("redis")["HostConfig"]["Memory"] == 450 << 20
    assert started(up, "pg") == before
    # what Redis takes while it runs is no reason to restart it
    at = started(up, "redis")
    up.write(FILE.replace("redis: {memory: 64mb}", "redis: {memory: 300mb, timeout: 80s}"))
    up.ok("up")
    assert up.redis("config", "get", "timeout").split()[-1] == "80"
    assert (started(up, "redis"), up.steps()) == (at, [])


def test_health_is_of_the_databases_that_must_be_there(up: ComposeCli) -> None:
    ask = ("exec", up.unit("pg"), "sh", "/etc/mngdb/health.sh")
    assert up.docker.run(*ask).returncode == 0
    up.sql("DROP DATABASE shop")
    done = up.docker.run(*ask)
    assert done.returncode != 0
    assert "division by zero" in done.stderr
    up.ok("up")
    assert up.docker.run(*ask).returncode == 0
    assert up.steps() == []


def test_snapshots_of_redis_are_written_without_any_capability(up: ComposeCli) -> None:
    up.redis("bgsave")
    deadline = time.monotonic() + 60
    while "rdb_bgsave_in_progress:1" in up.redis("info", "persistence"):
        assert time.monotonic() < deadline
    assert "rdb_last_bgsave_status:ok" in up.redis("info", "persistence")


def test_a_setting_that_the_server_does_not_take_is_told_by_plan(up: ComposeCli) -> None:
    up.write(FILE.replace("{memory: 64mb}", "{memory: 64mb, settings: {work_mem: plenty}}", 1))
    for command in ("plan", "up"):
        done = up.run(command)
        assert done.returncode == 2
        assert 'invalid value for parameter "work_mem": "plenty"' in done.stderr
    up.write(FILE)
    up.ok("up")
    assert up.steps() == []


def test_processes_that_die_in_the_container_harm_no_server(up: ComposeCli) -> None:
    """PostgreSQL as process 1 would take them for crashed children, and end every session."""
    begun = up.sql("SELECT pg_postmaster_start_time()")
    orphan = up.exec("pg", "sh", "-c", "sleep 600 >/dev/null 2>&1 & echo $!").strip()
    up.exec("pg", "bash", "-c", f"kill -9 {orphan}")
    time.sleep(0.5)
    assert up.sql("SELECT pg_postmaster_start_time()") == begun
    assert "terminated by signal" not in "".join(up.json("logs", "postgres", "-n", "50")["lines"])


def write_until_killed(stack: ComposeCli, what: str, line: str, *client: str) -> Iterator[int]:
    """Feed a client with `line`, kill the server while it writes; yields the last answer."""
    process = subprocess.Popen(
        ["docker", "exec", "-i", stack.unit(what), *client],
        env={**os.environ, **stack.docker.environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    answers: list[int] = []

    def read(lines: Iterator[str]) -> None:
        for one in lines:
            if one.strip().isdigit():
                answers.append(int(one))

    reader = threading.Thread(target=read, args=(process.stdout,))
    reader.start()
    deadline = time.monotonic() + 120
    try:
        while len(answers) < 500:
            assert time.monotonic() < deadline, answers
            process.stdin.write(line * 20)
            process.stdin.flush()
        pid = stack.exec(what, "sh", "-c", "cat /proc/1/task/1/children").split()[0]
        stack.run_in(what, "kill", "-9", pid)
        process.stdin.close()
    except BrokenPipeError:
        pass
    process.wait()
    reader.join()
    process.stdout.close()
    assert len(answers) >= 500
    yield max(answers)


def test_killed_while_writing_redis_has_what_it_acknowledged(up: ComposeCli) -> None:
    script = "REDISCLI_AUTH=$(cat /run/secrets/redis_password) exec redis-cli --user admin"
    restarts = up.inspect("redis")["RestartCount"]
    (last,) = write_until_killed(up, "redis", "INCR shop:n\n", "sh", "-c", script)
    up.restarted("redis", restarts)
    assert int(up.redis("get", "shop:n")) >= last
    assert up.steps() == []


def test_killed_while_writing_postgresql_has_what_it_committed(up: ComposeCli) -> None:
    up.sql("CREATE TABLE n (i serial)", "shop", "shop")
    line = "INSERT INTO n DEFAULT VALUES RETURNING i;\n"
    restarts = up.inspect("pg")["RestartCount"]
    (last,) = write_until_killed(up, "pg", line, "psql", "-XAtqU", "postgres", "-d", "shop")
    up.restarted("pg", restarts)
    assert int(up.sql("SELECT count(*) FROM n", "shop")) >= last
    assert up.steps() == []


def test_each_instance_lives_where_it_says_and_may_move(stack: ComposeCli) -> None:
    text = (
        f"name: {stack.name}\nagent: false\npostgres: {{memory: 64mb, port: {stack.port(1)}}}\n"
        "redis: {memory: 64mb, TARGET}\napps: {shop: {postgres: shop, redis: 'shop:*'}}\n"
    )
    file = stack.folder / "mngdb.yaml"
    file.write_text(text.replace("TARGET", "target: compose"))
    stack.ok("up")
    assert stack.steps() == []
    stack.ok("doctor", "shop")
    env = stack.env_of("shop")
    assert (env["POSTGRES_HOST"], env["REDIS_HOST"]) == ("127.0.0.1", stack.unit("redis"))
    file.write_text(text.replace("TARGET", f"port: {stack.port(2)}"))
    (stop,) = [step for step in stack.steps() if step["action"] == "stop"]
    assert "moved to another target" in stop["detail"]
    stack.ok("up")
    assert stack.env_of("shop")["REDIS_HOST"] == "127.0.0.1"
    stack.ok("doctor", "shop")
    assert not stack.inspect("redis")["State"]["Running"]
    assert f"is in the volume {stack.unit('redis-data')}" in stack.run("plan").stderr


def test_up_killed_at_any_moment_is_finished_by_the_next(stack: ComposeCli) -> None:
    stack.write(FILE)
    for seconds in (0.4, 1.2, 2.0):
        process = subprocess.Popen(
            stack.argv("up"),
            cwd=stack.folder,
            env=stack.environ(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    stack.ok("up")
    assert stack.steps() == []
    stack.ok("doctor", "shop")


@pytest.fixture(scope="module")
def machine() -> Iterator[Engine]:
    """An engine that may be rebooted."""
    engine = new()
    yield engine
    engine.remove()


@pytest.mark.parametrize("cleanly", [True, False], ids=["reboot", "power-loss"])
def test_after_a_reboot_everything_comes_back(
    machine: Engine, tmp_path: Path, cleanly: bool
) -> None:
    stack = ComposeCli(tmp_path, machine, "boot")
    stack.write(FILE)
    stack.ok("up")
    stack.redis("set", "shop:a", "1")
    stack.sql("CREATE TABLE kept AS SELECT 1 AS a", "shop", "shop")
    time.sleep(1.1)  # everysec: a power loss may take the last second, and this is none of it
    machine.stop(cleanly=cleanly)
    machine.start()
    stack.health("redis")
    stack.health("pg")
    assert stack.redis("get", "shop:a") == "1"
    assert stack.sql("SELECT a FROM kept", "shop") == "1"
    assert stack.steps() == []
    stack.ok("destroy", "--yes", "boot")
    assert machine.docker("volume", "ls", "-q") == ""
