"""Backups of containers: parts that come back, and commits that wait."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest

from tests.compose.stacks import ComposeCli
from tests.live.scrapes import until

pytestmark = pytest.mark.docker
FILE = """
agent: {ports: {mngdb: PORT1, postgres: PORT2, redis: PORT3}}
postgres: {memory: 64mb, recovery_point: sync}
redis: {memory: 32mb}
apps: {shop: {postgres: shop, redis: "shop:*"}}
backup: {store: STORE, at: "00:00", drill: {every: 365d}}
"""


@pytest.fixture(scope="module")
def up(module_stack: ComposeCli) -> ComposeCli:
    """A stack whose agent has taken a snapshot."""
    text = FILE.replace("STORE", str(module_stack.folder / "store"))
    for number in range(1, 4):
        text = text.replace(f"PORT{number}", str(module_stack.port(number)))
    module_stack.write(text)
    module_stack.ok("up")
    module_stack.sql("CREATE TABLE item AS SELECT 7 AS n", "shop", "shop")
    module_stack.redis("set", "shop:a", "1")
    until(
        lambda: all(one["reachable"] for one in module_stack.run_json("backups")["instances"]), 60
    )
    return module_stack


def awaited(stack: ComposeCli) -> bool:
    return bool(stack.sql("SHOW synchronous_standby_names"))


def test_what_a_command_removed_comes_back_into_the_containers(up: ComposeCli) -> None:
    up.sql("DROP TABLE item", "shop")
    up.redis("flushall")
    time.sleep(1.5)
    up.ok("restore", "postgres", "--to", "before 'DROP TABLE item'", "--table", "item")
    assert up.sql("SELECT n FROM item", "shop", "shop") == "7"
    assert up.sql("SELECT count(*) FROM pg_roles WHERE rolname = 'mngdb_restoring'") == "0"
    up.ok("restore", "redis", "--to", "before-last-flushall", "--keys", "shop:*")
    assert up.redis("get", "shop:a") == "1"


def test_a_server_that_docker_starts_again_does_not_wait_for_an_agent_that_is_gone(
    up: ComposeCli,
) -> None:
    """As after a loss of power: nothing of ours runs then."""
    until(lambda: awaited(up), 30)
    agent = psutil.Process(int((up.state / "agent" / "agent.pid").read_text().split()[0]))
    children = [one for one in agent.children() if one.status() != psutil.STATUS_ZOMBIE]
    for one in [*(one for one in children if "--guard" in one.cmdline()), agent]:
        os.kill(one.pid, signal.SIGKILL)
    restarts = up.inspect("pg")["RestartCount"]
    up.run_in("pg", "sh", "-c", "kill -9 $(head -1 $PGDATA/postmaster.pid)")
    up.restarted("pg", restarts)
    begun = time.monotonic()
    up.sql("INSERT INTO item VALUES (8)", "shop", "shop")
    assert time.monotonic() - begun < 12
    assert not awaited(up)
