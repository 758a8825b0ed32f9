"""Helpers for the log of Redis and Valkey: who follows it, who writes, a server made of it."""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import hiredis
import redis
from msgspec.structs import replace

from mngdb.engines.redis import ENGINE, render
from mngdb.errors import MngdbError
from mngdb.snapshot import Point
from tests.conftest import Cli
from tests.live.snapshots import MemoryFeed
from tests.live.test_redis_backup import (
    LIBRARY,
    Memory,
    admin,
    opened,
)

#: What a reader of the log could take for the log.
ODD = [
    b"\r\n#TS:1700000000\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n",
    b"*1\r\n$4\r\nPING\r\n",
    b"*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n",
    bytes(range(256)) * 20,
    b"\x00",
    b"",
    b"*1\r\n$5\r\nMULTI\r\n",
]
SCRIPT = "for i = 1, 20 do redis.call('INCR', KEYS[1]) redis.call('RPUSH', KEYS[2], i) end"


class Feed(MemoryFeed):
    """Keeps since when what follows has moments."""

    def __init__(self) -> None:
        super().__init__()
        self.since: list[tuple[int, float | None]] = []
        self.on_write: Callable[[int], None] = lambda _: None

    def begin(self, point: Point, since: float | None = None) -> None:
        super().begin(point, since)
        self.since.append((point.position, since))
        # what a store has of another history is not that of this one
        if self.pieces and self.begun[-2].branch != point.branch:
            self.pieces.clear()

    def write(self, data: bytes | memoryview, end: int, moment: float) -> None:
        self.on_write(len(data))
        super().write(data, end, moment)


class Followed:
    """Follows an instance in a thread, which ends with the block."""

    def __init__(self, cli: Cli, feed: Feed, *, managed: bool = True) -> None:
        self.error: MngdbError | None = None
        self._cli = cli
        self._feed = feed
        self._managed = managed
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        context, asked = opened(self._cli)
        try:
            assert ENGINE.follow is not None
            access = context.admin(asked)
            ENGINE.follow(access, asked if self._managed else replace(asked, site=None), self._feed)
        except MngdbError as error:
            self.error = error

    def __enter__(self) -> Followed:
        self._feed.over = False
        begun = len(self._feed.begun)
        self._thread.start()
        until(lambda: len(self._feed.begun) > begun or self.error is not None)
        return self

    def __exit__(self, *_: object) -> None:
        self._feed.over = True
        began = time.monotonic()
        self._thread.join(20)
        assert not self._thread.is_alive()
        if self.error is None:
            assert time.monotonic() - began < 1.5


