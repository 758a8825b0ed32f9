"""Two commands on one stack at a time: one works, the other says who does."""

from __future__ import annotations

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from mngdb import lock as locks
from mngdb.errors import LockedError
from mngdb.lock import lock
from tests.checks.judge import opened
from tests.conftest import Cli
from tests.live import faults
from tests.live.postgres import pg, value
from tests.live.scrapes import until

pytestmark = pytest.mark.live


def halted(cli: Cli, *words: str) -> subprocess.Popen[str]:
    """A command that holds the lock and does not go on."""
    command, path = faults.begin(cli, *words), cli.state / "lock"
    faults.halted_when(
        command, lambda: path.exists() and f'"pid": {command.pid}' in path.read_text()
    )
    return command


def ended(process: subprocess.Popen[str]) -> int:
    """The exit code of a command, when it has ended; pytest shows what it said."""
    print(*process.communicate(timeout=300))
    return process.returncode


@pytest.mark.parametrize("command", ["up", "down"])
def test_the_second_command_names_the_first_and_exits_1(cli: Cli, command: str) -> None:
    cli.write(faults.REDIS)
    first = halted(cli, "up")
    second = cli.run(command)
    faults.go_on(first)
    assert second.returncode == 1
    assert f"another mngdb is working on this stack: mngdb up (pid {first.pid})" in second.stderr
    assert f"it is stopped: kill -CONT {first.pid}" in second.stderr
    out, said = first.communicate(timeout=300)
    assert first.returncode == 0, out + said
    faults.sound(cli, {"mng-redis"})


def test_two_ups_begun_together_leave_one_server_and_a_stack_as_asked(cli: Cli) -> None:
    cli.write(faults.REDIS)
    pair = [faults.begin(cli, "up"), faults.begin(cli, "up")]
    said = [process.communicate(timeout=300) for process in pair]
    codes = sorted(process.returncode for process in pair)
    assert codes in ([0, 0], [0, 1]), said
    assert codes == [0, 0] or any("another mngdb is working" in err for _, err in said), said
    faults.sound(cli, {"mng-redis"})


@pytest.mark.parametrize("gone", [False, True], ids=["down", "destroy"])
def test_a_command_waits_for_one_that_is_about_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    """Also for one that takes the lock's file along: a lock that nobody else sees is none."""
    path = tmp_path / "lock"
    looks: list[float] = []
    with ExitStack() as first:
        first.enter_context(lock(path, "first"))

        with pytest.raises(LockedError) as caught, lock(path, "second", 0):
            pass
        assert caught.value.hint == "wait until it finishes, then try again"

        def wait(seconds: float) -> None:
            looks.append(seconds)
            if len(looks) == 3:
                if gone:
                    path.unlink()
                first.close()

        fake = SimpleNamespace(sleep=wait, monotonic=lambda: 0.0)
        monkeypatch.setattr(locks, "time", fake)
        with lock(path, "second"):
            assert '"second"' in path.read_text()
    assert len(looks) == 3


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "done"])
def test_a_lock_that_an_ended_commands_children_hold_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    """What a command had started has the lock as well, and takes its time."""
    path = tmp_path / "lock"
    child = subprocess.Popen(["true"])
    child.wait()
    now = [0.0]
    with ExitStack() as held:
        held.enter_context(lock(path, "up"))
        note = json.dumps({"pid": child.pid, "command": "up"}) if killed else ""
        path.write_text(note.ljust(80))

        def wait(seconds: float) -> None:
            now[0] += seconds
            if now[0] > 5:
                held.close()

        monkeypatch.setattr(locks, "time", SimpleNamespace(sleep=wait, monotonic=lambda: now[0]))
        with lock(path, "next"):
            pass
    assert now[0] > 5
    with lock(path, "alive"), pytest.raises(LockedError, match="mngdb alive"), lock(path, "next"):
        pass
    assert now[0] < 8


