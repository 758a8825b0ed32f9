"""The agent beside containers: it measures and tells from outside, through the tunnel alone. A
container that is dead, one that hangs, an engine that is gone: each is told in time."""

from __future__ import annotations

import math
import os
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.compose.stacks import ComposeCli
from tests.docker import Engine
from tests.live.scrapes import (
    AGENT,
    UP,
    fetch,
    pid_of,
    quick_agent,
    read,
    scrape,
    until,
    url,
    whole,
)
from tests.unit.receivers import Hook, hook

pytestmark = pytest.mark.docker
#: The file says nothing of a target: the agent has to know what the command said.
FILE = """
tls: true
postgres: {memory: 64mb}
redis: {memory: 64mb}
mongodb: {memory: 256mb}
apps: {shop: {postgres: shop, redis: "shop:*", mongodb: shop}}
alerts:
  every: 1s
  group: 0s
  rules: {RedisDown: {for: 0s}, UnitDown: {for: 0s}, DockerDown: {for: 0s}}
  channels: {hook: webhook}
"""


@pytest.fixture(scope="module")
def told() -> Iterator[Hook]:
    with hook() as found:
        yield found


class Stack(ComposeCli):
    """A stack whose target the commands say."""

    def argv(self, *arguments: str) -> list[str]:
        return super().argv("--target", "compose", *arguments)


