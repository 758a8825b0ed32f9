"""Alerts fire on a live stack, arrive by mail and at a webhook, and are resolved (B11, B18)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import redis

from tests.conftest import Cli
from tests.live.clients import redis_as, url
from tests.unit.receivers import Hook, Mailbox, hook, mailbox

pytestmark = [pytest.mark.live, pytest.mark.slow]

FILE = """
redis: {port: PORT1, memory: 24mb, eviction: noeviction}
postgres:
  port: PORT2
  memory: 32mb
  max_connections: 20
  settings: {archive_mode: on, archive_command: test ! -e archiving-fails}
apps:
  shop: {redis: "shop:*", postgres: {database: shop, connections: 20}}
agent: {restart: false, ports: {redis: PORT3, postgres: PORT4, mngdb: PORT5}}
alerts:
  every: 1s
  group: 1s
  runbook: https://wiki.example/playbook
  rules:
    RedisDown: {for: 1s}
    RedisHighMemory: {for: 1s}
    PostgresConnectionsExhausted: {for: 1s}
    PostgresArchiveFailing: {for: 0s}
    HostCpuHigh: false
    HostDiskHigh: false
    HostDiskFull: false
    HostMemoryLow: false
  channels:
    hook: webhook
    ops: {kind: email, host: localhost, port: %d, encryption: none, from: mngdb@example.com,
          to: [ops@example.com]}