def until(done: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def position(client: Any) -> int:
    return int(client.info("replication")["master_repl_offset"])


def arrived(client: Any, feed: Feed) -> None:
    """Wait until all that was written is in the feed."""
    until(lambda: feed.stored >= position(client))


def known(feed: Feed) -> float:
    """The moment until which the feed has everything."""
    return max([*feed.beats[-1:], *(piece.stamps[-1][1] for piece in feed.pieces[-1:])])


def digest(client: Any) -> str:
    """Of everything that the server holds."""
    found: list[Any] = [client.function_list(withcode=True)]
    for database in (0, 9):
        client.execute_command("SELECT", database)
        for key in sorted(client.scan_iter(count=5000)):
            if not key.startswith(b"gone:"):  # expires any moment
                value = _READ[client.type(key)](client, key)
                found.append((database, key, client.pexpiretime(key), value))
    client.execute_command("SELECT", 0)
    return hashlib.sha256("\n".join(map(repr, found)).encode()).hexdigest()


_READ: dict[bytes, Callable[[Any, bytes], Any]] = {
    b"string": lambda client, key: client.get(key),
    b"hash": lambda client, key: sorted(client.hgetall(key).items()),
    b"list": lambda client, key: client.lrange(key, 0, -1),
    b"set": lambda client, key: sorted(client.smembers(key)),
    b"zset": lambda client, key: client.zrange(key, 0, -1, withscores=True),
    b"stream": lambda client, key: (client.xrange(key), client.xpending(key, "group")),
}


def write(client: Any, rnd: random.Random) -> None:
    """Something of everything, in two databases."""
    client.execute_command("SELECT", rnd.choice((0, 0, 9)))
    for _ in range(rnd.randint(1, 12)):
        name = f"k{rnd.randrange(40)}"
        kind = rnd.randrange(14)
        value = rnd.choice(ODD) if rnd.random() < 0.5 else rnd.randbytes(rnd.randrange(3000))
        if kind < 4:
            client.set(f"s:{name}", value)
        elif kind == 4:
            with client.pipeline(transaction=True) as pipe:
                pipe.incr("plus").decr("minus").set(f"s:{name}", value).rpush(f"l:{name}", value)
                pipe.execute()
        elif kind == 5:
            client.eval(SCRIPT, 2, "n", f"l:{name}")
        elif kind == 6:
            client.hset(f"h:{name}", mapping={value: name, name: value})
        elif kind == 7:
            with suppress(redis.ResponseError):
                client.xgroup_create("stream", "group", mkstream=True)
            client.xadd("stream", {name: value})
        elif kind == 8:
            client.sadd(f"set:{name}", *range(9), value)
        elif kind == 9:
            client.zadd(f"z:{name}", {name: 1.5, value: rnd.random()})
        elif kind == 10:
            client.delete(f"s:{name}", f"l:{name}", f"h:{name}")
        elif kind == 11:
            client.set(f"s:{name}", value, ex=90_000)
            client.expire(f"l:{name}", 80_000)
            client.set(f"gone:{name}", value, px=1)
        elif kind == 12:
            client.publish("news", value)
            client.spop(f"set:{name}")
            # the server asks who has got everything
            client.wait(1, 20)
            with suppress(redis.ResponseError):
                client.xreadgroup("group", "me", {"stream": ">"})
        else:
            client.function_load(LIBRARY, replace=True)
    if rnd.random() < 0.05:
        client.flushdb()
    client.execute_command("SELECT", 0)


class Until(Memory):
    """A snapshot, to be restored to a moment."""

    def __init__(self, of: Memory, feed: Feed, moment: float) -> None:
        super().__init__()
        self.streams, self.taken = of.streams, of.taken
        self.feed, self.until = feed, moment


@contextmanager
def restored(cli: Cli, saved: Until, folder: Path) -> Iterator[Any]:
    """A client of a server of its own that started from what was laid out."""
    _, asked = opened(cli)
    assert asked.site is not None
    folder.mkdir()
    ENGINE.lay(asked, saved, folder, None)
    path, values = folder / "socket", render.settings(asked)
    words = ["--port", "0", "--unixsocket", str(path), "--dir", str(folder), "--save", ""]
    words += ["--appendonly", "yes", "--appenddirname", values["appenddirname"]]
    process = subprocess.Popen(
        [asked.site.program.server, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    client = redis.Redis(unix_socket_path=str(path))
    try:

        def ready() -> bool:
            assert process.poll() is None, process.stdout and process.stdout.read().decode()
            try:
                return bool(client.ping())
            except (redis.ConnectionError, redis.BusyLoadingError):
                return False

        until(ready)
        yield client
    finally:
        client.close()
        process.kill()
        process.communicate()
        shutil.rmtree(folder)


@contextmanager
def busy(cli: Cli) -> Iterator[None]:
    """Writes that must not be there twice go on, in two databases."""
    stop = threading.Event()

    def work() -> None:
        with admin(cli) as client:
            while not stop.is_set():
                pipe = client.pipeline(transaction=False)
                for database in (0, 9):
                    pipe.execute_command("SELECT", database)
                    pipe.incr("count").append("text", b"\r\n").rpush("list", "x")
                    pipe.eval(SCRIPT, 2, "n", "list")
                pipe.execute()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        time.sleep(0.1)
        yield
        time.sleep(0.1)
    finally:
        stop.set()
        thread.join()


def together(feed: Feed) -> bytes:
    """The log: no byte is missing, and none is there twice."""
    for one, other in pairwise(feed.pieces):
        assert one.end == other.begin
        assert len(one.data) == one.end - one.begin
    return b"".join(one.data for one in feed.pieces)


def commands(log: bytes) -> Iterator[list[bytes]]:
    """What a log says."""
    reader = hiredis.Reader()
    reader.feed(log)
    while words := reader.gets():
        yield words
