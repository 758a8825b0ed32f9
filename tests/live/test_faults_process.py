"""Servers that are killed, stopped by hand, or confused with other processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import Cli
from tests.live import faults

pytestmark = pytest.mark.live
UNITS = {"mng-pg", "mng-redis", "mng-mongo"}


@pytest.fixture
def bystander() -> Iterator[int]:
    """A process that has nothing to do with mngdb."""
    process = subprocess.Popen(["sleep", "300"])
    yield process.pid
    process.kill()
    process.wait()


def unharmed(pid: int) -> bool:
    """Whether a process was neither ended nor halted."""
    halted = {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD, psutil.STATUS_STOPPED}
    return psutil.Process(pid).status() not in halted


def identity(pid: int) -> str:
    """What the launcher would have written for this process."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    return f"{pid}\n" + Path(f"/proc/{pid}/stat").read_text() + boot


def state(cli: Cli) -> str:
    """What `status` says of the first unit."""
    found: str = json.loads(cli.run("--json", "status").stdout)["units"][0]["state"]
    return found


def test_killed_servers_are_started_again_and_have_their_data(cli: Cli) -> None:
    cli.write(faults.STACK)
    cli.ok("up")
    data = faults.Data(cli)
    data.write("before")
    for unit in UNITS:
        os.kill(faults.pid(cli, unit), 9)
    end = time.monotonic() + 60
    while faults.running(cli) and time.monotonic() < end:
        time.sleep(0.02)
    looked = cli.run("--json", "status")
    assert looked.returncode == 1
    assert looked.stdout.count('"state": "stopped"') == 3
    cli.ok("up")
    faults.sound(cli, UNITS)
    assert data.read() == [["before"]] * 3


def test_a_server_killed_while_up_runs_comes_back_with_the_next_up(cli: Cli) -> None:
    cli.write(faults.STACK)
    path = cli.state / "servers" / "mng-pg" / "run" / "server.pid"
    with faults.begin(cli, "up") as command:
        faults.halted_when(
            command, lambda: path.exists() and len(path.read_text().splitlines()) == 3
        )
        os.kill(int(path.read_text().split()[0]), signal.SIGKILL)
        faults.go_on(command)
        _, text = command.communicate(timeout=300)
    assert command.returncode in {1, 3}, text
    assert "error: postgres: " in text
    assert "Traceback" not in text
    cli.ok("up")
    faults.sound(cli, UNITS)


@pytest.mark.parametrize("unit", ["mng-redis"])
def test_a_server_stopped_by_hand_is_stopped_in_status_and_started_by_up(
    cli: Cli, unit: str
) -> None:
    cli.write(faults.REDIS)
    cli.ok("up")
    server = psutil.Process(faults.pid(cli, unit))
    server.terminate()
    server.wait(60)
    units = cli.run("--json", "status")
    assert units.returncode == 1
    assert '"state": "stopped"' in units.stdout
    said = cli.run("doctor", "shop")
    assert (said.returncode, "is not running (stopped)" in said.stdout) == (1, True)
    steps = cli.json("plan")["steps"]
    assert [(s["action"], s["object"]) for s in steps] == [("start", unit)]
    cli.ok("up")
    faults.sound(cli, {unit})


@pytest.fixture(scope="module")
def stopped(module_cli: Cli) -> Cli:
    """A stack with a Redis that does not run."""
    module_cli.write(faults.REDIS)
    module_cli.ok("up")
    module_cli.ok("down")
    return module_cli


def wrong(name: str, pid: int) -> str:
    """Pid files that must not lead to the process `pid`."""
    who, stat, boot = identity(pid).splitlines()
    fields = stat.rsplit(")", 1)
    later = fields[1].split()
    later[19] = str(int(later[19]) + 1)
    return {
        "its pid alone": who,
        "another start": f"{who}\n{fields[0]}) {' '.join(later)}\n{boot}\n",
        "another boot": f"{who}\n{stat}\n00000000-0000-0000-0000-000000000000\n",
        "no boot": f"{who}\n{stat}\n",
        "empty": "",
        "garbage": "\0\xff;rm -rf\n" * 3,
        "pid 0": f"0\n{stat}\n{boot}\n",
        "pid -1": f"-1\n{stat}\n{boot}\n",
        "pid of init": f"1\n{stat}\n{boot}\n",
        "a huge pid": f"{10**30}\n{stat}\n{boot}\n",
    }[name]


NAMES = ["its pid alone", "another start", "another boot", "no boot", "empty", "garbage"]
NAMES += ["pid 0", "pid -1", "pid of init", "a huge pid"]


