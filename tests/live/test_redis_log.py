"""The log of Redis and Valkey: followed as a replica, and a server restored to a moment by it."""

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
import pytest
import redis
from msgspec.structs import replace

from mngdb.engines.redis import ENGINE, render
from mngdb.errors import ConnectError, MngdbError
from mngdb.snapshot import Piece, Point
from tests.conftest import EVERYTHING, Cli, each_server
from tests.live import faults
from tests.live.snapshots import MemoryFeed
from tests.live.test_redis_backup import (
    LIBRARY,
    Memory,
    admin,
    content,
    failed,
    opened,
    put_back,
    take,
)
from tests.live.test_tls_redis import with_debian

pytestmark = pytest.mark.live
server = each_server()

FILE = """
redis: {port: PORT1}
apps: {shop: {redis: "shop:*"}}
"""
NO_LOG = FILE.replace("PORT1}", "PORT1, appendonly: false}")
CACHE = FILE.replace("PORT1}", "PORT1, appendonly: false, save: []}")
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


def test_every_moment_comes_back(module_cli: Cli, server: str, tmp_path: Path) -> None:
    """Writes right before and right after it; a snapshot in the middle of them."""
    cli, feed, rnd = module_cli, Feed(), random.Random(11)
    cli.write(FILE)
    cli.ok("up")
    moments: list[tuple[float, str]] = []
    with admin(cli) as client:
        client.execute_command("SELECT", 9)
        client.set("ninth", 9)
        client.config_set("repl-ping-replica-period", 1)
        with Followed(cli, feed):
            with busy(cli):
                made = take(cli)
            assert abs(made.taken.moment - time.time()) < 5
            for _ in range(100 if EVERYTHING else 10 if server == "redis" else 6):
                for _ in range(rnd.randint(1, 6)):
                    write(client, rnd)
                found = digest(client)
                time.sleep(0.08)
                moments.append((time.time() - 0.04, found))
            client.flushall()
            arrived(client, feed)
            # nothing more is written, and that is known
            until(lambda: known(feed) > moments[-1][0] + 1)
            moments.append((time.time(), digest(client)))
            sync = client.info("stats")["sync_full"]
        assert sync <= 2
        client.config_resetstat()
    names = {words[0].upper() for words in commands(together(feed))}
    # what is no write is in the log, too: who reads the file takes no harm
    assert names >= {b"SELECT", b"MULTI", b"EXEC", b"PING", b"REPLCONF", b"PUBLISH", b"FUNCTION"}
    for moment, found in moments:
        with restored(cli, Until(made, feed, moment), tmp_path / "data") as client:
            assert digest(client) == found


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


def test_a_command_and_a_transaction_are_there_whole_or_not_at_all(
    module_cli: Cli, tmp_path: Path
) -> None:
    """The log may be cut at any byte: it gives the state before or after."""
    cli, feed = module_cli, Feed()
    cli.write(FILE)
    cli.ok("up")
    with admin(cli) as client, Followed(cli, feed):
        client.flushall()
        client.set("a", "before")
        made = take(cli)
        with client.pipeline(transaction=True) as pipe:
            pipe.set("a", "after").set("b", b"*3\r\n$3\r\nSET\r\n").rpush("l", 1, 2)
            pipe.execute()
        arrived(client, feed)
    log = made.taken.log
    assert log is not None
    data = b"".join(piece.data for piece in feed.pieces)
    first = feed.pieces[0].begin
    end = data.index(b"EXEC\r\n", log.position - first) + len(b"EXEC\r\n")
    cuts = range(log.position - first, end + 1)
    for cut in [*random.Random(7).sample(cuts[:-1], 8), end]:
        feed.pieces = [Piece(first, first + len(data), data, ((cut, 1.0), (len(data), 3.0)))]
        with restored(cli, Until(made, feed, 2.0), tmp_path / "data") as client:
            found = client.get("a"), client.get("b"), client.lrange("l", 0, -1)
            whole = (b"after", b"*3\r\n$3\r\nSET\r\n", [b"1", b"2"])
            assert found == (whole if cut == end else (b"before", None, []))
            client.set("more", 1)


@pytest.mark.parametrize("text", [FILE, NO_LOG, CACHE], ids=["log", "no-log", "cache"])
def test_an_accident_is_undone(cli: Cli, server: str, text: str) -> None:
    if server == "valkey" and text != NO_LOG:
        return  # it starts as Redis does
    feed = Feed()
    cli.write(text)
    cli.ok("up")
    # as a server of somebody else's, whose clock is asked for
    with admin(cli) as client, Followed(cli, feed, managed=text != NO_LOG):
        client.mset({f"key:{n}": n for n in range(1000)})
        made = take(cli)
        client.mset({f"key:{n}": n for n in range(900, 2000)})
        client.function_load(LIBRARY)
        before = content(client)
        time.sleep(0.1)
        moment = time.time()
        time.sleep(0.1)
        client.flushall()
        client.function_flush()
        client.set("after", 1)
        arrived(client, feed)
    saved = Until(made, feed, moment)
    saved.taken = replace(made.taken, counts={}, content={})
    assert failed(put_back(cli, saved)) == []
    with admin(cli) as client:
        assert content(client) == before
        client.set("more", 1)
    assert cli.json("plan")["steps"] == []


