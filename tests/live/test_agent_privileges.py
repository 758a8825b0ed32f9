"""The agent has no more rights than its work takes, and nothing of its caller's environment."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from mngdb.agent.privileges import KEPT
from tests.conftest import Cli
from tests.live.scrapes import pid_of, until

pytestmark = pytest.mark.live

FILE = """\
redis:
  port: ${REDIS_PORT_HERE}
  memory: ${REDIS_MEMORY:-32mb}
apps: {shop: {redis: "shop:*"}}
agent: {ports: {mngdb: PORT2, redis: PORT3}}
"""
#: What a shell on a developer's machine holds.
CALLER = {
    "AWS_SECRET_ACCESS_KEY": "not-for-the-agent",
    "GITHUB_TOKEN": "not-for-the-agent",
    "MNGDB_SECRET_OF_ANOTHER_STACK": "not-for-the-agent",
    "PGPASSWORD": "not-for-the-agent",
    "LD_PRELOAD": "",
    "BASH_ENV": "/nonexistent",
    "OTHER": "not-for-the-agent",
}


def agent(cli: Cli) -> int:
    """The agent's pid."""
    return pid_of(cli, "mng-agent")


def environment(pid: int) -> dict[str, str]:
    words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    pairs = (os.fsdecode(word).partition("=") for word in words if word)
    return {name: value for name, _, value in pairs}


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


@pytest.fixture
def stack(cli: Cli) -> Cli:
    cli.write(FILE)
    cli.env |= CALLER | {"REDIS_PORT_HERE": str(cli.port(1)), "TZ": "Asia/Seoul"}
    cli.ok("up")
    return cli


def test_the_callers_environment_is_not_the_agents(stack: Cli) -> None:
    found = environment(agent(stack))
    assert found["REDIS_PORT_HERE"] == str(stack.port(1))  # the file names it
    assert found["TZ"] == "Asia/Seoul"
    assert found["PATH"] == os.environ["PATH"]
    assert not set(found) & set(CALLER)
    assert "not-for-the-agent" not in found.values()
    assert stack.run("status").returncode == 0


def test_of_the_vault_environ_the_agent_gets_what_the_stack_needs(cli: Cli) -> None:
    cli.write("vault: environ\n" + FILE)
    cli.env |= CALLER | {"REDIS_PORT_HERE": str(cli.port(1))}
    names = {f"MNGDB_SECRET_REDIS_{login}" for login in ("ADMIN", "MONITOR", "SHOP")}
    cli.env |= {name: f"{name}-{'x' * 20}" for name in names}
    cli.ok("up")
    found = environment(agent(cli))
    assert {name for name in found if name.startswith("MNGDB_SECRET_")} == names
    until(lambda: cli.run("status").returncode == 0)


def test_the_agent_keeps_the_rights_that_its_work_takes(stack: Cli) -> None:
    pid = agent(stack)
    found = status(pid)
    assert found["NoNewPrivs"] == "1"
    assert found["Umask"] == "0077"
    held = {name: int(found[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")}
    wanted = sum(1 << number for number in KEPT.values()) if os.geteuid() == 0 else 0
    ours = int(status(os.getpid())["CapPrm"], 16)
    assert held == {"CapEff": wanted & ours, "CapPrm": wanted & ours, "CapInh": 0, "CapAmb": 0}
    assert int(found["CapBnd"], 16) & ~wanted == 0 or os.geteuid() != 0
    # every thread: capabilities are each one's own
    for task in Path(f"/proc/{pid}/task").iterdir():
        assert int(status(int(task.name))["CapEff"], 16) == wanted & ours


def test_with_these_rights_the_agent_still_starts_a_server_that_died(stack: Cli) -> None:
    server = pid_of(stack, "mng-redis")
    who = psutil.Process(server).username()
    os.kill(server, signal.SIGKILL)
    until(lambda: pid_of(stack, "mng-redis") not in {0, server})
    until(lambda: stack.run("status").returncode == 0)
    assert psutil.Process(pid_of(stack, "mng-redis")).username() == who
    stack.ok("down")
    stack.ok("up")
