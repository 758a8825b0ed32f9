"""The doctor and the agent: one that is wanted and dead is a cause, unless nothing runs."""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import ExitStack
from functools import partial

import pytest

from tests.conftest import Cli
from tests.live import faults
from tests.live.scrapes import pid_of, until

pytestmark = pytest.mark.live
STACK = """
redis: {port: PORT1}
apps: {shop: {redis: "shop:*"}}
agent: {alerts: false, ports: {redis: PORT5, mngdb: PORT6}}
"""


def restarted(cli: Cli, before: int) -> bool:
    return pid_of(cli, "mng-redis") != before


def test_crashes_that_are_over_are_for_watching_until_up_names_the_server(cli: Cli) -> None:
    cli.write(STACK)
    cli.ok("up")
    for _ in range(3):
        before = faults.pid(cli, "mng-redis")
        faults.kill(cli, "mng-redis")
        until(partial(restarted, cli, before))
        until(lambda: cli.run("status").returncode == 0)
    answer = cli.json("doctor")
    assert answer["cause"] is None
    (crashed,) = [one for one in answer["watch"] if "was restarted 3 times" in one["text"]]
    assert crashed["instances"] == ["redis"]
    assert cli.json("up")["steps"] == []
    assert crashed in cli.json("doctor")["watch"]
    assert cli.json("up", "redis")["steps"] == []
    assert not [one for one in cli.json("doctor")["watch"] if "crashed" in one["text"]]


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


def test_taken_ports_of_the_agents_are_named_with_who_has_them(cli: Cli) -> None:
    cli.write(STACK)
    cli.ok("up")
    faults.end_of(int((cli.state / "agent/agent.pid").read_text().split()[0]))
    ports = [f"port {cli.port(number)}" for number in (5, 6)]
    with ExitStack() as held:
        for number in (5, 6):
            held.enter_context(socket.create_server(("127.0.0.1", cli.port(number))))
        answer = json.loads(cli.run("--json", "doctor").stdout)
        assert answer["cause"]["cause"] == "agent"
        (unit,) = [
            u
            for u in json.loads(cli.run("--json", "status").stdout)["units"]
            if u["engine"] == "agent"
        ]
        for text in (answer["cause"]["text"], unit["error"], cli.run("plan").stderr):
            assert [port for port in ports if port not in text] == []
            assert f"(pid {os.getpid()})" in text
        assert "agent: {ports: auto}" in answer["cause"]["command"]


def test_an_agent_that_works_by_the_old_file_is_a_warning_everywhere(cli: Cli) -> None:
    cli.write(STACK)
    cli.ok("up")
    time.sleep(10.5)  # a younger one may still be importing
    for number in (5, 6):
        cli.write(STACK.replace(f"PORT{number}", "PORT7"))
        answer = json.loads(cli.run("--json", "doctor").stdout)
        assert answer["healthy"]
        assert any("the file has changed" in one["text"] for one in answer["watch"])
        (unit,) = [
            u
            for u in json.loads(cli.run("--json", "status").stdout)["units"]
            if u["engine"] == "agent"
        ]
        assert unit["healthy"]
        assert "the file has changed" in unit["warning"]
