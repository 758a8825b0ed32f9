"""A server that recovers is waited for as long as its process lives, and never restarted for it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from mngdb.spec.base import EngineName
from mngdb.targets.local import programs
from tests.conftest import EVERYTHING, Cli
from tests.live import faults
from tests.live.clients import mongo_as, redis_as
from tests.live.postgres import sql, value

#: Seconds that a mongod recovers at least; once there was a limit of 120.
_RECOVERS = 130 if EVERYTHING else 0
#: Keys that a Redis loads: six minutes' worth, unless the test ends it before.
_KEYS = 60_000
pytestmark = pytest.mark.live
LOADING = r"is loading its data: LOADING \d+\.\d+ %(, \d+ s left)?"


@dataclass
class Slow:
    """A folder for `binaries:` with the real program behind a script; `words` are what the script
    does first (`before`), and gives the program besides (`more`)."""

    folder: Path

    def make(self, engine: EngineName, name: str) -> None:
        """Write the script."""
        # the machine may have an older one
        version = {"redis": "8", "postgres": "17"}.get(engine)
        found = programs.find(engine, version, None, None)
        for other in Path(found.server).parent.iterdir():
            if other.name != name:
                (self.folder / other.name).symlink_to(other)
        path = self.folder / name
        path.write_text(
            f'#!/bin/sh\ncase "$*" in *--version*|"") ;;\n'
            f'*) . {self.folder}/before; set -- "$@" $(cat {self.folder}/more) ;; esac\n'
            f'exec {found.server} "$@"\n'
        )
        path.chmod(0o755)
        self.say()

    def say(self, before: str = "", more: str = "") -> None:
        """What it does from now on."""
        for name, text in (("before", before), ("more", more)):
            (self.folder / name).write_text(f"{text}\n")
            (self.folder / name).chmod(0o644)


@pytest.fixture
def slow() -> Iterator[Slow]:
    """Not in the test's own folder: the servers' account has to reach it."""
    folder = Path(tempfile.mkdtemp(prefix="mngdb-slow-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield Slow(folder)
    shutil.rmtree(folder)


@contextmanager
def running(cli: Cli, *command: str) -> Iterator[subprocess.Popen[str]]:
    """A command at work. It is ended at the end if it still runs."""
    with subprocess.Popen(
        cli.argv(*command), cwd=cli.folder, env=cli.environ(), text=True, stderr=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str], pattern: str) -> str:
    """The first line of a command's progress that fits."""
    assert process.stderr
    seen = []
    for said in process.stderr:
        if re.search(pattern, said):
            return said.rstrip("\n")
        seen.append(said)
    raise AssertionError(pattern + "\n" + "".join(seen))


def test_a_redis_that_loads_is_waited_for_and_never_restarted(cli: Cli, slow: Slow) -> None:
    slow.make("redis", "redis-server")
    stack = "redis: {port: PORT1, appendonly: false}\napps: {shop: {redis: 'shop:*'}}\n"
    cli.write(stack + f"binaries: {{redis: {slow.folder}}}\n")
    cli.ok("up")
    with redis_as(cli, "shop") as shop:
        pipe = shop.pipeline()
        for number in range(_KEYS):
            pipe.set(f"shop:{number}", number)
        pipe.execute()
    with redis_as(cli) as admin:
        admin.save()
    faults.kill(cli, "mng-redis")
    # settings that Redis has for tests of slow starts: microseconds for each key
    slow.say(more="--key-load-delay 6000 --loading-process-events-interval-bytes 1024")
    with running(cli, "up") as first:
        said = line(first, "waiting, ")
        assert re.search(rf"^mng-redis  waiting, \d+ s so far: Redis at \S+ {LOADING}$", said)
        pid = faults.pid(cli, "mng-redis")
        first.send_signal(signal.SIGINT)
        _, rest = first.communicate(timeout=60)
    assert first.returncode == 130
    assert re.search(
        rf"^mng-redis  keeps running, not interrupted: Redis at \S+ {LOADING}$", rest, re.M
    )
    # what others say meanwhile
    shown = cli.run("status")
    assert shown.returncode == 1
    assert "mng-redis  starting" in shown.stdout
    assert re.search(rf"^mng-redis is still starting: .*{LOADING}$", shown.stderr, re.M)
    asked = cli.run("doctor")
    assert re.search(rf"mng-redis is still starting: .*{LOADING}", asked.stdout)
    # another `up`, killed: the next one still knows with what files the server was started
    assert faults.killed_after(cli, 2, "up", group=True)
    planned = cli.run("plan")
    assert planned.returncode == 3
    assert "restart" not in planned.stdout
    assert re.search(rf"mng-redis is still starting: .*{LOADING}", planned.stderr)
    with running(cli, "up") as last:
        line(last, "waiting, ")
        with redis_as(cli) as admin:
            admin.config_set("key-load-delay", 0)
        _, rest = last.communicate(timeout=300)
    assert last.returncode == 0, rest
    assert faults.pid(cli, "mng-redis") == pid
    with redis_as(cli, "shop") as shop:
        assert len(list(shop.scan_iter("shop:*", count=20_000))) == _KEYS
    faults.sound(cli, {"mng-redis"})


