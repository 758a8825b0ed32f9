"""Snapshots of Redis and Valkey: taken over the replication link, laid out, loaded, proved."""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from mngdb.engines.redis import ENGINE, acl, backup
from mngdb.errors import MngdbError, StepError
from mngdb.model import DesiredInstance
from mngdb.ops.context import Context
from mngdb.run import Account
from mngdb.secret import Secret
from mngdb.snapshot import Saved, Taken, Trial, Writer
from mngdb.spec.load import load
from mngdb.stores.catalog import Catalog
from mngdb.stores.directory import DirectoryStore
from mngdb.stores.manifest import Manifest
from mngdb.stores.sealing import Opener, Sealer, make_key, recipient
from mngdb.stores.signing import Signer, make_secret
from tests.conftest import Cli, each_server
from tests.live import faults
from tests.live.clients import url
from tests.live.scrapes import until
from tests.live.snapshots import Logged
from tests.live.test_tls_redis import with_debian

pytestmark = pytest.mark.live
server = each_server()

FILE = """
redis: {port: PORT1}
apps: {shop: {redis: "shop:*"}}
"""
NO_LOG = FILE.replace("PORT1}", "PORT1, appendonly: false}")
LIBRARY = "#!lua name=lib\nredis.register_function('twice', function(k, a) return a[1] * 2 end)"
#: Small ones, besides one of each kind.
KEYS = 20_000


class Memory(Logged):
    """Takes a snapshot and gives it back; `cut` bytes of its end are lost meanwhile."""

    taken: Taken

    def __init__(self, on_write: Callable[[int], None] = lambda _: None) -> None:
        self.streams: dict[str, bytearray] = {}
        self.expected = 0
        self.cut = 0
        self._on_write = on_write
        self._open = bytearray()

    @contextmanager
    def stream(self, name: str, *, keep: bool = False) -> Iterator[Writer]:
        self._open = bytearray()
        yield self
        self.streams[name] = self._open

    def write(self, data: bytes | memoryview) -> int:
        self._open += data
        self._on_write(len(self._open))
        return len(data)

    def expect(self, size: int) -> None:
        self.expected += size

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.streams)

    def read(self, name: str) -> Iterator[bytes]:
        data = bytes(self.streams[name])
        data = data[: len(data) - self.cut]
        for at in range(0, len(data), 100_000):
            yield data[at : at + 100_000]


@contextmanager
def admin(cli: Cli) -> Iterator[Any]:
    with redis.Redis.from_url(url(cli, "redis"), socket_timeout=60) as client:
        yield client


def opened(cli: Cli) -> tuple[Context, DesiredInstance]:
    environ = cli.environ()
    context = Context.open(load([cli.folder / "mngdb.yaml"], environ), environ)
    return context, context.asked(context.instance("redis"))


def take(cli: Cli, sink: Any = None) -> Memory:
    sink = sink or Memory()
    context, asked = opened(cli)
    access = context.admin(asked)
    with ENGINE.connect(access) as session:
        sink.taken = ENGINE.back_up(session, asked, access, sink)
    return sink  # type: ignore[no-any-return]


def put_back(cli: Cli, saved: Saved) -> tuple[Trial, ...]:
    """Restore it into the stopped server's own folder, start it, prove it."""
    cli.ok("down")
    context, asked = opened(cli)
    assert asked.site is not None
    folder = Path(asked.site.data)
    owner = folder.stat()
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    ENGINE.lay(asked, saved, folder, Account("", owner.st_uid, owner.st_gid))
    for path in folder.rglob("*"):
        found = path.stat()
        assert (found.st_uid, found.st_gid) == (owner.st_uid, owner.st_gid)
        assert found.st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)
    cli.ok("up")
    with ENGINE.connect(context.admin(asked)) as session:
        ENGINE.load(session, asked, saved)
        return ENGINE.prove(session, asked, saved.taken)


def failed(trials: tuple[Trial, ...]) -> list[Trial]:
    return [one for one in trials if not one.passed]


def fill(client: Any, keys: int = KEYS) -> None:
    pipe = client.pipeline(transaction=False)
    pipe.function_load(LIBRARY)
    for n in range(keys):
        pipe.set(f"key:{n}", n)
    pipe.set(b"\x00\xff\r\n*1", bytes(range(256)) * 40)
    pipe.set("aof", b"\r\n#TS:1700000000\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n")
    pipe.set("", b"\xff" + bytes(8))
    pipe.hset("hash", mapping={b"\x00f": b"\x00v", "n": 1})
    pipe.rpush("list", *range(500), b"\x00" * 9000)
    pipe.sadd("ints", *range(100))
    pipe.sadd("words", *(f"w{n}" for n in range(600)))
    pipe.zadd("board", {f"m{n}": n * 1.5 for n in range(600)})
    pipe.pfadd("loglog", *range(1000))
    pipe.setbit("bits", 70_000, 1)
    pipe.geoadd("geo", (13.36, 38.11, "Palermo"))
    pipe.xadd("stream", {b"\x00": b"\xff"}, id="5-1")
    pipe.xgroup_create("stream", "group", id="0")
    pipe.set("later", "x", ex=90_000)
    pipe.execute()
    with suppress(redis.ResponseError):  # servers before 7.4
        client.execute_command("HPEXPIRE", "hash", 90_000_000, "FIELDS", 1, "n")
    client.xreadgroup("group", "me", {"stream": ">"})
    client.execute_command("SELECT", 9)
    client.set("ninth", b"\x09\x00")
    client.execute_command("SELECT", 0)


