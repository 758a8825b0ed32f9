"""What the tests of faults share: data that must survive, and a look at what really runs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pymongo
import redis

from mngdb.dial import ready
from mngdb.targets.local import cache
from mngdb.targets.process import machine
from tests.conftest import Cli

STACK = """
postgres: {port: PORT1}
redis: {port: PORT2}
mongodb: {port: PORT3}
apps:
  shop: {postgres: shop, redis: "shop:*", mongodb: shop}
"""
REDIS = 'redis: {port: PORT2}\napps: {shop: {redis: "shop:*"}}\n'
POSTGRES = "postgres: {port: PORT1}\napps: {shop: {postgres: shop}}\n"


class Killing(Cli):
    """The command, which kills itself at `MNGDB_KILL_AT`, see there."""

    module = "tests.killing"


@dataclass
class Data:
    """Rows, keys and documents that an app writes, and reads again."""

    cli: Cli

    def write(self, value: str) -> None:
        """Write `value` everywhere."""
        env = self.cli.env_of("shop")
        with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as pg:
            pg.execute("CREATE TABLE IF NOT EXISTS kept (value text)")
            pg.execute("INSERT INTO kept VALUES (%s)", (value,))
        with redis.Redis.from_url(env["REDIS_URL"], socket_timeout=60) as client:
            client.rpush("shop:kept", value)
        url = self.cli.ok("url", "redis").strip()
        with redis.Redis.from_url(url, decode_responses=True, socket_timeout=60) as admin:
            written(admin)
        with pymongo.MongoClient[dict[str, str]](env["MONGO_URI"]) as mongo:
            mongo.get_default_database()["kept"].insert_one({"value": value})

    def read(self) -> list[list[str]]:
        """What each engine holds, oldest first."""
        env = self.cli.env_of("shop")
        with psycopg.connect(env["POSTGRES_URL"]) as pg:
            rows = [row[0] for row in pg.execute("SELECT value FROM kept ORDER BY ctid")]
        with redis.Redis.from_url(
            env["REDIS_URL"], decode_responses=True, socket_timeout=60
        ) as client:
            keys = list(client.lrange("shop:kept", 0, -1))
        with pymongo.MongoClient[dict[str, str]](env["MONGO_URI"]) as mongo:
            found = mongo.get_default_database()["kept"].find().sort("_id", 1)
            return [rows, keys, [document["value"] for document in found]]


def written(admin: Any) -> None:
    """Wait until the log of Redis has all that was acknowledged: while an earlier second is being
    brought to the disk, more waits in its memory."""
    end = time.monotonic() + 60
    while (found := admin.info("persistence")).get("aof_buffer_length") or found.get(
        "aof_pending_bio_fsync"
    ):
        assert time.monotonic() < end, found
        time.sleep(0.01)


def passable(folder: Path) -> None:
    """Let the servers' account pass: pytest makes its folders 0700."""
    for parent in (folder, *folder.parents):
        mode = parent.stat().st_mode
        if mode & 0o011 != 0o011:
            parent.chmod(mode | 0o011)


def fill(path: Path) -> Path:
    """Write until nothing more fits."""
    name = path / "filler"
    with name.open("ab", buffering=0) as handle:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    handle.write(b"\0" * size)
            except OSError:
                continue
    return name


def kill(cli: Cli, unit: str) -> None:
    """Kill a server, and wait until it is gone: the last of its threads has let go of its port."""
    end_of(pid(cli, unit))


def end_of(process: int) -> None:
    """Kill a process, and wait until its last thread has ended."""
    handle = os.pidfd_open(process)
    try:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        assert ready(handle, 60)
    finally:
        os.close(handle)


def runs(process: int) -> bool:
    """Whether a process runs: one that has ended may wait for init to ask how."""
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def freeze(process: psutil.Process, frozen: list[psutil.Process]) -> None:
    """Suspend a server and its children. `frozen` gets those to resume, one by one: what was
    suspended is known also when it fails half way."""
    process.suspend()  # and it has no more children than these
    frozen.append(process)
    for one in process.children():
        with suppress(psutil.NoSuchProcess):
            one.suspend()
            frozen.append(one)


def servers(cli: Cli) -> Path:
    """The folder that the stack's servers live in."""
    return (cli.state / "servers").resolve()


def pidfile(cli: Cli, unit: str) -> Path:
    """The pid file of a unit."""
    return servers(cli) / unit / "run" / "server.pid"


def pid(cli: Cli, unit: str) -> int:
    """The pid of a unit's server."""
    return int(pidfile(cli, unit).read_text().split()[0])