@pytest.mark.slow
def test_a_mongod_that_does_not_listen_for_more_than_two_minutes_is_waited_for(
    cli: Cli, slow: Slow
) -> None:
    slow.make("mongodb", "mongod")
    stack = "mongodb: {port: PORT1}\napps: {shop: {mongodb: shop}}\n"
    cli.write(stack + f"binaries: {{mongodb: {slow.folder}}}\n")
    cli.ok("up")
    with mongo_as(cli, "shop") as client:
        client.get_default_database()["kept"].insert_one({"value": 1})
    faults.kill(cli, "mng-mongo")
    begun = time.monotonic()
    recovering = slow.folder / "recovering"
    recovering.touch()
    # a mongod listens when its recovery is over, and not before
    slow.say(before=f"while [ -e {recovering} ]; do sleep 0.2; done")
    with running(cli, "up") as first:
        said = line(first, "waiting, ")
        assert "so far: MongoDB does not answer at" in said
        first.send_signal(signal.SIGINT)
        _, rest = first.communicate(timeout=60)
    assert first.returncode == 130
    assert "mng-mongo  keeps running, not interrupted: MongoDB does not answer at" in rest
    pid = faults.pid(cli, "mng-mongo")
    # a change of the file that needs no restart, and one that does, while nobody can be asked
    cli.write(
        stack.replace("shop: {", "blog: {mongodb: blog}, shop: {")
        + f"binaries: {{mongodb: {slow.folder}}}\n"
    )
    planned = cli.run("plan")
    assert planned.returncode == 3
    assert "mng-mongo is still starting: MongoDB does not answer at" in planned.stderr
    assert faults.killed_after(cli, 3, "up", group=False)
    assert faults.pid(cli, "mng-mongo") == pid
    with running(cli, "up") as last:
        line(last, "waiting, ")
        time.sleep(max(0, begun + _RECOVERS - time.monotonic()))
        recovering.unlink()
        _, rest = last.communicate(timeout=300)
    assert last.returncode == 0, rest
    assert faults.pid(cli, "mng-mongo") == pid
    with mongo_as(cli, "shop") as client:
        assert client.get_default_database()["kept"].count_documents({}) == 1
    faults.sound(cli, {"mng-mongo"})


@contextmanager
def throttled(pid: int) -> Iterator[None]:
    """Let the startup process of a PostgreSQL run for a hundredth of the time, until the end."""
    over = threading.Event()

    def hold() -> None:
        for child in faults.children(pid):
            with suppress(OSError):
                if b"startup" in Path(f"/proc/{child}/cmdline").read_bytes():
                    os.kill(child, signal.SIGSTOP)
                    over.wait(0.5)
                    os.kill(child, signal.SIGCONT)

    def work() -> None:
        while not over.wait(0.005):
            hold()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.slow
