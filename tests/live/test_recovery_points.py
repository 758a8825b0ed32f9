"""`recovery_point`: what is acknowledged is in the store, and no dead agent is waited for for ever.

One PostgreSQL and its agent; writers note each number that was acknowledged, and when.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from tests.conftest import EVERYTHING, Cli
from tests.live import faults
from tests.live.clients import url
from tests.live.postgres import sql, value
from tests.live.scrapes import until

pytestmark = pytest.mark.live

FILE = """
agent: {ports: {mngdb: PORT2, postgres: PORT3}}
postgres: {port: PORT1, memory: 64 MB, recovery_point: MODE}
apps: {shop: {postgres: shop}}
backup: {store: STORE, at: "00:00", drill: {every: 365d}}
"""
NAME = "mngdb_mng__postgres"


class Stack:
    """The stack, and what its agent is."""

    def __init__(self, cli: Cli, store: Path) -> None:
        self.cli = cli
        self.store = store

    def mode(self, mode: str) -> None:
        self.cli.write(FILE.replace("STORE", str(self.store)).replace("MODE", mode))

    @property
    def agent(self) -> int:
        return int((self.cli.state / "agent" / "agent.pid").read_text().split()[0])

    @property
    def guard(self) -> int:
        (found,) = self.guards
        return found

    @property
    def guards(self) -> list[int]:
        children = psutil.Process(self.agent).children()
        there = [one for one in children if one.status() != psutil.STATUS_ZOMBIE]
        return [one.pid for one in there if "--guard" in one.cmdline()]

    @property
    def told(self) -> str:
        """What `status` says of its backups."""
        (found,) = json.loads(self.cli.run("--json", "status").stdout)["backups"]
        return str(found["error"] or "")

    @property
    def awaited(self) -> bool:
        return bool(value(self.cli, "SHOW synchronous_standby_names") == NAME)

    def has_wait(self) -> None:
        """Until commits wait for a store that has the log."""
        until(lambda: self.awaited and not self.told, 20)


class Writers:
    """Write numbers, each one a row; `acknowledged` are (when, number). `bulk`: beside one that
    writes more than is sent and stored at once."""

    def __init__(self, cli: Cli, count: int = 4, *, bulk: bool = False) -> None:
        self._address = url(cli, "postgres", "shop")
        self._over = threading.Event()
        self._numbers = itertools.count(time.time_ns())
        self.acknowledged: list[tuple[float, int]] = []
        works = [self._write] * count + [self._write_much] * bulk
        self._threads = [threading.Thread(target=self._run, args=(one,)) for one in works]

    def __enter__(self) -> Writers:
        for one in self._threads:
            one.start()
        until(lambda: self.acknowledged, 10)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for one in self._threads:
            one.join(20)

    def _run(self, work: Callable[[psycopg.Connection[Any]], None]) -> None:
        try:
            with psycopg.connect(self._address, autocommit=True) as client:
                while not self._over.is_set():
                    work(client)
        except psycopg.OperationalError:
            pass  # the server was killed

    def _write(self, client: psycopg.Connection[Any]) -> None:
        number = next(self._numbers)
        client.execute("INSERT INTO item VALUES (%s)", (number,))
        self.acknowledged.append((time.monotonic(), number))

    def _write_much(self, client: psycopg.Connection[Any]) -> None:
        client.execute("CREATE TABLE IF NOT EXISTS much (t text)")
        client.execute(
            "INSERT INTO much SELECT repeat(n::text, 50) FROM generate_series(1, 9999) n"
        )

    def waits(self, seconds: float) -> bool:
        """Whether nothing is acknowledged for so long."""
        before = len(self.acknowledged)
        time.sleep(seconds)
        return len(self.acknowledged) <= before + len(self._threads)

    def pause(self) -> float:
        """The longest time without an acknowledgement, in seconds."""
        times = sorted(when for when, _ in self.acknowledged)
        return max(after - before for before, after in itertools.pairwise(times))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack in mode `sync` that has a snapshot."""
    cli = Cli(tmp_path_factory.mktemp("stack"))
    found = Stack(cli, tmp_path_factory.mktemp("store") / "backups")
    found.mode("sync")
    try:
        cli.ok("up")
        with psycopg.connect(url(cli, "postgres", "shop"), autocommit=True) as client:
            client.execute("CREATE TABLE item (id bigint PRIMARY KEY)")
        until(lambda: cli.json("backups")["instances"][0]["reachable"], 60)
        found.has_wait()
        yield found
    finally:
        cli.run("restore", "--forget")
        # a drill outlives the agent that was killed beside it
        until(lambda: not list((cli.state / "drills").glob("*/")), 60)
        cli.ok("destroy", "--yes", "mng")


def standby(stack: Stack) -> tuple[str, str]:
    """What `check` says of what commits wait for: verdict and evidence."""
    found: Any = stack.cli.run("--json", "check", "--only", "postgres.synchronous-standby")
    (one,) = json.loads(found.stdout)["findings"]
    return one["verdict"], one["evidence"]


