"""What goes wrong on machines: secrets, versions, memory, disks, engines. Nothing opens, nothing is
lost, and a sentence says what to do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.compose.stacks import ComposeCli
from tests.conftest import EVERYTHING
from tests.docker import Engine

pytestmark = pytest.mark.docker
REDIS = (
    'agent: false\nredis: {memory: 32mb, eviction: noeviction}\napps: {shop: {redis: "shop:*"}}\n'
)
BOTH = REDIS.replace("apps: {shop: {", "postgres: {memory: 64mb}\napps: {shop: {postgres: shop, ")
ASK = ("redis-cli", "-e", "ping")


@pytest.fixture(scope="module")
def up(module_stack: ComposeCli) -> ComposeCli:
    module_stack.write(BOTH)
    module_stack.ok("up")
    return module_stack


def closed(stack: ComposeCli) -> None:
    """Nobody gets into Redis without a password."""
    done = stack.docker.run("exec", stack.unit("redis"), *ASK)
    assert done.returncode != 0
    assert "NOAUTH" in done.stdout + done.stderr


# --- secrets


def test_another_secret_in_the_vault_reaches_servers_and_folder(up: ComposeCli) -> None:
    for name in ("redis_admin", "redis_shop", "postgres_admin", "postgres_shop"):
        path = up.state / "secrets" / name
        path.write_text(f"another-{name.replace('_', '-')}-12345678901234567890")
    problems = [one["problem"] for one in up.run_json("doctor", "shop")["instances"]]
    assert all("secret" in problem for problem in problems)
    begun = up.inspect("pg")["State"]["StartedAt"]
    up.ok("up")
    assert up.steps() == []
    up.ok("doctor", "shop")
    up.health("redis")
    up.health("pg")
    assert (up.rendered / "secrets/postgres_shop").read_text() == up.secret("postgres_shop")
    assert up.inspect("pg")["State"]["StartedAt"] == begun


def test_a_bad_secret_of_the_container_shows_and_opens_nothing(up: ComposeCli) -> None:
    paths = {
        "redis": up.rendered / "secrets/redis_password",
        "pg": up.rendered / "secrets/postgres_password",
    }
    for what in paths:  # a failure while a server starts is not counted
        up.health(what)
    for content, word in (("wrong", ""), ("", "no secret"), (None, "denied")):
        for what, path in paths.items():
            if content is None:
                os.chown(path, 0, 0)
                path.chmod(0o600)
            else:
                path.write_text(content)
            done = up.docker.run("exec", up.unit(what), "sh", "/etc/mngdb/health.sh")
            assert done.returncode != 0, (content, what)
            assert word in done.stdout + done.stderr
        closed(up)
    for what in paths:
        assert "denied" in up.health(what, "unhealthy")
    up.ok("up")
    for what in paths:
        up.health(what)
    assert up.steps() == []


def test_without_its_secret_nothing_starts(up: ComposeCli) -> None:
    up.compose("down")
    for name in ("redis_password", "postgres_password"):
        (up.rendered / "secrets" / name).unlink()
    done = up.docker.run("compose", "up", "-d", cwd=up.rendered)
    assert done.returncode != 0
    assert "secrets" in done.stderr
    for name in up.docker.docker("ps", "-q", "--filter", f"name=^{up.name}-").split():
        pytest.fail(f"{name} runs")
    up.ok("up")
    up.ok("doctor", "shop")


@pytest.mark.parametrize("content", ["", None], ids=["empty", "unreadable"])
def test_a_first_start_with_a_bad_secret_makes_no_database(
    stack: ComposeCli, content: str | None
) -> None:
    stack.write(BOTH)
    stack.ok("render", "compose")
    path = stack.rendered / "secrets/postgres_password"
    if content is None:
        os.chown(path, 0, 0)
    else:
        path.write_text(content)
    (stack.rendered / "conf" / stack.unit("redis") / "users.acl").unlink()
    names = (stack.unit("pg"), stack.unit("redis"))
    stack.docker.run("compose", "up", "-d", "--no-deps", *names, cwd=stack.rendered)
    deadline = time.monotonic() + 180
    for what in ("pg", "redis"):
        while stack.inspect(what)["RestartCount"] == 0:
            assert time.monotonic() < deadline, what
            time.sleep(0.1)
    volume = (
        "-v",
        f"{stack.unit('pg-data')}:/v:ro",
        "--entrypoint",
        "ls",
        "postgres:17.11-bookworm",
    )
    assert "PG_VERSION" not in stack.docker.docker("run", "--rm", *volume, "/v")
    stack.docker.run("compose", "down", cwd=stack.rendered)
    stack.ok("up")
    stack.ok("doctor", "shop")


def test_a_server_that_does_not_start_says_why_and_is_not_tried_for_ever(up: ComposeCli) -> None:
    up.ok("down")
    broken = BOTH.replace("redis: {", "redis: {settings: {list-compress-depth: nonsense}, ")
    up.write(broken)
    done = up.run("up")
    assert done.returncode == 1
    assert "parsed into an integer" in done.stderr
    assert not up.inspect("redis")["State"]["Running"]
    up.write(BOTH)
    up.ok("up")
    assert up.steps() == []


def test_an_image_that_is_no_use_stops_no_server(up: ComposeCli) -> None:
    """One that cannot be fetched, one that does not start, one that would not read the data."""
    begun = {what: up.inspect(what)["State"]["StartedAt"] for what in ("redis", "pg")}
    images = {"redis": "redis:8.9.8-bookworm", "postgres": "postgres:18-bookworm"}
    made = (up.rendered / "docker-compose.yml").read_text()

    def ask(engine: str) -> str:
        text = f"target: {{compose: {{images: {{{engine}: '{images[engine]}'}}}}}}\n"
        (up.folder / "mngdb.yaml").write_text(f"name: {up.name}\n{text}{BOTH}")
        done = up.run("up")
        assert done.returncode == 1, done.stderr
        return done.stderr

    said = ask("redis")
    assert "redis  fetching the image redis:8.9.8-bookworm" in said
    assert "the image redis:8.9.8-bookworm cannot be pulled: " in said
    assert yaml.safe_load((up.rendered / "docker-compose.yml").read_text()) == yaml.safe_load(made)
    assert "was written by PostgreSQL 17, and PostgreSQL 18 cannot read it" in ask("postgres")
    assert begun == {w: up.inspect(w)["State"]["StartedAt"] for w in ("redis", "pg")}
    up.docker.docker("tag", "percona/mongodb_exporter:0.43.1", images["redis"])
    try:
        assert "failed to start with the new settings" in ask("redis")
    finally:
        up.docker.docker("rmi", images["redis"])
    assert up.redis("ping") == "PONG"
    up.write(BOTH)
    up.ok("up")
    assert up.steps() == []


def test_a_server_that_dies_again_and_again_is_what_doctor_says(up: ComposeCli) -> None:
    (conf,) = up.rendered.glob(f"**/{up.unit('redis')}/redis.conf")
    conf.write_text(conf.read_text() + "list-compress-depth nonsense\n")
    up.docker.docker("restart", up.unit("redis"))
    deadline = time.monotonic() + 180
    # Docker waits longer each time: more than six seconds then
    while (found := up.inspect("redis"))["RestartCount"] < 6 or not found["State"]["Restarting"]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    cause = up.run_json("doctor")["cause"]
    assert cause["cause"] == "not-running"
    assert f"{up.unit('redis')} keeps crashing" in cause["text"]
    assert "argument couldn't be parsed into an integer" in cause["text"]
    assert {one["cause"] for one in cause["consequences"]} == {"login-down"}
    up.ok("up")
    assert up.json("doctor")["cause"] is None


# --- versions


def test_a_rendered_folder_that_somebody_removed_is_made_anew(up: ComposeCli) -> None:
    """A container sees the folder that it was started with, also when that is gone."""
    shutil.rmtree(up.rendered)
    steps = {step["object"]: step for step in up.steps()}
    for what in ("pg", "redis"):
        assert steps[up.unit(what)]["action"] == "restart"
        assert "the folder that it mounts was removed" in steps[up.unit(what)]["detail"]
    up.ok("up")
    assert up.steps() == []
    for what in ("pg", "redis"):
        assert up.docker.run("exec", up.unit(what), "sh", "/etc/mngdb/health.sh").returncode == 0
    # the files of servers that `up` started are `up`'s, and not `render`'s
    shutil.rmtree(up.rendered / "conf")
    up.ok("render", "compose")
    up.ok("up")
    assert up.steps() == []


def test_a_place_that_the_file_moves_under_running_containers_is_followed(up: ComposeCli) -> None:
    """Containers are made anew, and the folder that was left goes, with its passwords."""
    up.redis("set", "shop:moved", "1")
    left = up.rendered
    for word in ("folder: elsewhere", "project: another", *["folder: compose"] * EVERYTHING):
        text = f"name: {up.name}\ntarget: {{compose: {{{word}}}}}\n{BOTH}"
        (up.folder / "mngdb.yaml").write_text(text)
        details = {step["object"]: step["detail"] for step in up.steps()}
        detail = details[up.unit("redis")]
        assert "its files are in" in detail or "it belongs to the Compose project" in detail
        up.ok("up")
        assert up.steps() == []
        assert not left.exists()
        left = up.rendered if "project" in word else up.folder / word.removeprefix("folder: ")
        assert (left / "secrets").is_dir()
        assert up.redis("get", "shop:moved") == "1"
    up.write(BOTH)
    up.ok("up")
    assert left == up.rendered or not left.exists()
    assert up.steps() == []


def test_a_volume_of_another_major_version_is_left_alone(up: ComposeCli) -> None:
    up.ok("down")
    volume = ("--rm", "-v", f"{up.unit('pg-data')}:/v", "--user", "999", "--entrypoint", "sh")

    def set_version(text: str) -> None:
        script = f"echo {text} >/v/PG_VERSION"
        up.docker.docker("run", *volume, "postgres:17.11-bookworm", "-c", script)

    set_version("16")
    for command in ("plan", "up"):
        done = up.run(command)
        assert done.returncode == 1
        assert "was written by PostgreSQL 16" in done.stderr
        assert "dump and restore" in done.stderr
    assert up.docker.docker("ps", "-q", "--filter", f"name=^{up.unit('pg')}$") == ""
    set_version("17")
    up.ok("up")
    up.ok("doctor", "shop")


def test_another_major_version_is_refused_when_the_container_is_gone_too(up: ComposeCli) -> None:
    """Its image may not even be there: nothing is fetched to find out."""
    up.ok("down")
    text = "target: {compose: {images: {postgres: 'postgres:18-bookworm'}}}\n"
    (up.folder / "mngdb.yaml").write_text(f"name: {up.name}\n{text}{BOTH}")
    for command in ("plan", "up"):
        done = up.run(command)
        assert done.returncode == 1
        assert "was written by PostgreSQL 17" in done.stderr
        assert "and PostgreSQL 18 cannot read it" in done.stderr
    up.write(BOTH)
    up.ok("up")
    up.ok("doctor", "shop")


# --- memory


def test_memory_is_refused_by_redis_before_the_container_is_killed(up: ComposeCli) -> None:
    before = up.inspect("redis")["RestartCount"]
    fill = (
        "for i in $(seq 60); do head -c 1000000 /dev/zero | redis-cli --user admin -x set shop:$i"
    )
    secret = "export REDISCLI_AUTH=$(cat /run/secrets/redis_password); "
    assert "OOM" in up.exec("redis", "bash", "-c", f"{secret}{fill}; done")
    state = up.inspect("redis")
    assert (state["RestartCount"], state["State"]["OOMKilled"]) == (before, False)
    up.redis("flushall")


def test_a_container_over_its_limit_is_killed_alone_and_comes_back(up: ComposeCli) -> None:
    before = up.inspect("redis")["RestartCount"]
    up.redis("set", "shop:a", "1")
    up.redis("config", "set", "maxmemory", "0")
    begun = up.inspect("pg")["State"]["StartedAt"]
    # one value larger than the whole limit of 160 MB
    large = _as_admin("setrange", "big", str(400 << 20), "x")
    up.docker.run("exec", up.unit("redis"), "sh", "-c", large)
    up.restarted("redis", before)
    assert up.redis("get", "shop:a") == "1"
    assert up.redis("config", "get", "maxmemory").split()[-1] == str(32 << 20)
    assert up.inspect("pg")["State"]["StartedAt"] == begun
    assert up.steps() == []
    told = f"a process of {up.unit('redis')} was killed recently: "
    assert told in up.run("doctor").stdout


def _as_admin(*words: str) -> str:
    quoted = " ".join(f"'{word}'" if "'" not in word else f'"{word}"' for word in words)
    secret = "REDISCLI_AUTH=$(cat /run/secrets/redis_password)"
    return f"{secret} exec redis-cli --user admin {quoted} 2>&1"


# --- disks


def small_volume(stack: ComposeCli, what: str, size: str) -> None:
    """A volume in memory that is soon full. Compose takes it as it is."""
    place = room(stack, what)
    place.mkdir()
    mount(stack, "-t", "tmpfs", "-o", f"size={size},uid=999,gid=999,mode=0700", "none", str(place))
    options = ("type=none", f"device={place}", "o=bind")
    words = [part for option in options for part in ("--opt", option)]
    labels = {
        "com.docker.compose.project": stack.name,
        "com.docker.compose.volume": stack.unit(f"{what}-data"),
        "mngdb.stack": stack.name,
    }
    words += [part for k, v in labels.items() for part in ("--label", f"{k}={v}")]
    stack.docker.docker("volume", "create", *words, stack.unit(f"{what}-data"))


def room(stack: ComposeCli, what: str) -> Path:
    """Where a small volume is mounted, as the daemon sees it."""
    return stack.docker.folder / stack.unit(what)


def mount(stack: ComposeCli, *words: str) -> None:
    """Mount where the daemon does: it goes when the daemon goes."""
    there = ("nsenter", f"--mount=/proc/{stack.docker.pid}/ns/mnt")
    subprocess.run([*there, "mount", *words], check=True)


def test_a_full_volume_stops_writes_keeps_data_and_is_named(stack: ComposeCli) -> None:
    text = BOTH.replace("memory: 32mb", "memory: 200mb")
    stack.write(text)
    small_volume(stack, "redis", "40m")
    small_volume(stack, "pg", "150m")
    stack.ok("up", "--allow", stack.unit("redis"), "--allow", stack.unit("pg"))
    stack.redis("set", "shop:kept", "1")
    stack.sql("CREATE TABLE kept AS SELECT 1 AS a", "shop", "shop")
    fill = "for i=1,80 do redis.call('set', 'shop:' .. i, string.rep(i, 500000)) end"
    stack.exec("redis", "sh", "-c", _as_admin("eval", fill, "0"), check=False)
    # the log is written before the answer: what comes next is refused
    script = _as_admin("set", "shop:later", "x" * 100)
    for _ in range(40):
        if "MISCONF" in stack.exec("redis", "sh", "-c", script, check=False):
            break
        fill = "redis.call('set', 'shop:more', string.rep('y', 900000))"
        stack.exec("redis", "sh", "-c", _as_admin("eval", fill, "0"), check=False)
    else:
        pytest.fail("Redis goes on writing")
    insert = "INSERT INTO big SELECT repeat(md5(i::text), 100) FROM generate_series(1, 200000) i"
    # unlogged: a full disk under the log would end the whole server, and start it again
    stack.sql("CREATE UNLOGGED TABLE big (t text STORAGE PLAIN)", "shop", "shop")
    done = stack.docker.run(
        *("exec", stack.unit("pg"), "psql", "-XU", "postgres", "-d", "shop", "-c", insert)
    )
    assert "No space left" in done.stderr
    assert stack.redis("get", "shop:kept") == "1"
    problems = {
        one["instance"]: one["problem"] for one in stack.run_json("doctor", "shop")["instances"]
    }
    assert "No space left on device" in problems["redis"]
    whole = stack.run_json("doctor")
    assert whole["cause"]["cause"] == "disk-full"
    assert whole["cause"]["instances"] == ["redis"]
    assert "login-disk" in {one["cause"] for one in whole["cause"]["consequences"]}
    # somebody makes room: both go on by themselves
    for what in ("redis", "pg"):
        mount(stack, "-o", "remount,size=600m", str(room(stack, what)))
    stack.health("pg")
    assert stack.sql("SELECT a FROM kept", "shop") == "1"
    stack.sql("DROP TABLE big", "shop")
    deadline = time.monotonic() + 180
    while stack.redis("set", "shop:after", "1") != "OK":
        assert time.monotonic() < deadline
        time.sleep(0.5)
    stack.ok("doctor", "shop")


# --- the engine


def test_engines_that_are_not_there_are_said_in_a_sentence(
    stack: ComposeCli, docker: Engine, tmp_path: Path
) -> None:
    stack.write(REDIS)
    stack.env = {**docker.environ, "DOCKER_HOST": "unix:///nonexistent/docker.sock"}
    for command in ("plan", "up", "status", "down"):
        done = stack.run(command)
        assert done.returncode == 3, command
        assert "the Docker engine does not answer (unix:///nonexistent/docker.sock)" in done.stderr
    stack.env = {**docker.environ, "DOCKER_CONFIG": str(tmp_path / "empty")}
    done = stack.run("up")
    assert done.returncode == 2, done.stderr
    assert "docker compose is not installed" in done.stderr
    stack.env = {**docker.environ, "PATH": "/nonexistent"}
    done = stack.run("up")
    assert done.returncode == 2
    assert "docker is not installed here" in done.stderr
    stack.env = dict(docker.environ)
    assert docker.docker("volume", "ls", "-q", "--filter", f"name={stack.name}") == ""


def test_behind_an_engine_that_does_not_answer_servers_are_unknown_not_down(
    stack: ComposeCli, docker: Engine
) -> None:
    stack.write(BOTH)
    stack.ok("up")
    stack.env = {**docker.environ, "DOCKER_HOST": "unix:///nonexistent/docker.sock"}
    why = "the Docker engine does not answer (unix:///nonexistent/docker.sock)"
    found = stack.run("--json", "doctor")
    assert found.returncode == 1
    answer = json.loads(found.stdout)
    assert (answer["cause"]["cause"], answer["others"]) == ("unreachable", [])
    assert sorted(answer["cause"]["instances"]) == ["postgres", "redis"]
    for words in (("doctor",), ("doctor", "shop")):
        done = stack.run(*words)
        assert (done.returncode, (done.stdout + done.stderr).count(why)) == (1, 1)
    done = stack.run("alerts")
    assert (done.returncode, done.stdout) == (
        3,
        "no active alerts among the rules that could be evaluated\n",
    )
    assert done.stderr.count(f"{why}: the state of postgres, redis is unknown") == 1
    look = stack.run_json("alerts")
    assert look["unreachable"] == {why: ["postgres", "redis"]}
    assert {"PostgresDown", "RedisDown"} <= set(look["unknown"])
    for command in ("keys", "locks", "check --only redis.version"):
        done = stack.run(*command.split())
        assert done.returncode == 3
        assert why in done.stdout + done.stderr
    stack.env = dict(docker.environ)
    assert stack.run_json("doctor")["cause"] is None


def test_a_name_that_somebody_else_has_is_said_before_anything_starts(stack: ComposeCli) -> None:
    stack.write(BOTH.replace("agent: false\n", ""))
    other = ("--name", stack.unit("redis"), "--entrypoint", "sleep", "redis:8.4.6-bookworm")
    stack.docker.docker("run", "-d", "--network", "none", *other, "600")
    try:
        for command in ("plan", "up"):
            done = stack.run(command)
            assert done.returncode == 1
            assert f"the name {stack.unit('redis')} is taken by a container" in done.stderr
    finally:
        stack.docker.docker("rm", "-f", stack.unit("redis"))
    exporter, network, volume = (stack.unit(what) for what in ("redis-exporter", "db", "pg-data"))
    taken = {
        ("container", exporter): ("create", "--name", exporter, "redis:8.4.6-bookworm"),
        ("network", network): ("network", "create", network),
        ("volume", volume): (
            *("volume", "create", "--label", "com.docker.compose.project=another", volume),
        ),
    }
    for (kind, name), words in taken.items():
        stack.docker.docker(*words)
        said = f"the name {name} is taken by a {kind} of "
        if kind == "volume":
            said = f"{name} (made by the Compose project another)"
        try:
            done = stack.run("up")
            assert done.returncode == 1
            assert said in done.stderr
        finally:
            stack.docker.docker(kind, "rm", name)
    assert stack.docker.docker("ps", "-aq", "--filter", f"name=^{stack.name}-") == ""
    stack.ok("up")