def test_a_lock_file_that_a_dead_process_left_is_no_obstacle(cli: Cli) -> None:
    cli.write(faults.REDIS)
    dead = halted(cli, "up")
    dead.kill()
    assert ended(dead) == -9
    left = json.loads((cli.state / "lock").read_text())
    assert left["pid"] == dead.pid
    cli.ok("up")
    faults.sound(cli, {"mng-redis"})


@pytest.mark.parametrize("text", ["", "garbage", "[1]", '{"pid": 1}', "9" * 5000])
def test_a_damaged_lock_file_is_no_obstacle(cli: Cli, text: str) -> None:
    cli.write(faults.REDIS)
    opened(cli).claim()
    folder = cli.state
    (folder / "lock").write_text(text)
    assert cli.ok("down") == "nothing is running\n"
    holder = os.open(folder / "lock", os.O_RDWR)
    try:
        import fcntl

        fcntl.flock(holder, fcntl.LOCK_EX)
        Path(folder / "lock").write_text(text)
        refused = cli.run("down")
    finally:
        os.close(holder)
    assert refused.returncode == 1
    assert "another mngdb is working on this stack: it has just started" in refused.stderr


def test_looking_needs_no_lock(cli: Cli) -> None:
    cli.write(faults.REDIS)
    cli.ok("up")
    with lock(cli.state / "lock", "up"):
        assert cli.json("status")["units"][0]["healthy"]
        assert cli.run("plan", "--exit-code").returncode == 0
        cli.ok("doctor", "shop")


def test_servers_do_not_inherit_the_lock(cli: Cli) -> None:
    cli.write(faults.REDIS)
    cli.ok("up")
    handles = Path(f"/proc/{faults.pid(cli, 'mng-redis')}/fd")
    opened = {str(handle.readlink()) for handle in handles.iterdir()}
    assert not any(path.endswith("/lock") for path in opened)
    assert (handles / "0").readlink() == Path("/dev/null")


def test_an_up_that_waited_for_destroy_makes_a_whole_new_stack(cli: Cli) -> None:
    cli.write(faults.REDIS)
    cli.ok("up")
    old = cli.ok("url", "redis")
    gone = halted(cli, "destroy", "--yes", "mng")
    faults.go_on(gone)
    second = cli.run("up")
    while any(one in second.stderr for one in ("another mngdb is", "stack.json is missing")):
        # on a busy machine the first needs longer than it is waited for, or is half done
        second = cli.run("up")
    assert ended(gone) == 0
    assert second.returncode == 0, second.stderr
    faults.sound(cli, {"mng-redis"})
    assert cli.ok("url", "redis") != old


def test_a_database_that_a_killed_command_still_makes_is_taken_over(cli: Cli) -> None:
    """CREATE DATABASE goes on in the server when the command that sent it is killed."""
    cli.write("name: mng\npostgres: {port: PORT1}\n")
    cli.ok("up")
    cli.write("name: mng\npostgres: {port: PORT1}\napps: {shop: {postgres: shop}}\n")
    # the other's database has its row, which is not committed, and waits before it is copied
    left_waits = (
        "SELECT count(*) FROM pg_locks WHERE relation = 'pg_shdepend'::regclass AND NOT granted"
    )
    ours_waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted"
    with pg(cli) as guard, pg(cli) as left, ThreadPoolExecutor(1) as pool:
        with guard.transaction():
            guard.execute("LOCK TABLE pg_shdepend IN SHARE MODE")
            made = pool.submit(left.execute, "CREATE DATABASE shop TEMPLATE template0")
            until(lambda: value(cli, left_waits) == 1)
            command = faults.begin(cli, "up")
            until(lambda: value(cli, ours_waits) == 1)
        said, problems = command.communicate(timeout=60)
        made.result(timeout=60)
    assert command.returncode == 0, said + problems
    assert value(cli, "SELECT current_database()", app="shop") == "shop"
