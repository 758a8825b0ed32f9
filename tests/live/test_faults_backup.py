"""Commands of backups that are killed: nothing is lost, and the same command finishes.

One Redis (`one_redis`), and the moments at which the commands say what they do.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mngdb.lock import lock
from mngdb.ops.backup import restore
from mngdb.ops.context import Context
from mngdb.spec.load import load
from tests.conftest import Cli
from tests.live import faults
from tests.live.one_redis import get, one_redis
from tests.live.scrapes import until

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """A server with a snapshot of `first`, and `second` since."""
    with one_redis(tmp_path_factory) as found:
        yield found


def _snapshots(cli: Cli) -> list[str]:
    (found,) = cli.json("backups")["instances"]
    return [one["id"] for one in found["snapshots"]]


def _killed(cli: Cli, *command: str, after: float) -> None:
    """Run a command in a process group of its own, and kill it."""
    with subprocess.Popen(
        cli.argv(*command), cwd=cli.folder, env=cli.environ(), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    ) as process:  # fmt: skip
        time.sleep(after)
        process.send_signal(signal.SIGKILL)


#: Seconds after which a command is killed: from its imports to its end.
MOMENTS = [0.3, 0.5, 0.7, 1.1]


@pytest.mark.parametrize("after", MOMENTS)
def test_a_killed_backup_is_no_snapshot_and_hinders_none(cli: Cli, after: float) -> None:
    before = _snapshots(cli)
    _killed(cli, "backup", after=after)
    assert set(before) <= set(_snapshots(cli))
    assert cli.json("verify")["verdict"] == "pass"
    taken = cli.json("backup")["instances"][0]["id"]
    assert taken in _snapshots(cli)


@pytest.mark.parametrize("after", MOMENTS)
def test_a_killed_restore_is_done_by_the_same_command(cli: Cli, after: float) -> None:
    first = _snapshots(cli)[0]
    _killed(cli, "restore", "redis", "--snapshot", first, after=after)
    done = cli.run("--json", "restore", "redis", "--snapshot", first)
    said = "is restored already" in done.stderr  # it was killed after its work
    assert said or json.loads(done.stdout)["address"], done.stderr
    assert get(cli) == "second"
    cli.ok("restore", "--forget", "redis")
    assert not list((cli.state / "restored").glob("*/"))
    until(lambda: len(_servers(cli)) == 1)


@pytest.mark.parametrize("after", [*MOMENTS, 1.6])
def test_a_killed_replacement_loses_nothing_and_is_finished(cli: Cli, after: float) -> None:
    first = _snapshots(cli)[0]
    command = ("restore", "redis", "--snapshot", first, "--replace", "--yes")
    _killed(cli, *command, after=after)
    cli.ok("up")
    before = get(cli)
    assert before in {"first", "second"}
    cli.ok(*command)
    assert get(cli) == "first"
    cli.ok("restore", "redis", "--undo", "--yes")
    if before == get(cli) == "first":  # it was killed after its work, which was done twice
        cli.ok("restore", "redis", "--undo", "--yes")
    assert get(cli) == "second"
    cli.ok("restore", "--forget", "redis", "--replaced", "--yes")
    assert get(cli) == "second"


def test_a_replacement_that_was_killed_while_the_server_was_stopped_is_told(cli: Cli) -> None:
    """And whoever looks after the servers starts it, with the data that it has."""
    pidfile, first = faults.pidfile(cli, "mng-redis"), _snapshots(cli)[0]
    command = ("restore", "redis", "--snapshot", first, "--replace", "--yes")
    with faults.begin(cli, *command) as killed:
        faults.halted_when(killed, lambda: not pidfile.exists())
        killed.kill()
    until(lambda: len(_servers(cli)) <= 1)
    said = cli.run("doctor").stdout
    assert "a restore was interrupted" in said
    assert "mngdb up redis" in said
    environ = cli.environ()
    context = Context.open(load([cli.folder / "mngdb.yaml"], environ), environ)
    told: list[str] = []

    def start(why: str) -> None:
        told.append(why)
        cli.ok("up", "redis")

    restore.resume(context, "redis", start)
    assert len(told) == 1
    assert get(cli) in {"first", "second"}
    assert restore.interrupted(context) == {}
    restore.resume(context, "redis", start)
    cli.ok("down", "redis")
    assert len(told) == 1
    assert "interrupted" not in cli.run("doctor").stdout
    cli.ok("up")
    if get(cli) == "first":
        cli.ok("restore", "redis", "--undo", "--yes")
    assert get(cli) == "second"
    cli.ok("restore", "--forget", "redis", "--replaced", "--yes")


@pytest.mark.parametrize("after", [0.6, 1.2])
def test_a_killed_drill_leaves_nothing_once_there_was_another(cli: Cli, after: float) -> None:
    _killed(cli, "drill", after=after)
    (drill,) = cli.json("drill")["drills"]
    assert drill["verdict"] == "pass", drill["checks"]
    assert not list((cli.state / "drills").glob("*/"))
    until(lambda: len(_servers(cli)) == 1)


def test_destroy_ends_what_a_killed_drill_left(tmp_path_factory: pytest.TempPathFactory) -> None:
    with one_redis(tmp_path_factory) as cli:
        with faults.begin(cli, "drill") as command:
            faults.halted_when(command, lambda: len(_pids(cli.state)) > 1)
            servers = _pids(cli.state)
            command.kill()
        state = cli.state
        cli.ok("destroy", "--yes", "mng")
        assert not state.exists()
        until(lambda: not any(Path(f"/proc/{pid}/cwd").exists() for pid in servers))


def test_a_server_that_is_killed_fails_its_drill(cli: Cli) -> None:
    with faults.begin(cli, "--json", "drill") as command:
        assert command.stderr
        told = next(line for line in command.stderr if "starting" in line)
        faults.halted_when(command, lambda: _pids(cli.state / "drills"))
        for pid in _pids(cli.state / "drills"):
            os.kill(pid, signal.SIGKILL)
        faults.go_on(command)
        said, problems = command.communicate(timeout=60)
    (drill,) = json.loads(said)["drills"]
    assert (command.returncode, drill["verdict"]) == (1, "fail"), told + problems
    assert "Traceback" not in said + problems
    assert not list((cli.state / "drills").glob("*/"))
    assert cli.json("drill")["drills"][0]["verdict"] == "pass"


def _servers(cli: Cli) -> list[int]:
    """The stack's processes, and those of restored servers."""
    return _pids(cli.state)


