"""`mngdb alerts` without an agent, and what is said of channels that cannot be told yet."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from mngdb.ops.alerts import Alerts
from mngdb.ops.context import Context
from mngdb.samples import Family, Sample
from mngdb.spec.load import load
from tests.conftest import Cli
from tests.live.clients import brought_up, set_secret
from tests.live.scrapes import pid_of

pytestmark = pytest.mark.live

stack = brought_up(
    """
redis: {port: PORT1, memory: 32mb}
alerts:
  rules: {RedisHighMemory: {threshold: 0.000001}, RedisNoMemoryLimit: false, HostDiskHigh: false}
  channels: {team: slack}
"""
)


def test_one_look_waits_for_nothing_and_says_what_it_cannot_judge(stack: Cli) -> None:
    done = stack.run("alerts")
    assert done.returncode == 1
    head, alert = done.stdout.splitlines()
    assert head.split() == ["SEVERITY", "STATE", "ALERT", "FOR", "WHAT"]
    assert alert.split()[:4] == ["warning", "firing", "RedisHighMemory", "-"]
    assert "no recent evaluation by the agent" in done.stderr
    assert "RedisEvictedKeys" in done.stderr
    assert "RedisDown" not in done.stderr
    assert "more than one measurement needed: RedisConnectionsRejected" in done.stderr
    assert "not measured without an agent: processors and memory, secrets and" in done.stderr


def test_a_server_that_is_down_is_known_not_unknown(stack: Cli) -> None:
    server = pid_of(stack, "mng-redis")
    os.kill(server, signal.SIGKILL)
    done = stack.run("alerts")
    assert done.returncode == 1
    assert "critical  firing  RedisDown" in done.stdout
    assert "RedisHighMemory" in done.stderr.partition("not evaluated, redis did not answer: ")[2]
    assert "more than one measurement" not in done.stderr
    stack.ok("up")


def test_quiet_but_not_all_judged_is_unknown(stack: Cli) -> None:
    file = stack.folder / "mngdb.yaml"
    text = file.read_text()
    file.write_text(text.replace("threshold: 0.000001", "threshold: 0.9"))
    done = stack.run("alerts")
    file.write_text(text)
    assert (done.returncode, done.stdout) == (3, "no active alerts\n")


def test_one_look_sees_the_disks(stack: Cli) -> None:
    """The agent can keep no round on a full one."""
    file = stack.folder / "mngdb.yaml"
    text = file.read_text()
    full = "rules: {HostDiskFull: {threshold: 0.000001}, "
    full_text = text.replace("rules: {", full)
    file.write_text(full_text)
    without = stack.run("alerts")
    file.write_text(full_text.replace("agent: false", ""))
    set_secret(stack, "redis_monitor", "x" * 40)
    done = stack.run("alerts")
    file.write_text(text)
    for found in (without, done):
        assert "critical  firing  HostDiskFull" in found.stdout


def test_a_channel_without_its_secret_is_remarked_until_it_has_one(stack: Cli) -> None:
    def notices() -> list[str]:
        found = [one["hint"] for one in stack.json("plan")["remarks"]]
        return [hint for hint in found if "secret" in hint]

    assert notices() == ["mngdb secret set alerts_team"]
    stack.ok("secret", "set", "alerts_team", stdin="https://hooks.slack.com/services/T/B/x")
    assert notices() == []
    path = stack.state / "secrets/alerts_team"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_round_that_cannot_be_kept_is_judged_and_said_once(stack: Cli) -> None:
    context = Context.open(load([stack.folder / "mngdb.yaml"], stack.environ()), stack.environ())
    path = stack.state / "alerts.json"
    path.unlink(missing_ok=True)
    alerts = Alerts(context)
    path.mkdir()
    up = Family("redis_up", "gauge", "", [Sample("redis_up", (("instance", "redis"),), 0.0)])
    said = [alerts.round(at, [up]) for at in (0.0, 60.0, 120.0)]
    path.rmdir()
    assert [len(lines) for lines in said] == [1, 1, 0]
    assert "notifications may repeat" in said[0][0]
    assert [line.partition(":")[0] for line in said[1]] == ["firing critical RedisDown"]
    assert alerts.round(180.0, [up]) == []
    assert path.is_file()
    # what fires goes on, and is not told again
    (line,) = alerts.round(9180.0, [up])
    assert line.startswith("the clock jumped by +9000 s")
    alerts.close(9180.0)


def test_doctor_takes_what_fires_and_not_what_may_come(stack: Cli) -> None:
    """Right after a first `up` the agent's only round saw servers that still started."""
    context = Context.open(load([stack.folder / "mngdb.yaml"], stack.environ()), stack.environ())
    alerts = Alerts(context)
    redis = (("instance", "redis"),)
    families = [
        Family(name, "gauge", "", [Sample(name, redis, 0.0)])
        for name in ("redis_up", "redis_rdb_last_bgsave_status")
    ]
    now = time.time()
    alerts.round(now - 31, families)
    assert stack.json("doctor")["cause"] is None
    alerts.round(now + 30, families)
    # that it answers is seen here, and later
    said = "alert RedisSnapshotFailing is firing: Redis redis cannot save a snapshot"
    assert json.loads(stack.run("--json", "doctor").stdout)["cause"]["text"] == said
    alerts.round(now + 31, [])
    alerts.close(now + 31)