@pytest.fixture(scope="module")
def stack(machine: Engine, told: Hook, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    # `processes` looks at the whole machine
    found = Stack(tmp_path_factory.mktemp("stack"), machine, f"watched{os.getpid()}")
    text = AGENT
    for number in range(4, 8):
        text = text.replace(f"PORT{number}", str(found.port(number)))
    (found.folder / "mngdb.yaml").write_text(f"name: {found.name}\n{FILE}{text}")
    found.ok("secret", "set", "alerts_hook", stdin=told.url)
    found.ok("up")
    with quick_agent(found):
        yield found
    found.ok("destroy", "--yes", found.name)
    assert processes(found) == []
    assert list(Path(tempfile.gettempdir()).glob(f"mngdb-*-{found.name}-*")) == []


def processes(stack: Stack) -> list[str]:
    """The command lines of every `docker exec` into the stack's containers."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue  # it has just ended
        if words[:2] == [b"docker", b"exec"] and f"{stack.name}-" in (line := str(words)):
            found.append(line)
    return found


def ups(stack: Stack) -> set[float]:
    return {scrape(stack, engine)[name] for engine, name in UP.items()}


def unknown(found: Iterable[float]) -> bool:
    """Whether nobody can tell of any: it is not up, and not down."""
    return all(map(math.isnan, found))


def unit_up(stack: Stack, what: str) -> float:
    return scrape(stack, "mngdb").of("mngdb_unit_up", unit=stack.unit(what))


def test_it_is_a_unit_of_the_stack_because_somebody_has_to_tell_the_channel(stack: Stack) -> None:
    assert stack.steps() == []
    units = {unit["name"]: unit for unit in stack.json("status")["units"]}
    assert units[stack.unit("agent")]["healthy"]
    until(lambda: ups(stack) == {1.0})
    assert whole(stack, "postgres").of("pg_database_size_bytes", datname="shop") > 0
    assert whole(stack, "mongodb")["mongodb_rs_myState"] == 1
    until(lambda: {unit_up(stack, what) for what in ("pg", "redis", "mongo")} == {1.0})
    own = scrape(stack, "mngdb")
    assert own.of("mngdb_unit_restarts_total", unit=stack.unit("redis")) == 0
    # the engine's own folder is the disk that fills up
    assert own["mngdb_host_disk_free_bytes"] > 0
    for engine in UP:
        left = own.of("mngdb_certificate_expiry_seconds", instance=engine)
        assert 820 * 86400 < left <= 825 * 86400


def test_connections_are_kept_and_show_no_secret(stack: Stack) -> None:
    until(lambda: ups(stack) == {1.0})
    before: list[str] = []

    def kept() -> bool:
        """A look that takes longer than a page may is another matter: it gives its session up."""
        before[:] = sorted(processes(stack))
        seen = [ups(stack) for _ in range(3)]
        return seen == [{1.0}] * 3 and sorted(processes(stack)) == before and len(before) <= 5

    until(kept)
    secrets = [path.read_text() for path in (stack.state / "secrets").glob("*_*")]
    assert [secret for secret in secrets for line in before if secret in line] == []


def test_its_size(stack: Stack) -> None:
    """The issue's limit; each kept connection is a `docker exec` besides (8 MB)."""
    pid = pid_of(stack, stack.unit("agent"))
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    resident = next(line for line in status if line.startswith("VmRSS"))
    assert int(resident.split()[1]) <= 80 << 10


def test_a_container_that_died_is_started_again_by_docker_and_counted(stack: Stack) -> None:
    before = stack.inspect("redis")["RestartCount"]
    server = stack.exec("redis", "sh", "-c", "cat /proc/1/task/1/children").split()[0]
    stack.run_in("redis", "kill", "-9", server)
    stack.restarted("redis", before)
    until(lambda: scrape(stack, "redis")["redis_up"] == 1)

    def counted() -> bool:
        own = scrape(stack, "mngdb")
        return bool(own.of("mngdb_unit_restarts_total", unit=stack.unit("redis")) == before + 1)

    until(counted)


def told_in_time(stack: Stack, *engines: str) -> set[float]:
    """What Prometheus, which waits for ten seconds, is told of these. Nothing where it took
    longer: on a machine that does much else its own look may, and not the agent's answer."""
    with ThreadPoolExecutor(len(engines)) as pool:
        begun = time.monotonic()
        limit = {"X-Prometheus-Scrape-Timeout-Seconds": "10"}
        pages = list(pool.map(lambda engine: fetch(url(stack, engine), 60, limit), engines))
        took = time.monotonic() - begun
    found = zip(engines, map(read, pages), strict=True)
    ups = {page[UP[engine]] for engine, page in found}
    assert 1.0 not in ups
    return ups if took < 10 else set()


def test_one_that_hangs_is_down_in_time_and_told(stack: Stack, told: Hook) -> None:
    until(lambda: ups(stack) == {1.0})
    stack.docker.docker("pause", stack.unit("redis"))
    try:
        for _ in range(2):
            until(lambda: told_in_time(stack, "redis") == {0.0})
        whole(stack, "postgres")
        until(lambda: unit_up(stack, "redis") == 0)
        until(lambda: ("firing", "RedisDown") in told.alerts())
    finally:
        stack.docker.docker("unpause", stack.unit("redis"))
    until(lambda: ("resolved", "RedisDown") in told.alerts())


def test_one_that_was_stopped_by_hand_is_down(stack: Stack) -> None:
    stack.docker.docker("stop", stack.unit("pg"))
    until(lambda: scrape(stack, "postgres")["pg_up"] == 0)
    until(lambda: unit_up(stack, "pg") == 0)
    stack.docker.docker("start", stack.unit("pg"))
    until(lambda: scrape(stack, "postgres")["pg_up"] == 1)


def test_an_engine_that_hangs_and_one_that_is_gone(
    stack: Stack, machine: Engine, told: Hook
) -> None:
    """Servers run on behind an engine that hangs: whether they do is unknown, and told once."""
    until(lambda: ups(stack) == {1.0})
    os.kill(machine.pid, signal.SIGSTOP)
    try:
        until(lambda: scrape(stack, "mngdb")["mngdb_docker_up"] == 0)
        for _ in range(2):
            until(lambda: unknown(told_in_time(stack, *UP) or {0.0}))
        # nobody waits for an answer that nobody wants any more
        until(lambda: len(processes(stack)) <= 5)
    finally:
        os.kill(machine.pid, signal.SIGCONT)
    until(lambda: ups(stack) == {1.0})
    until(lambda: scrape(stack, "mngdb")["mngdb_docker_up"] == 1)
    until(lambda: ("resolved", "DockerDown") in told.alerts())
    before = len(told.alerts())
    machine.stop(cleanly=False)
    until(lambda: unknown(ups(stack)))
    until(lambda: math.isnan(unit_up(stack, "mongo")))
    until(lambda: ("firing", "DockerDown") in told.alerts()[before:])
    time.sleep(3)  # some rounds
    fired = {name for state, name in told.alerts()[before:] if state == "firing"}
    fired |= {alert["name"] for alert in stack.run_json("alerts")["alerts"]}
    assert {name for name in fired if name.endswith(("Down", "Gone", "Failing"))} == {"DockerDown"}
    found = stack.run_json("doctor")
    assert (found["cause"]["cause"], found["others"]) == ("unreachable", [])
    assert set(found["cause"]["instances"]) == set(UP)
    machine.start()
    until(lambda: ups(stack) == {1.0}, 180)
    until(lambda: unit_up(stack, "mongo") == 1)


def test_its_death_ends_its_connections_and_no_server(stack: Stack) -> None:
    until(lambda: ups(stack) == {1.0})
    begun = stack.inspect("pg")["State"]["StartedAt"]
    os.kill(pid_of(stack, stack.unit("agent")), signal.SIGKILL)
    until(lambda: processes(stack) == [])
    assert [(s["action"], s["object"]) for s in stack.steps()] == [("start", stack.unit("agent"))]
    for left in Path(tempfile.gettempdir()).glob(f"mngdb-*-{stack.name}-*"):
        for path in (*left.iterdir(), left):
            path.rmdir() if path.is_dir() else path.unlink()
    stack.ok("up")
    until(lambda: ups(stack) == {1.0})
    assert stack.inspect("pg")["State"]["StartedAt"] == begun


def test_down_ends_it_first(stack: Stack) -> None:
    stopped = stack.json("down")["stopped"]
    assert stopped[0] == stack.unit("agent")
    assert processes(stack) == []