def test_it_goes_on_where_it_was(module_cli: Cli, tmp_path: Path) -> None:
    """What was written while nobody followed is there, without a moment of its own."""
    cli, feed, rnd = module_cli, Feed(), random.Random(3)
    cli.write(FILE)
    cli.ok("up")
    with admin(cli) as client:
        with Followed(cli, feed):
            made = take(cli)
            write(client, rnd)
            arrived(client, feed)
        branch = feed.begun[0].branch
        with Followed(cli, feed):
            # nothing was written: there is no gap
            assert feed.since[-1] == (feed.stored, None)
        for _ in range(5):
            write(client, rnd)
        forks = client.info("stats")["total_forks"]
        gone = feed.stored
        with Followed(cli, feed):
            assert feed.since[-1][0] == gone
            assert feed.since[-1][1] == pytest.approx(time.time(), abs=5)
            write(client, rnd)
            arrived(client, feed)
            until(lambda: known(feed) > time.time() - 0.5)
            found = digest(client)
            assert client.info("stats")["total_forks"] == forks
        assert {one.branch for one in feed.begun} == {branch}
        together(feed)
        with restored(cli, Until(made, feed, time.time()), tmp_path / "data") as other:
            assert digest(other) == found
        # another history
        with Followed(cli, feed) as following:
            faults.kill(cli, "mng-redis")
            until(lambda: following.error is not None)
            assert isinstance(following.error, ConnectError)
        cli.ok("up")
    with admin(cli) as client, Followed(cli, feed):
        assert feed.begun[-1].branch != branch
        made = take(cli)
        write(client, rnd)
        arrived(client, feed)
        found = digest(client)
        time.sleep(0.05)
        with restored(cli, Until(made, feed, time.time()), tmp_path / "data") as other:
            assert digest(other) == found


def test_a_store_that_is_away_costs_the_server_nothing(module_cli: Cli) -> None:
    """It keeps what its limit says; what came late has no moment, and what is gone is left out."""
    cli, feed = module_cli, Feed()
    cli.write(FILE)
    cli.ok("up")
    _, asked = opened(cli)
    archived = replace(asked, instance=replace(asked.instance, archived=True))
    wanted = {
        name: value
        for name, value in ENGINE.settings(archived).items()
        if name not in ENGINE.settings(asked)
    }
    assert wanted["repl-backlog-ttl"] == "0"
    context, _ = opened(cli)
    with ENGINE.connect(context.admin(asked)) as session:
        changes = ENGINE.reconcile(archived, ENGINE.observe(session, archived)).changes
        assert {one.name for one in changes} == set(wanted)
        assert all(one.reloadable for one in changes)
        ENGINE.apply(session, changes)
        assert ENGINE.reconcile(archived, ENGINE.observe(session, archived)).changes == ()
    free = threading.Event()
    with admin(cli) as client:
        client.flushall()
        client.config_set("repl-backlog-size", 1 << 20)
        client.config_set("client-output-buffer-limit", "replica 1048576 0 0")
        with Followed(cli, feed) as following:
            feed.on_write = lambda _: None if free.is_set() else time.sleep(1.9)
            client.set("a", 1)
            time.sleep(0.2)
            client.set("b", 1)
            time.sleep(1.8)
            free.set()
            arrived(client, feed)
            until(lambda: len(feed.since) >= 3)
            # late from b on, until it was known that nothing is late any more
            (_, late), (_, since) = feed.since[-2:]
            assert late is not None
            assert since is not None
            assert late <= since
            free.clear()
            for n in range(60):
                client.set(f"big:{n % 2}", bytes(1 << 20))
            assert client.info("memory")["mem_total_replication_buffers"] < 8 << 20
            free.set()
            until(lambda: following.error is not None)
            assert isinstance(following.error, ConnectError)
        with Followed(cli, feed):
            # that part of the log is gone: it begins anew
            assert feed.begun[-1].position == position(client)
        feed.on_write = lambda _: None
        for change in changes:
            client.config_set(change.name, change.found.replace("slave", "replica"))


def test_over_tls(cli: Cli, server: str) -> None:
    """As fast as without."""
    if server == "valkey":
        return  # its build has no TLS
    feed = Feed()
    cli.write(with_debian(FILE.replace("PORT1}", "PORT1, tls: true}")))
    cli.ok("up")
    with admin(cli) as client, Followed(cli, feed):
        began = time.monotonic()
        pipe = client.pipeline(transaction=False)
        for n in range(200):
            pipe.set(f"key:{n}", random.randbytes(100_000))
        pipe.execute()
        arrived(client, feed)
        assert time.monotonic() - began < 5
        together(feed)


def test_who_looks_at_the_server_is_not_misled(module_cli: Cli) -> None:
    cli, feed = module_cli, Feed()
    cli.write(FILE)
    cli.ok("up")
    with admin(cli) as client, Followed(cli, feed):
        until(lambda: client.info("replication")["connected_slaves"] == 1)
        replica = client.info("replication")["slave0"]
        assert (replica["ip"], replica["port"], replica["state"]) == ("mngdb-archive", 0, "online")
        until(lambda: client.info("replication")["slave0"]["offset"] >= position(client))
        assert "healthy" in cli.ok("status")
        shown = cli.json("sessions", "redis")
        assert "mngdb-archive" in str(shown)
        began = time.monotonic()
        client.set("last", 1)
        # one that stops waits until its replica has everything
        cli.ok("down")
        assert time.monotonic() - began < 9  # and not for its timeout of 10 s
    assert feed.pieces[-1].data.endswith(b"$4\r\nlast\r\n$1\r\n1\r\n")