"""
SECRET_PATH = "/t0ken-0123456789"
#: Seconds for what takes few: on a machine that does much else, many.
LONG = 60.0


@dataclass
class Live:
    """The stack, and who is told."""

    cli: Cli
    box: Mailbox
    hook: Hook

    def told(self, status: str, name: str) -> None:
        """Wait until both were told."""
        word = "RESOLVED" if status == "resolved" else "CRITICAL|WARNING"
        heads = [f"{one} {name}:" for one in word.split("|")]

        def both() -> bool:
            texts = self.box.texts()
            mailed = any(head in text for text in texts for head in heads)
            return mailed and (status, name) in self.hook.alerts()

        within(LONG, both, lambda: f"{self.hook.alerts()}\n{self.box.texts()}\n{self.log()}")

    def log(self) -> str:
        return (self.cli.state / "agent/agent.log").read_text()

    def now(self) -> tuple[int, list[tuple[str, str]]]:
        """What the command says: exit code, state and name. It may still wait for the agent's
        first round."""
        done: list[subprocess.CompletedProcess[str]] = []

        def judged() -> bool:
            done[:] = [self.cli.run("--json", "alerts")]
            return json.loads(done[0].stdout)["agent"] is True

        within(LONG, judged, self.log)
        alerts = json.loads(done[0].stdout)["alerts"]
        return done[0].returncode, [(one["state"], one["name"]) for one in alerts]


def within(seconds: float, holds: Callable[[], bool], said: Callable[[], str]) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, said()
        time.sleep(0.05)


def pid(cli: Cli, unit: str) -> int:
    path = cli.state / f"servers/{unit}/run/server.pid"
    return int(path.read_text().split()[0])


@pytest.fixture(scope="module")
def live(module_cli: Cli) -> Iterator[Live]:
    with mailbox() as box, hook() as found:
        stack = Live(module_cli, box, found)
        module_cli.write(FILE % box.port)
        module_cli.ok("secret", "set", "alerts_hook", stdin=f"{found.url}{SECRET_PATH}")
        module_cli.ok("up")
        yield stack


def test_a_quiet_stack_is_quiet(live: Live) -> None:
    # the agent looks from its first second on, when a server still starts
    within(LONG, lambda: live.now() == (0, []), live.log)
    assert live.cli.ok("alerts") == "no active alerts\n"


def test_redis_stops(live: Live) -> None:
    os.kill(pid(live.cli, "mng-redis"), signal.SIGTERM)
    live.told("firing", "RedisDown")
    code, found = live.now()
    assert (code, ("firing", "RedisDown") in found) == (1, True)
    assert "RedisDown" in live.cli.run("alerts").stdout
    live.cli.ok("up")
    live.told("resolved", "RedisDown")


def test_its_memory_fills(live: Live) -> None:
    with redis_as(live.cli, "shop") as client:
        with suppress(redis.OutOfMemoryError):
            for number in range(1000):
                client.set(f"shop:{number}", "x" * 100_000)
        live.told("firing", "RedisHighMemory")
        client.delete(*client.scan_iter("shop:*", count=1000))
    live.told("resolved", "RedisHighMemory")


def test_connections_run_out(live: Live) -> None:
    with ExitStack() as held:
        with suppress(psycopg.OperationalError):
            while True:
                held.enter_context(psycopg.connect(url(live.cli, "postgres", "shop")))
        live.told("firing", "PostgresConnectionsExhausted")
    live.told("resolved", "PostgresConnectionsExhausted")


def test_archiving_fails(live: Live) -> None:
    # the command runs in the data folder
    failing = live.cli.state / "servers/mng-pg/data/archiving-fails"
    admin = url(live.cli, "postgres")

    def switch() -> None:
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS public.grow (x int)")
            connection.execute("INSERT INTO public.grow VALUES (1)")
            connection.execute("SELECT pg_switch_wal()")

    failing.touch()
    switch()
    live.told("firing", "PostgresArchiveFailing")
    failing.unlink()
    switch()
    live.told("resolved", "PostgresArchiveFailing")


def test_messages_say_where_to_look_and_no_secret(live: Live) -> None:
    alert = next(
        one
        for body in live.hook.bodies
        for one in body["alerts"]
        if one["labels"]["alertname"] == "RedisDown"
    )
    assert alert["labels"]["instance"] == "redis"
    assert alert["annotations"]["runbook_url"] == "https://wiki.example/playbook#redisdown"
    texts = [json.dumps(live.hook.bodies), *live.box.texts(), live.log()]
    secrets = [path.read_text() for path in (live.cli.state / "secrets").glob("*_*")]
    assert len(secrets) > 4
    for text in [*texts, (live.cli.state / "alerts.json").read_text()]:
        assert SECRET_PATH not in text
        assert not [secret for secret in secrets if secret in text]


def test_nothing_is_told_twice(live: Live) -> None:
    found = live.hook.alerts()
    for name in ("RedisDown", "RedisHighMemory", "PostgresArchiveFailing"):
        assert found.count(("resolved", name)) == 1


def test_an_agent_that_was_killed_neither_forgets_nor_repeats(live: Live) -> None:
    state = live.cli.state

    def count(status: str) -> int:
        return live.hook.alerts().count((status, "RedisDown"))

    def kept(there: bool) -> bool:
        """Whether the agent's file has for every channel that it was told, or the opposite."""
        told = json.loads((state / "alerts.json").read_text())["told"]
        names = [{one["alert"]["name"] for one in channel} for channel in told.values()]
        return all(("RedisDown" in one) is there for one in names)

    within(LONG, lambda: kept(False), live.log)
    fired, resolved = count("firing"), count("resolved")
    os.kill(pid(live.cli, "mng-redis"), signal.SIGTERM)
    within(LONG, lambda: kept(True), live.log)
    assert count("firing") == fired + 1
    os.kill(int((state / "agent/agent.pid").read_text().split()[0]), signal.SIGKILL)
    at = _round(state)
    with subprocess.Popen(
        live.cli.argv("agent"),
        cwd=live.cli.folder,
        env=live.cli.environ(),
        stderr=subprocess.PIPE,
        text=True,
    ) as again:
        try:
            within(LONG, lambda: _round(state) > at, live.log)
            assert ("firing", "RedisDown") in live.now()[1]
            live.cli.ok("up")
            within(LONG, lambda: count("resolved") == resolved + 1, live.log)
            assert count("firing") == fired + 1
        finally:
            again.terminate()
            try:
                again.communicate(timeout=LONG)
            finally:
                again.kill()
    # without the agent, the command looks once, and says so
    done = live.cli.run("alerts")
    assert done.returncode == 1
    assert "AgentGone" in done.stdout
    assert "no recent evaluation by the agent" in done.stderr
    assert "RedisEvictedKeys" in done.stderr


def _round(state: Path) -> float:
    return float(json.loads((state / "alerts.json").read_text())["at"])