def content(client: Any) -> dict[Any, Any]:
    """Every key's bytes and expiry time, and the functions. DUMP differs where the same is packed
    in another way, so collections are read."""
    found: dict[Any, Any] = {}
    for database in (0, 9):
        client.execute_command("SELECT", database)
        keys = sorted(client.scan_iter(count=5000))
        pipe = client.pipeline(transaction=False)
        for key in keys:
            pipe.type(key).pexpiretime(key)
        told = pipe.execute()
        plain = [key for key, kind in zip(keys, told[::2], strict=True) if kind == b"string"]
        values = dict(zip(plain, client.mget(plain), strict=True))
        for key, kind, expiry in zip(keys, told[::2], told[1::2], strict=True):
            found[database, key] = (kind, expiry, values.get(key) or _value(client, key, kind))
    client.execute_command("SELECT", 0)
    return found | {"functions": client.function_list(withcode=True)}


def _value(client: Any, key: bytes, kind: bytes) -> Any:
    return {
        b"hash": lambda: (client.hgetall(key), _field_expiry(client, key)),
        b"list": lambda: client.lrange(key, 0, -1),
        b"set": lambda: client.smembers(key),
        b"zset": lambda: client.zrange(key, 0, -1, withscores=True),
        b"stream": lambda: (client.xrange(key), client.xpending(key, "group")),
        b"string": lambda: client.get(key),
    }[kind]()


def _field_expiry(client: Any, key: bytes) -> Any:
    try:
        return client.execute_command("HPEXPIRETIME", key, "FIELDS", 1, "n")
    except redis.ResponseError:
        return None


@pytest.mark.parametrize("text", [FILE, NO_LOG], ids=["log", "no-log"])
def test_everything_comes_back(cli: Cli, text: str) -> None:
    cli.write(text)
    cli.ok("up")
    with admin(cli) as client:
        fill(client)
        before = content(client)
        client.set("soon", "x", px=8000)
        gone = time.monotonic() + 8
        made = take(cli)
        client.flushall()
        client.function_flush()
    assert made.expected == len(made.streams["dump.rdb"])
    assert made.taken.counts["db0"] == KEYS + 13 + 1
    assert (made.taken.counts["db9"], made.taken.counts["libraries"]) == (1, 1)
    cli.ok("down")
    time.sleep(max(0.0, gone - time.monotonic()))
    trials = put_back(cli, made)
    assert failed(trials) == []
    assert any(one.name.endswith("check-rdb") for one in trials)
    with admin(cli) as client:
        after = content(client)
        assert client.fcall("twice", 0, 21) == 42
        assert after == before
        client.set("more", 1)
    faults.kill(cli, "mng-redis")
    cli.ok("up")
    assert cli.json("plan")["steps"] == []


