"""`keys` on five million keys of mixed types, beside what redis-cli has for it, on one server.

How much faster depends on what else the machine does. redis-cli waits for each answer, so it loses
by every wake-up, most where both sides have a processor of their own; `keys` keeps both busy, so it
loses where they have to share one. What it takes of the server's time depends on neither.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import hiredis
import psutil
from tests.checks.test_redis_checks import Server, started
from tests.conftest import Cli
from tests.debian import redis_folder

from benchmarks.common import Row, call, median, seconds

KEYS = int(os.environ.get("MNGDB_BENCH_KEYS", "5000000"))
#: How often each way through all keys is measured (minutes each: millions of answers are their own
#: mean), and how often what takes seconds.
_TURNS, _SHORT_TURNS = 1, 3
#: Seconds between two questions of the other client, and how many it asks in a turn.
_PAUSE, _QUESTIONS = 0.001, 3000


def rows() -> Iterator[Row]:
    """Rows for the live server, for another client meanwhile, and for the RDB file."""
    client = str(redis_folder() / "redis-cli")
    with (
        tempfile.TemporaryDirectory(prefix="mngdb-bench-") as folder,
        started(cli := Cli(Path(folder), {"PYTHONDONTWRITEBYTECODE": ""}), "--save", "") as server,
    ):
        _fill(server.port)
        ask = [client, "-p", str(server.port)]
        found, used = _turns(server, {
            "memkeys": [*ask, "--memkeys"],
            "keys": cli.argv("keys"),
            "exact": cli.argv("keys", "--exact"),
            "bigkeys": [*ask, "--bigkeys"],
        })  # fmt: skip
        what = f"`keys` of {KEYS:,} keys: type and bytes of each"
        yield Row(
            what, found["keys"], found["memkeys"], "redis-cli --memkeys",
            "≥ 5× faster", found["keys"] * 5 <= found["memkeys"],
        )  # fmt: skip
        yield Row(
            "the server's processor time for that", used["keys"], used["memkeys"],
            "redis-cli --memkeys", "–", True,
        )  # fmt: skip
        name = "redis-cli --bigkeys, which counts elements"
        yield Row(what, found["keys"], found["bigkeys"], name, "–", True)
        name = "redis-cli --memkeys, which tells less"
        exact = f"{what}, expiry and idle time too (`--exact`)"
        yield Row(exact, found["exact"], found["memkeys"], name, "–", True)
        with _apart(server) as first:
            found, _ = _turns(server, {
                "memkeys": [*first, *ask, "--memkeys"],
                "keys": [*first, *cli.argv("keys")],
            })  # fmt: skip
        yield Row(
            f"{what}, server and client on a processor each", found["keys"], found["memkeys"],
            "redis-cli --memkeys", "≥ 5× faster", found["keys"] * 5 <= found["memkeys"],
        )  # fmt: skip
        alone, beside = [], []
        for _ in range(_SHORT_TURNS):
            alone.append(_p99(server.port))
            with _meanwhile(server):
                beside.append(_p99(server.port))
        yield Row(
            "another client's p99 beside `keys --budget 5%`", median(beside), median(alone),
            "without it", "≤ 2×", median(beside) <= 2 * median(alone),
        )  # fmt: skip
        call([*ask, "SAVE"], cli)
        argv = cli.argv("keys", "--rdb", f"{server.folder}/dump.rdb")
        read = median([seconds(lambda: call(argv, cli)) for _ in range(_SHORT_TURNS)])
        yield Row(f"the same {KEYS:,} keys from an RDB file", read, None, "–", "≤ 10 s", read <= 10)


def _turns(
    server: Server, commands: dict[str, list[str]]
) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds that each takes and seconds of the server's processor time. In turns, so that what
    else the machine does falls on all of them."""
    took: dict[str, list[float]] = {name: [] for name in commands}
    work: dict[str, list[float]] = {name: [] for name in commands}
    process = psutil.Process(server.process.pid)
    for _ in range(_TURNS):
        for name, argv in commands.items():
            before = sum(process.cpu_times()[:2])
            took[name].append(seconds(partial(call, argv, server.cli)))
            work[name].append(sum(process.cpu_times()[:2]) - before)
    return (
        {name: median(times) for name, times in took.items()},
        {name: median(times) for name, times in work.items()},
    )


@contextmanager
def _apart(server: Server) -> Iterator[list[str]]:
    """The server on one processor; what begins with these words on another."""
    process = psutil.Process(server.process.pid)
    before = process.cpu_affinity()
    process.cpu_affinity(before[:1])
    try:
        yield ["taskset", "-c", str(before[1])]
    finally:
        process.cpu_affinity(before)


def _fill(port: int) -> None:
    rnd = random.Random(1)
    pack = hiredis.pack_command
    with socket.create_connection(("127.0.0.1", port)) as wire:
        reader = hiredis.Reader()
        for begin in range(0, KEYS, 2000):
            count = min(2000, KEYS - begin)
            wire.sendall(b"".join(pack(_command(n, rnd)) for n in range(begin, begin + count)))
            while count:
                reader.feed(wire.recv(1 << 18))
                while reader.gets() is not False:
                    count -= 1


def _command(n: int, rnd: random.Random) -> tuple[Any, ...]:
    """What apps keep: half of it strings of several kinds."""
    match n % 10:
        case 0 | 1 | 2:
            return "SET", f"user:{n}:name", "x" * rnd.randint(5, 100)
        case 3:
            return "SET", f"session:{uuid.UUID(int=rnd.getrandbits(128))}", "y" * 200, "EX", "86400"
        case 4:
            name = hashlib.sha256(str(n).encode()).hexdigest()[:32]
            return "SET", f"cache:{name}", "z" * 50, "EX", "36000"
        case 5:
            return "HSET", f"user:{n}:profile", "name", "abc", "mail", "a@b.example", "age", "3"
        case 6:
            return "RPUSH", f"queue:{n}:jobs", "a", "b", "c"
        case 7:
            members = [str(one) for one in range(rnd.randint(1, 8))]
            return "SADD", f"room:{n}:members", *members
        case 8:
            return "ZADD", f"board:2026-{n % 12 + 1:02d}:{n}", "1", "a", "2", "b", "3", "c"
        case _:
            return "SET", f"counter:{n}", str(n)


def _p99(port: int) -> float:
    """Of a client that asks for a key now and then."""
    took = []
    with socket.create_connection(("127.0.0.1", port)) as wire:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for n in range(_QUESTIONS):
            begun = time.perf_counter()
            wire.sendall(b"*2\r\n$3\r\nGET\r\n$6\r\nuser:0\r\n")
            wire.recv(1024)
            took.append(time.perf_counter() - begun)
            time.sleep(_PAUSE if n else 0)
    return statistics.quantiles(took, n=100)[98]


@contextmanager
def _meanwhile(server: Server) -> Iterator[None]:
    """`keys --budget 5%` at work."""
    process = subprocess.Popen(
        server.cli.argv("keys", "--budget", "5%"), cwd=server.cli.folder,
        env=server.cli.environ(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        time.sleep(2)
        yield
        if process.poll() is not None:
            raise RuntimeError("keys had ended before the other client was measured")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


if __name__ == "__main__":
    for one in rows():
        print(one.markdown(), file=sys.stderr, flush=True)