def _pids(folder: Path) -> list[int]:
    """The processes that work in a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "cwd").readlink().is_relative_to(folder):
                found.append(int(path.name))
        except OSError:
            continue
    return found


def test_one_restore_of_an_instance_at_a_time(cli: Cli) -> None:
    first = _snapshots(cli)[0]
    with lock(cli.state / "restored-redis.lock", "restore"):
        done = cli.run("restore", "redis", "--snapshot", first)
    assert (done.returncode, "another command" in done.stderr) == (2, True), done.stderr
    assert f"mngdb restore (pid {os.getpid()})" in done.stderr


def test_no_data_is_exchanged_while_another_command_has_the_stack(cli: Cli) -> None:
    words = ("restore", "redis", "--snapshot", _snapshots(cli)[0], "--replace", "--yes")
    with lock(cli.state / "lock", "down"):
        done = cli.run(*words)
    assert (done.returncode, f"mngdb down (pid {os.getpid()})" in done.stderr) == (1, True)
    assert "does not run" not in done.stderr
    assert get(cli) == "second"
    cli.ok("restore", "--forget")


def test_down_stops_restored_servers_and_the_same_restore_starts_anew(cli: Cli) -> None:
    first = _snapshots(cli)[0]
    cli.ok("restore", "redis", "--snapshot", first)
    assert len(_servers(cli)) == 2
    (beside,) = cli.json("status")["restored"]
    assert (beside["instance"], beside["unit"] in cli.ok("status")) == ("redis", True)
    stopped = cli.json("down")["stopped"]
    assert (len(stopped), _servers(cli)) == (2, [])
    cli.ok("up")
    assert get(cli) == "second"
    cli.ok("restore", "redis", "--snapshot", first)
    cli.ok("restore", "--forget")


def test_drills_one_after_another_raise_no_alarm_and_leave_nothing(cli: Cli) -> None:
    cli.ok("drill")
    before = {path for path in cli.state.rglob("*") if path.is_file()}
    end, made = time.monotonic() + 5, 0
    while time.monotonic() < end:
        (drill,) = cli.json("drill")["drills"]
        assert drill["verdict"] == "pass", drill["checks"]
        made += 1
    assert {path for path in cli.state.rglob("*") if path.is_file()} == before
    assert len(_servers(cli)) == 1
    assert len(cli.json("drill", "--history")["drills"]) > made


def test_a_killed_prune_leaves_what_is_kept_and_is_finished_by_the_next(cli: Cli) -> None:
    """The last test: only the newest snapshot is left."""
    keep = "{daily: 1, weekly: 0, monthly: 0, point_in_time: 0s}"
    text = (cli.folder / "mngdb.yaml").read_text()
    cli.write(text.replace("backup: {", f"backup: {{keep: {keep}, "))
    for after in MOMENTS[:3]:
        newest = [cli.json("backup")["instances"][0]["id"] for _ in range(3)][-1]
        _killed(cli, "backup", "prune", "--yes", after=after)
        assert newest in _snapshots(cli)
        assert cli.json("verify")["verdict"] == "pass"
    cli.ok("backup", "prune", "--yes")
    proved = [one for one in _snapshots(cli) if one != newest]
    assert len(proved) <= 1
    assert newest in _snapshots(cli)
    assert cli.json("drill")["drills"][0]["verdict"] == "pass"
