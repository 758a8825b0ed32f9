"""Whose files are trusted once, by the agent and after a reboot too: `sudo mngdb up`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import systemd
from tests.conftest import Cli
from tests.e2e.test_boot import line_for_cron
from tests.live import faults

pytestmark = [pytest.mark.live, pytest.mark.root]
STACK = """
redis: {port: PORT1}
apps: {shop: {redis: "shop:*"}}
agent: {alerts: false, ports: {redis: PORT5, mngdb: PORT6}}
"""
SAFE = "MNGDB_SAFE_DIRECTORY"
#: An account that calls root, and has a group of its own.
CALLER = 54321


@pytest.fixture(params=["SUDO_UID", SAFE])
def lent(cli: Cli, tmp_path: Path, request: pytest.FixtureRequest) -> Cli:
    """Another account's project, which root trusts for the way in which it was called."""
    home = tmp_path / "a home"
    cli.folder = home / "project"
    cli.folder.mkdir(parents=True)
    cli.write(STACK)
    cli.env[request.param] = str(home if request.param == SAFE else CALLER)
    for path in (home, cli.folder, cli.folder / "mngdb.yaml"):
        os.chown(path, CALLER, CALLER)
        path.chmod(0o700 if path.is_dir() else 0o600)
    return cli


def reboot(cli: Cli) -> None:
    """The agent and the server end at once."""
    faults.end_of(int((cli.state / "agent/agent.pid").read_text().split()[0]))
    faults.kill(cli, "mng-redis")


def sound(cli: Cli) -> bool:
    """Whether the server and the agent do their work."""
    return [one["healthy"] for one in cli.json("status")["units"]] == [True, True]


def test_a_callers_trust_reaches_the_agent_the_unit_and_the_line_for_cron(lent: Cli) -> None:
    lent.ok("up")
    assert sound(lent)
    for way in ("systemd", "cron"):
        reboot(lent)
        if way == "systemd":
            done = systemd.run(lent.ok("render", "systemd"), "ExecStart")
        else:
            done = systemd.cron(line_for_cron(lent))
        assert (done.returncode, done.stderr if way == "cron" else "") == (0, ""), done.stderr
        assert sound(lent)


def test_just_the_project_is_trusted_and_only_where_that_is_needed(lent: Cli) -> None:
    line = f'Environment="{SAFE}={lent.folder}"\n'
    assert line in lent.ok("render", "systemd")
    for path in (lent.folder, lent.folder / "mngdb.yaml"):
        os.chown(path, 0, 0)
    assert SAFE not in lent.ok("render", "systemd")


def test_a_folder_that_the_variable_cannot_name_is_said_and_not_half_of_it_trusted(
    lent: Cli,
) -> None:
    lent.folder = lent.folder.rename(lent.folder.with_name("a:b"))
    done = lent.run("render", "systemd")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{lent.folder} has a colon in its name" in done.stderr