def test_values_are_saved_as_they_are_where_the_disk_has_room(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """zstd makes them smaller than LZF and zstd together; the setting is back afterwards."""
    cli.write(FILE)
    cli.ok("up")
    text = "a value that LZF makes smaller " * 30
    with admin(cli) as client:
        client.set("text", text)
        until(lambda: not client.info("persistence")["aof_rewrite_in_progress"])
        assert text.encode() in take(cli).streams["dump.rdb"]
        assert client.config_get("rdbcompression") == {"rdbcompression": "yes"}
        monkeypatch.setattr(backup, "_ROOM", 1 << 60)
        assert text.encode() not in take(cli).streams["dump.rdb"]
        assert client.config_get("rdbcompression") == {"rdbcompression": "yes"}


def test_writes_go_on_meanwhile_and_it_is_one_moment(cli: Cli) -> None:
    """A pair of keys is written at once: both are there as they were at the same time."""
    cli.write(FILE)
    cli.ok("up")
    stop = threading.Event()

    def write() -> None:
        with admin(cli) as client:
            n = 0
            while not stop.is_set():
                n += 1
                client.mset({"a": n, "b": n, f"pad:{n % 20_000}": "x" * 2000})

    with admin(cli) as client:
        fill(client, 100_000)
        # what a replica may fall behind by, far less than what is written meanwhile
        client.config_set("client-output-buffer-limit", "replica 1 1 1")
        client.config_set("repl-timeout", 2)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        # a store that stalls for longer than the server waits for a replica
        made = take(cli, Memory(lambda size: time.sleep(3) if size <= 1 << 20 else None))
    finally:
        stop.set()
        writer.join()
    trials = put_back(cli, made)
    assert failed(trials) == []
    with admin(cli) as client:
        assert client.get("a") == client.get("b")
        assert client.dbsize() >= 100_013


def test_a_server_killed_half_way_is_told(cli: Cli) -> None:
    cli.write(FILE)
    cli.ok("up")
    with admin(cli) as client:
        pipe = client.pipeline(transaction=False)
        for n in range(40):
            pipe.set(f"big:{n}", hashlib.shake_128(b"%d" % n).digest(1 << 20))
        pipe.execute()
    killed = iter([lambda: faults.kill(cli, "mng-redis")])
    made = Memory(lambda _: next(killed, lambda: None)())
    with pytest.raises(StepError, match="ended the backup"):
        take(cli, made)
    assert made.streams == {}


def test_what_is_not_whole_is_not_laid_out(cli: Cli) -> None:
    cli.write(FILE)
    cli.ok("up")
    with admin(cli) as client:
        client.set("a", "x" * 1000)
    made = take(cli)
    _, asked = opened(cli)
    for cut in (1, 9, 500, len(made.streams["dump.rdb"])):
        made.cut = cut
        folder = cli.folder / f"cut-{cut}"
        folder.mkdir()
        with pytest.raises(MngdbError, match="RDB file"):
            ENGINE.lay(asked, made, folder, None)
    made.cut = 0
    made.streams["dump.rdb"][:5] = b"HELLO"
    (cli.folder / "other").mkdir()
    with pytest.raises(MngdbError, match="not an RDB file"):
        ENGINE.lay(asked, made, cli.folder / "other", None)


def test_a_key_that_is_missing_fails_the_proof(cli: Cli) -> None:
    cli.write(FILE)
    cli.ok("up")
    with admin(cli) as client:
        client.mset({"a": 1, "b": 2})
        client.function_load(LIBRARY)
        made = take(cli)
    assert failed(put_back(cli, made)) == []
    with admin(cli) as client:
        client.delete("a")
        client.function_flush()
    context, asked = opened(cli)
    with ENGINE.connect(context.admin(asked)) as session:
        names = {one.name for one in failed(ENGINE.prove(session, asked, made.taken))}
    assert names == {"database 0", "functions"}


def test_only_the_administrator_may_take_one(cli: Cli) -> None:
    cli.write(FILE)
    cli.ok("up")
    context, asked = opened(cli)
    at = context.admin(asked)
    with ENGINE.connect(at) as session, ENGINE.connect(ENGINE.login(asked, at, "shop")) as shop:
        for command in (["PSYNC", "?", "-1"], ["REPLCONF", "rdb-only", "1"], ["SYNC"]):
            with pytest.raises(MngdbError, match="no permissions"):
                shop.ask(*command)
        with pytest.raises(StepError, match="no permissions") as told:
            ENGINE.back_up(session, asked, ENGINE.login(asked, at, "shop"), Memory())
        assert "+psync" in str(told.value.hint)
    rules = acl.monitor_user(Secret("x" * 40), "mng").commands
    assert "psync" not in rules
    assert "replconf" not in rules


def test_through_a_store(cli: Cli) -> None:
    cli.write(FILE)
    cli.ok("up")
    with admin(cli) as client:
        fill(client)
        before = content(client)
    key = make_key()
    catalog = Catalog(DirectoryStore(cli.folder / "store"), "stack", Signer(make_secret()))
    snapshot = catalog.begin(Sealer([recipient(key)]), "redis", lambda _, __: None)

    class Through(Memory):
        def stream(self, name: str, *, keep: bool = False) -> Any:
            return snapshot.stream(name)

        def read(self, name: str) -> Iterator[bytes]:
            return catalog.read(Opener([key]), manifest, name, lambda _, __: None)

    saved = take(cli, Through())
    manifest = Manifest(
        id=snapshot.id,
        stack="stack",
        stack_name="mng",
        instance="redis",
        engine="redis",
        tool="test",
        started=time.time(),
        finished=time.time(),
        taken=saved.taken,
        recipients=snapshot.recipients,
        streams=snapshot.streams,
    )
    snapshot.finish(manifest)
    with admin(cli) as client:
        client.flushall()
    assert failed(put_back(cli, saved)) == []
    with admin(cli) as client:
        assert content(client) == before


def test_over_tls(cli: Cli, server: str) -> None:
    if server == "valkey":
        return  # its build has no TLS
    cli.write(with_debian(FILE.replace("PORT1}", "PORT1, tls: true}")))
    cli.ok("up")
    with admin(cli) as client:
        fill(client)
        before = content(client)
        made = take(cli)
        client.flushall()
    assert failed(put_back(cli, made)) == []
    with admin(cli) as client:
        assert content(client) == before
