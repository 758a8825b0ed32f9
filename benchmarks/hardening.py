"""What hardening costs: servers of a stack against the same programs with their own defaults.

Ours have what `up` gives them: data checksums, logins with SCRAM or an ACL, pg_stat_statements,
what is slow in the log, Redis' append-only file. The others have what `initdb` and a bare
`redis-server` give: no login, snapshots alone. More a second is better; the two take turns, and the
ratio is the median of each pair's own. pgbench: scale 10, 4 clients; Redis: 100-byte values, 1,000
commands in a pipeline, one client.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import hiredis
from tests.conftest import free_port

from benchmarks.cold_up import program
from benchmarks.common import Row, median, stack
from mngdb.targets.process import machine

_FILE = """
postgres: {port: PORT1}
redis: {port: PORT2}
apps:
  shop: {postgres: shop, redis: "shop:*"}
"""
#: Pairs, and seconds of each run of pgbench.
_PAIRS, _SECONDS = 9, 3
#: Commands of each run against Redis and of each pipeline, and how many keys they are about.
_COMMANDS, _PIPELINE, _KEYS = 300_000, 1000, 10_000
_VALUE = "x" * 100

#: Does the work once; returns how much of it was done a second.
Work = Callable[[], float]


def rows() -> Iterator[Row]:
    """A row for each kind of work."""
    with ExitStack() as held:
        cli = held.enter_context(stack(_FILE))
        cli.ok("up")
        app = cli.env_of("shop")
        ours = {"PGPASSWORD": app["POSTGRES_PASSWORD"], "PGUSER": "shop", "PGDATABASE": "shop"}
        ours_at = cli.port(1)
        bare_at = held.enter_context(_postgres())
        bare = {"PGUSER": "postgres", "PGDATABASE": "postgres"}
        for env, port in ((ours, ours_at), (bare, bare_at)):
            _pgbench(env, port, "-i", "-q", "-s", "10")
        for script in ("tpcb-like", "select-only"):
            yield _row(
                f"pgbench, {script}: transactions a second",
                partial(_transactions, ours, ours_at, script),
                partial(_transactions, bare, bare_at, script),
                "PostgreSQL with its own defaults",
            )
        mine = held.enter_context(_wire(cli.port(2), "shop", app["REDIS_PASSWORD"]))
        other = held.enter_context(_wire(held.enter_context(_redis())))
        for word, reply in (("SET", b"+OK\r\n"), ("GET", f"$100\r\n{_VALUE}\r\n".encode())):
            yield _row(
                f"Redis, pipelined {word}: commands a second",
                partial(_pipelined, mine, word, reply),
                partial(_pipelined, other, word, reply),
                "Redis with its own defaults",
            )


def _row(what: str, ours: Work, bare: Work, name: str) -> Row:
    pairs = []
    ours(), bare()  # what is in nobody's memory yet
    for turn in range(_PAIRS):
        if turn % 2:
            mine, other = ours(), bare()
        else:
            other, mine = bare(), ours()
        pairs.append((mine, other))
    mine, other = (median([pair[side] for pair in pairs]) for side in (0, 1))
    ratio = median([mine / other for mine, other in pairs])
    return Row(what, mine, other, name, "–", True, unit="rate", ratio=ratio)


# --- PostgreSQL


def _pgbench(env: dict[str, str], port: int, *arguments: str) -> str:
    done = subprocess.run(
        [f"{program('postgres').folder}/pgbench", "-h", "127.0.0.1", "-p", str(port), *arguments],
        env={**os.environ, **env}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"pgbench exited {done.returncode}: {done.stderr}")
    return done.stdout


def _transactions(env: dict[str, str], port: int, script: str) -> float:
    said = _pgbench(env, port, "-n", "-b", script, "-c", "4", "-j", "2", "-T", str(_SECONDS))
    match = re.search(r"^tps = ([\d.]+)", said, re.MULTILINE)
    if match is None:
        raise RuntimeError(f"pgbench said no tps: {said}")
    return float(match[1])


@contextmanager
def _postgres() -> Iterator[int]:
    """A server as initdb makes it."""
    folder, port = _folder(), free_port()
    home = program("postgres").folder
    data = f"{folder}/data"
    _run([f"{home}/initdb", "-D", data, "-U", "postgres", "-A", "trust"], folder).wait()
    argv = [f"{home}/postgres", "-D", data, "-p", str(port), "-k", str(folder)]
    with _server(argv, folder, port):
        yield port


# --- Redis


@contextmanager
def _redis() -> Iterator[int]:
    """A server that was told nothing but where."""
    folder, port = _folder(), free_port()
    argv = [program("redis").server, "--port", str(port), "--dir", str(folder)]
    with _server([*argv, "--bind", "127.0.0.1"], folder, port):
        yield port


@contextmanager
def _wire(port: int, user: str = "", password: str = "") -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port)) as wire:
        if user:
            login: tuple[Any, ...] = ("AUTH", user, password)
            wire.sendall(hiredis.pack_command(login))
            if (said := wire.recv(100)) != b"+OK\r\n":
                raise RuntimeError(f"Redis said {said!r}")
        yield wire


def _pipelined(wire: socket.socket, word: str, reply: bytes) -> float:
    """Commands on keys in turn; every reply is the same, so their bytes are counted."""
    more = (_VALUE,) if word == "SET" else ()
    commands = [hiredis.pack_command((word, f"shop:{n}", *more)) for n in range(_KEYS)]
    batches = [b"".join(commands[n : n + _PIPELINE]) for n in range(0, _KEYS, _PIPELINE)]
    begun = time.perf_counter()
    for turn in range(_COMMANDS // _PIPELINE):
        wire.sendall(batches[turn % len(batches)])
        left = _PIPELINE * len(reply)
        while left:
            said = wire.recv(1 << 18)
            if not said or (said[:1] != reply[:1] and left == _PIPELINE * len(reply)):
                raise RuntimeError(f"Redis said {said[:100]!r}")
            left -= len(said)
    return _COMMANDS / (time.perf_counter() - begun)


# --- servers with their own defaults


def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="mngdb-bare-"))
    account = machine.account(None)
    if account is not None:
        shutil.chown(folder, account.uid, account.gid)
    return folder


def _run(argv: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """As the account that servers run as."""
    account = machine.account(None)
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            argv, cwd=folder, stdout=log, stderr=log,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            start_new_session=True,  # as ours: a busy kernel shares by session
        )  # fmt: skip


@contextmanager
def _server(argv: list[str], folder: Path, port: int) -> Iterator[None]:
    process = _run(argv, folder)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((folder / "log").read_text()) from None
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(60)
        shutil.rmtree(folder)
