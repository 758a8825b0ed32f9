"""The doctor and the agent: one that is wanted and dead is a cause, unless nothing runs."""

from __future__ import annotations

import json

import pytest

from tests.conftest import Cli
from tests.live import faults

pytestmark = pytest.mark.live
STACK = """
redis: {port: PORT1}
apps: {shop: {redis: "shop:*"}}
agent: {alerts: false, ports: {redis: PORT5, mngdb: PORT6}}
"""


def test_an_agent_that_is_wanted_and_does_not_run_is_what_is_wrong(cli: Cli) -> None:
    cli.write(STACK)
    cli.ok("up")
    faults.end_of(int((cli.state / "agent/agent.pid").read_text().split()[0]))
    found = cli.run("--json", "doctor")
    answer = json.loads(found.stdout)
    assert (found.returncode, answer["healthy"], answer["others"]) == (1, False, [])
    assert answer["cause"]["cause"] == "agent"
    assert "mng-agent: not running" in answer["cause"]["text"]
    faults.kill(cli, "mng-redis")
    answer = json.loads(cli.run("--json", "doctor").stdout)
    assert answer["cause"]["cause"] == "not-running"
    assert "agent" in {one["cause"] for one in answer["cause"]["consequences"]}
    cli.ok("up")
    cli.write(STACK.replace("shop:*", "stall:*"))
    answer = json.loads(cli.run("--json", "doctor").stdout)
    assert "agent" not in {one["cause"] for one in answer["others"]}
    assert any("the file has changed" in one["text"] for one in answer["watch"])