def test_a_postgres_that_replays_its_log_is_waited_for_and_never_restarted(cli: Cli) -> None:
    cli.write(
        "postgres: {port: PORT1, settings: {log_startup_progress_interval: 500}}\n"
        "apps: {shop: {postgres: shop}}\n"
    )
    cli.ok("up")
    sql(cli, "CREATE TABLE kept (n int, text text)", app="shop")
    for _ in range(3):
        rows = "SELECT n, repeat(md5(n::text), 20) FROM generate_series(1, 40000) n"
        sql(cli, f"INSERT INTO kept {rows}", "UPDATE kept SET n = n + 1", app="shop")
    before = faults.pid(cli, "mng-pg")
    faults.kill(cli, "mng-pg")
    with running(cli, "up") as first:
        line(first, "starting on")
        end = time.monotonic() + 60
        while (pid := _pid(cli)) in {None, before}:
            assert time.monotonic() < end
            time.sleep(0.002)
        assert pid
        with throttled(pid):
            said = line(first, "waiting, .*redo in progress")
            assert re.search(r"so far: redo in progress, elapsed time: [\d.]+ s, current LSN", said)
            first.send_signal(signal.SIGINT)
            _, rest = first.communicate(timeout=60)
            assert first.returncode == 130
            assert (
                "mng-pg  keeps running, not interrupted: redo in progress, elapsed time: " in rest
            )
            assert faults.killed_after(cli, 2, "up", group=True)
            shown = cli.run("status")
            assert "mng-pg is still starting: redo in progress, elapsed time: " in shown.stderr
    cli.ok("up")
    assert faults.pid(cli, "mng-pg") == pid
    assert value(cli, "SELECT count(*) FROM kept", app="shop") == 120_000
    faults.sound(cli, {"mng-pg"})


def _pid(cli: Cli) -> int | None:
    text = faults.pidfile(cli, "mng-pg").read_text().split()
    return int(text[0]) if text else None


@pytest.mark.parametrize(
    ("unit", "name", "stack"),
    [("mng-redis", "redis", faults.REDIS), ("mng-pg", "postgres", faults.POSTGRES)],
)
def test_a_server_that_was_halted_is_told_with_the_command_that_helps(
    cli: Cli, unit: str, name: str, stack: str
) -> None:
    cli.write(stack)
    cli.ok("up")
    pid = faults.pid(cli, unit)
    os.kill(pid, signal.SIGSTOP)
    try:
        for command in ("plan", "up", "status"):
            begun = time.monotonic()
            done = cli.run(command)
            assert time.monotonic() - begun < 30
            assert done.returncode != 0
            said = done.stdout + done.stderr
            assert f"{unit} is halted (by SIGSTOP or a debugger)" in said
            assert f"'kill -CONT {pid}' resumes it; 'mngdb restart {name}' restarts it" in said
            assert "'mngdb up' starts" not in said
            assert faults.pid(cli, unit) == pid
    finally:
        os.kill(pid, signal.SIGCONT)
    faults.sound(cli, {unit})


def test_down_ends_a_server_that_was_halted(cli: Cli) -> None:
    cli.write(faults.POSTGRES)
    cli.ok("up")
    server = psutil.Process(faults.pid(cli, "mng-pg"))
    faults.freeze(server, [])
    begun = time.monotonic()
    cli.ok("down")
    assert time.monotonic() - begun < 30
    assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE
    cli.ok("up")
    faults.sound(cli, {"mng-pg"})


def test_an_up_that_was_killed_while_it_changed_files_does_not_lose_the_change(cli: Cli) -> None:
    """Files that were written and not read yet: what was confirmed before counts no more."""
    cli.write(faults.REDIS)
    cli.ok("up")
    conf = faults.servers(cli) / "mng-redis" / "conf"
    pid = faults.pid(cli, "mng-redis")
    # as it is after SIGKILL between writing and reloading: an up of the new file, then the old one
    before = {path.name: path.read_text() for path in conf.iterdir()}
    cli.write(faults.REDIS.replace("apps: {", 'apps: {blog: {redis: "blog:*"}, '))
    cli.ok("up")
    for path in conf.iterdir():
        path.write_text(before.get(path.name, ""))
    assert cli.json("plan")["steps"] != []
    cli.ok("up")
    assert faults.pid(cli, "mng-redis") == pid
    faults.sound(cli, {"mng-redis"})