def running(cli: Cli) -> set[int]:
    """Every process that works in or for the stack's folder, children of such processes apart."""
    root = os.fsencode(str(servers(cli)))
    found = {}
    for process in psutil.process_iter(["pid", "ppid", "status"]):
        if process.info["status"] == psutil.STATUS_ZOMBIE:
            continue
        try:
            command = Path(f"/proc/{process.pid}/cmdline").read_bytes()
            inside = os.fsencode(Path(f"/proc/{process.pid}/cwd").readlink()).startswith(root)
        except OSError:
            continue  # it ended in between
        if root in command or inside:
            found[process.pid] = process.info["ppid"]
    return {one for one, parent in found.items() if parent not in found}


def settle(cli: Cli, seconds: float = 60.0) -> set[int]:
    """`running` once nothing but known servers is left, or after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        known = {int(p.read_text().split()[0]) for p in servers(cli).glob("*/run/server.pid")}
        found = running(cli)
        if found <= known or time.monotonic() > end:
            return found
        time.sleep(0.05)


def sound(cli: Cli, units: set[str]) -> None:
    """All is as asked: nothing to do, one known server a unit, nothing left over. (That every
    unit answers its app, `up` has asked itself.)"""
    again = cli.run("plan", "--exit-code")
    assert again.returncode == 0, again.stdout + again.stderr
    assert running(cli) == {pid(cli, unit) for unit in units}
    assert list(servers(cli).glob("*/data.new-*")) == []


def begin(cli: Cli, *command: str) -> subprocess.Popen[str]:
    """A command that goes on while the test does other things."""
    return subprocess.Popen(
        cli.argv(*command),
        cwd=cli.folder,
        env=cli.environ(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def halted_when(command: subprocess.Popen[Any], there: Callable[[], object]) -> None:
    """Let a command go on in short steps until `there()`, and leave it halted: it is not further
    than that, however fast or slow the machine is. Signals wait until `go_on`."""
    while not there():
        command.send_signal(signal.SIGCONT)
        time.sleep(0.01)
        command.send_signal(signal.SIGSTOP)
        assert command.poll() is None, "it ended before"


def go_on(command: subprocess.Popen[Any]) -> None:
    """The opposite of `halted_when`."""
    command.send_signal(signal.SIGCONT)


def interrupted(
    cli: Cli, *command: str, moment: str, pause: float = 0.0
) -> tuple[subprocess.Popen[str], str]:
    """A command that gets Ctrl-C, with its children, `pause` seconds after it first said `moment`;
    and what it told in all."""
    with subprocess.Popen(
        cli.argv(*command),
        cwd=cli.folder,
        env=cli.environ(),
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            if moment in line and moment not in said:
                time.sleep(pause)
                os.killpg(process.pid, signal.SIGINT)
            said += line
    return process, said


def killed_when(cli: Cli, words: str, *command: str) -> list[str]:
    """What a command has said until it was killed, once it said these words."""
    process = subprocess.Popen(
        cli.argv(*command), cwd=cli.folder, env=cli.environ(), stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if words in line:
            break
    process.kill()
    process.communicate()
    return said


def killed_after(cli: Cli, seconds: float, *command: str, group: bool) -> bool:
    """Run a command and SIGKILL it after `seconds`: with its children, or itself alone. Whether
    it still ran then."""
    process = subprocess.Popen(
        cli.argv(*command),
        cwd=cli.folder,
        env=cli.environ(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        (os.killpg if group else os.kill)(process.pid, signal.SIGKILL)
        process.wait()
        return True
    return False


def killed_in_initdb(cli: Cli) -> Path:
    """Kill a first `up` of PostgreSQL, and it alone, while initdb runs. The unit's folder."""
    cli.write(POSTGRES)
    copies = cache.copies((machine.accounts(None, ["postgres"]) or {}).get("postgres"))
    if copies is not None:
        # with a copy there would be no initdb; another test that wants one makes it anew
        shutil.rmtree(copies, ignore_errors=True)
    process = subprocess.Popen(cli.argv("up"), cwd=cli.folder, env=cli.environ())
    unit = cli.state / "servers" / "mng-pg"
    end = time.monotonic() + 60
    try:
        while not list(unit.glob("data.new-*/base")):
            assert process.poll() is None, "initdb was over too soon for this test"
            assert time.monotonic() < end
            time.sleep(0.002)
        # halted, it goes no further while we look
        os.killpg(int((unit / "run" / "prepare.pid").read_text().split()[0]), signal.SIGSTOP)
    finally:
        process.kill()
        process.wait()
    return unit


def children(pid: int) -> list[int]:
    """The children of a process of one thread; without a look at all other processes, which
    takes long."""
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def workers(group: int) -> list[int]:
    """Processes of a command's group that still run."""
    found = []
    for process in psutil.process_iter(["pid", "status"]):
        try:
            if os.getpgid(process.pid) == group and process.info["status"] != "zombie":
                found.append(process.pid)
        except ProcessLookupError:
            continue
    return found