@pytest.mark.parametrize("name", NAMES)
def test_a_pid_file_that_does_not_prove_itself_signals_nobody(
    stopped: Cli, bystander: int, name: str
) -> None:
    path = faults.pidfile(stopped, "mng-redis")
    path.write_text(wrong(name, bystander))
    assert stopped.ok("down") == "nothing is running\n"
    assert state(stopped) == "stopped"
    assert unharmed(bystander)


@pytest.mark.root
def test_a_pid_file_that_names_a_process_of_another_account_signals_nobody(
    stopped: Cli, bystander: int
) -> None:
    # all of it is true, but the servers' account may write this file, and root reads it
    path = faults.pidfile(stopped, "mng-redis")
    path.write_text(identity(bystander))
    assert stopped.ok("down") == "nothing is running\n"
    assert unharmed(bystander)


def test_after_a_reboot_up_starts_what_ran(cli: Cli) -> None:
    cli.write(faults.REDIS)
    cli.ok("up")
    path = faults.pidfile(cli, "mng-redis")
    server = psutil.Process(faults.pid(cli, "mng-redis"))
    server.kill()
    server.wait(60)
    _, stat, _ = path.read_text().splitlines()
    path.write_text(f"{os.getpid()}\n{stat}\n00000000-0000-0000-0000-000000000000\n")
    assert state(cli) == "stopped"
    cli.ok("up")
    faults.sound(cli, {"mng-redis"})


def test_a_server_that_no_pid_file_names_is_known_by_its_folder(cli: Cli) -> None:
    cli.write(faults.REDIS)
    cli.ok("up")
    path = faults.pidfile(cli, "mng-redis")
    kept = path.read_text()
    path.unlink()
    assert cli.json("up")["steps"] == []
    path.write_text(kept)
    faults.sound(cli, {"mng-redis"})


def test_a_server_whose_data_was_moved_away_is_known_and_not_taken_for_stopped(cli: Cli) -> None:
    cli.write(faults.REDIS)
    cli.ok("up")
    pid, data = faults.pid(cli, "mng-redis"), faults.servers(cli) / "mng-redis/data"
    moved = data.rename(data.with_name("data.moved"))
    shown = cli.run("status")
    assert "running without its data" in shown.stderr
    assert f"its server (pid {pid}) works in {moved}" in shown.stderr
    assert json.loads(cli.run("--json", "doctor").stdout)["cause"]["cause"] == "cannot-start"
    for command in ("down", "up", "restart"):
        done = cli.run(command)
        assert done.returncode == 1, command
        assert "mng-redis: its data of" in done.stderr
        assert "is taken by" not in done.stderr
    assert unharmed(pid)
    moved.rename(data)
    cli.ok("restart")
    faults.sound(cli, {"mng-redis"})
    cli.ok("down")


def test_a_stopped_server_whose_port_was_taken_says_by_whom(cli: Cli) -> None:
    cli.write(faults.STACK)
    cli.ok("up")
    faults.kill(cli, "mng-redis")
    with socket.create_server(("127.0.0.1", cli.port(2))):
        said = f"port {cli.port(2)} of 127.0.0.1 is taken by"
        lines = cli.run("status").stderr.splitlines()
        assert said in "\n".join(lines)
        # what is known of the versions comes after what is wrong now
        kinds = ["known vulnerabilities" in line for line in lines]
        assert kinds == sorted(kinds)
        assert said in cli.run("doctor", "shop").stdout
    assert "is taken by" not in cli.run("status").stderr
    cli.ok("up")


@pytest.mark.parametrize("mode", [0o777, 0o000])
def test_a_data_folder_of_another_mode_is_mended(cli: Cli, mode: int) -> None:
    cli.write(faults.POSTGRES)
    cli.ok("up")
    data = faults.servers(cli) / "mng-pg/data"
    data.chmod(mode)
    faults.kill(cli, "mng-pg")
    cli.ok("up")
    assert data.stat().st_mode & 0o777 == (mode & 0o750 | 0o700)
    faults.sound(cli, {"mng-pg"})


def test_a_setting_that_keeps_a_server_from_starting_is_named(cli: Cli) -> None:
    # mongod can be asked about its settings, Redis only be started with them
    cli.write("mongodb: {port: PORT2, settings: {nosuch: 1}}\n")
    done = cli.run("up")
    assert done.returncode == 2
    assert "Unknown --setParameter 'nosuch'\n" in done.stderr
    assert "nothing was changed" in done.stderr
    assert done.stdout == ""
    cli.write("redis: {port: PORT1, settings: {io-threads: 9999}}\n")
    done = cli.run("up")
    assert done.returncode == 1
    assert "(exit code 1): 'io-threads 9999': argument must be between" in done.stderr
    assert "mng-redis  stopped" in done.stdout
    cli.write("redis: {port: PORT1}\n")
    cli.ok("up")