def test_the_mode_is_in_force_and_shown(stack: Stack) -> None:
    cli = stack.cli
    assert standby(stack)[0] == "pass"
    assert cli.json("plan")["steps"] == []
    assert cli.json("status")["backups"][0]["recovery_point"] == "sync"
    assert cli.json("backups")["instances"][0]["recovery_point"] == "sync"
    assert "sync" in cli.ok("status")


def test_what_is_acknowledged_is_in_the_store(stack: Stack) -> None:
    cli = stack.cli
    with Writers(cli, bulk=True) as writers:
        time.sleep(2)
        os.kill(stack.agent, signal.SIGKILL)
        faults.kill(cli, "mng-pg")
    done = cli.json("restore", "postgres", "--latest")
    address = done["url"].replace("postgres@", "shop@").replace("/postgres", "/shop")
    password = url(cli, "postgres", "shop").split("shop:")[1].split("@")[0]
    with psycopg.connect(address, password=password, dbname="shop") as client:
        found = {one for (one,) in client.execute("SELECT id FROM item")}
    acknowledged = {number for _, number in writers.acknowledged}
    assert len(acknowledged) > 100
    assert acknowledged - found == set()
    cli.ok("restore", "--forget")
    cli.ok("up")
    stack.has_wait()


@pytest.mark.parametrize("victim", ["agent", *["store", "frozen"] * EVERYTHING])
def test_writers_are_set_free_and_wait_again(stack: Stack, victim: str) -> None:
    cli, agent, away = stack.cli, stack.agent, stack.store.with_name("away")
    with Writers(cli) as writers:
        if victim == "agent":
            os.kill(agent, signal.SIGKILL)
        elif victim == "frozen":
            os.kill(agent, signal.SIGSTOP)
        else:
            stack.store.rename(away)
        until(lambda: not stack.awaited, 10)
        assert "do not wait" in stack.told
        assert standby(stack)[0] == "fail"
        assert not writers.waits(0.5)
        if victim == "agent":
            cli.ok("up")
        elif victim == "frozen":
            os.kill(agent, signal.SIGCONT)
        else:
            until(lambda: "CommitsUnprotected" in cli.run("alerts").stdout, 5)
            away.rename(stack.store)
        stack.has_wait()
    assert 3 < writers.pause() < 10


def test_a_guard_that_dies_is_replaced(stack: Stack) -> None:
    before = stack.guard
    os.kill(before, signal.SIGKILL)
    until(lambda: stack.guards not in ([], [before]), 10)
    stack.has_wait()


def test_after_both_have_died_the_cause_is_told_and_up_goes_on(stack: Stack) -> None:
    cli, agent, guard = stack.cli, stack.agent, stack.guard
    with Writers(cli, 1) as writers:
        os.kill(guard, signal.SIGKILL)
        os.kill(agent, signal.SIGKILL)
        assert writers.waits(1.0)
        assert standby(stack)[0] == "fail"
        doctor = cli.run("doctor").stdout
        assert "nobody writes the log" in doctor
        # what would discard the log, or its promise, is no remedy
        assert "'mngdb up' starts the agent" in doctor
        assert "pg_drop_replication_slot" not in doctor
        assert "ALTER SYSTEM" not in doctor
        assert ("change", "commits") in {
            (one["action"], one["object"]) for one in cli.json("plan")["steps"]
        }
        cli.ok("up")
        assert not writers.waits(2.0)
    stack.has_wait()


def test_strict_waits_and_says_so(stack: Stack) -> None:
    cli = stack.cli
    stack.mode("strict")
    texts = [f"{one['object']} {one['detail']}" for one in cli.json("plan")["steps"]]
    assert any("synchronous_standby_names" in one for one in texts), texts
    cli.ok("up")
    stack.has_wait()
    assert standby(stack)[0] == "pass"
    log = cli.state / "agent" / "agent.log"
    away, begun = stack.store.with_name("away"), len(log.read_text())
    with Writers(cli, 2) as writers:
        stack.store.rename(away)
        until(lambda: "commits wait" in log.read_text()[begun:], 1.5)
        assert "commits wait" in stack.told
        until(lambda: "CommitsWaiting" in cli.run("alerts").stdout, 5)
        assert writers.waits(6)  # longer than `sync` would
        away.rename(stack.store)
        until(lambda: not writers.waits(0.3), 10)
        os.kill(stack.agent, signal.SIGKILL)
        assert writers.waits(1.0)
        assert "commits wait" in stack.told
        cli.ok("up")  # waits for nobody itself
        until(lambda: not writers.waits(0.3), 10)


def test_stream_again_resets_the_setting(stack: Stack) -> None:
    stack.mode("stream")
    assert stack.cli.json("plan")["steps"]
    stack.cli.ok("up")
    assert sql(stack.cli, "SHOW synchronous_standby_names") == [("",)]
    assert stack.cli.json("plan")["steps"] == []
    assert "--guard" not in str([one.cmdline() for one in psutil.Process(stack.agent).children()])
