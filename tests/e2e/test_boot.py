"""After a reboot everything comes back: the unit, what it runs, and what is said of it."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

import psutil
import pytest

from tests import systemd
from tests.conftest import Cli
from tests.live import faults
from tests.live.clients import redis_as
from tests.live.postgres import sql, value

pytestmark = pytest.mark.live
STACK = """
redis: {port: PORT1}
postgres: {port: PORT2}
apps: {shop: {redis: "shop:*", postgres: shop}}
agent: {alerts: false, ports: {postgres: PORT4, redis: PORT5, mngdb: PORT6}}
"""
CONTAINERS = "redis: {port: PORT1}\ntarget: compose\nagent: false\n"
NOTE = "note: this stack does not start at boot: run 'mngdb enable'\n"


@pytest.mark.parametrize("kind", ["system", "user"])
@pytest.mark.parametrize("text", [STACK, CONTAINERS], ids=["local", "compose"])
@pytest.mark.parametrize(
    "name", ["plain", "with space", "100%done", "a$b", "a'b\"c", "사과", "a\\"]
)
def test_systemd_takes_the_rendered_unit(
    cli: Cli, tmp_path: Path, kind: str, text: str, name: str
) -> None:
    cli.folder = tmp_path / name
    cli.folder.mkdir()
    cli.write(text)
    cli.env |= {"XDG_STATE_HOME": str(tmp_path / f"state {name}")}
    cli.ok("render", "systemd", f"--{kind}", "--output", str(tmp_path / "units"))
    unit = tmp_path / "units" / "mngdb-mng.service"
    assert f"state {name}".replace("%", "%%").split()[0] in unit.read_text()
    with tempfile.TemporaryDirectory(dir="/tmp") as short:  # other units' sockets lie there, too
        done = systemd.verify(unit, kind, Path(short))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("where", ["project", "state", "PATH"])
@pytest.mark.parametrize("character", ["\n", "\r", "\x1b", "\x7f", "\x85", "\udcff"])
def test_a_path_that_would_end_a_line_of_the_unit_is_refused(
    cli: Cli, tmp_path: Path, character: str, where: str
) -> None:
    bad = tmp_path / f"a{character}[Service]"
    bad.mkdir()
    if where == "project":
        cli.folder = bad
    elif where == "state":
        cli.env["MNGDB_STATE_HOME"] = str(bad)
    else:
        cli.env["PATH"] = f"{os.environ['PATH']}:{bad}"
    cli.write(faults.REDIS)
    for words in (("render", "systemd"), ("enable",)):
        done = cli.run(*words)
        assert (done.returncode, done.stdout) == (2, ""), done.stdout
        assert "has a control character" in done.stderr
        assert len(done.stderr.splitlines()) == 2


def reboot(cli: Cli) -> None:
    """All of the stack's processes end at once, as with the power."""
    names = [faults.pid(cli, unit) for unit in ("mng-redis", "mng-pg")]
    names.append(int((cli.state / "agent/agent.pid").read_text().split()[0]))
    for pid in [*names[2:], *names[:2]]:  # the agent first: it would start them again
        faults.end_of(pid)


def test_what_the_unit_runs_brings_everything_back_with_its_rows(cli: Cli) -> None:
    cli.write(STACK)
    cli.ok("up")
    sql(cli, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (1)", app="shop")
    with redis_as(cli, "shop") as shop:
        shop.set("shop:a", "kept")
    with redis_as(cli) as admin:
        faults.written(admin)
    unit = cli.ok("render", "systemd")
    reboot(cli)
    done = systemd.run(unit, "ExecStart")
    assert done.returncode == 0, done.stderr
    shown = cli.json("status")["units"]
    assert {one["name"]: one["healthy"] for one in shown} == {
        "mng-redis": True,
        "mng-pg": True,
        "mng-agent": True,
    }
    assert value(cli, "SELECT n FROM kept", app="shop") == 1
    with redis_as(cli, "shop") as shop:
        assert shop.get("shop:a") == "kept"
    servers = {psutil.Process(faults.pid(cli, unit)) for unit in ("mng-redis", "mng-pg")}
    assert systemd.run(unit, "ExecStop").returncode == 0
    ended = {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
    assert not any(one.is_running() and one.status() not in ended for one in servers)


def test_up_says_once_that_nothing_comes_back(cli: Cli) -> None:
    cli.write(faults.REDIS)
    assert NOTE in cli.run("up").stderr
    assert NOTE not in cli.run("up").stderr
    cli.ok("down")
    assert NOTE not in cli.run("up").stderr


#: systemd is where it says so: in a folder that is empty here, and that nobody else sees so.
EMPTY = 'mkdir -p /run/systemd && mount -t tmpfs tmpfs /run/systemd && exec "$@"'
ELSEWHERE = ["unshare", "--mount", "sh", "-c", EMPTY, "sh"]


def line_for_cron(cli: Cli) -> str:
    """What `enable` gives where systemd does not run."""
    done = subprocess.run(
        [*ELSEWHERE, *cli.argv("enable")],
        cwd=cli.folder,
        env=cli.environ(),
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: systemd is not running here\n  hint: with cron, ")
    line = done.stderr.partition("takes this line: ")[2].rstrip("\n")
    assert line.startswith("@reboot ")
    return line


@pytest.mark.root
def test_without_systemd_enable_gives_the_line_for_cron(cli: Cli) -> None:
    cli.write(STACK)
    cli.ok("up")
    line = line_for_cron(cli)
    reboot(cli)
    assert systemd.cron(line).returncode == 0
    assert all(one["healthy"] for one in cli.json("status")["units"])
    assert cli.ok("disable") == "mngdb-mng.service is not enabled\n"


def test_check_tells_whether_it_comes_back(cli: Cli) -> None:
    cli.write(faults.REDIS)
    cli.ok("up")
    found = cli.run("--json", "check", "--only", "host.boot")
    verdict = json.loads(found.stdout)["findings"][0]["verdict"]
    has = Path("/run/systemd/system").is_dir() or any(
        Path(one, "crontab").exists() for one in os.environ["PATH"].split(":")
    )
    assert verdict == ("fail" if has else "not_applicable")
