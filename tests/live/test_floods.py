"""Who opens connections and says nothing, or asks and does not read, keeps nobody else out."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import struct
import time
from collections.abc import Iterator
from itertools import product

import psycopg
import pytest
import redis
from msgspec.structs import replace

from mngdb.engines.postgres import PostgresEngine
from mngdb.engines.redis import RedisEngine
from mngdb.spec.agent import MONITOR
from tests.checks.judge import opened
from tests.conftest import EVERYTHING, Cli
from tests.live.clients import redis_as, url
from tests.live.postgres import pg, value

pytestmark = pytest.mark.live

_FILE = """
name: mng
postgres: {port: PORT1, memory: 128mb}
redis: {port: PORT2, memory: 64mb}
mongodb: {port: PORT3}
agent: {ports: {postgres: PORT4, redis: PORT5, mongodb: PORT6, mngdb: PORT7}}
apps:
  shop: {postgres: {database: shop, connections: -1}, redis: "shop:*", mongodb: shop}
  look: {redis: {keys: "shop:*", access: readonly}}
"""


@pytest.fixture(scope="module")
def cli(module_cli: Cli) -> Cli:
    module_cli.write(_FILE)
    module_cli.ok("up")
    return module_cli


def _startup() -> bytes:
    """A login that never answers the server's question for the password."""
    body = b"user\0shop\0database\0shop\0\0"
    return struct.pack("!II", len(body) + 8, 196608) + body


#: Engine to its port in the file, and what a half-open client has sent.
_DOORS = {
    "postgres-silent": (1, b""),
    "postgres-login": (1, _startup()),
    "redis": (2, b""),
    "redis-half": (2, b"*2\r\n$4\r\nAUTH\r\n"),
    "mongodb": (3, b""),
    "mongodb-half": (3, struct.pack("<iiii", 1000, 1, 0, 2013)),
    "agent": (7, b""),
    "agent-half": (7, b"GET /-/hea"),
    "agent-postgres": (4, b"GET / HTTP/1.1\r\nA: "),
}
#: Thousands take long at the agent's doors, which are one in what they do.
_FEW = ("agent", "agent-postgres")
_MANY = [(1200 if door == "agent-half" else 3000, door) for door in _DOORS if door not in _FEW]


@contextlib.contextmanager
def _held(port: int, sent: bytes, count: int) -> Iterator[None]:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, most), most))
    held = []
    try:
        for _ in range(count):
            one = socket.create_connection(("127.0.0.1", port), 20)
            held.append(one)
            with contextlib.suppress(ConnectionError):  # let go already
                one.sendall(sent)
        yield
    finally:
        for one in held:
            one.close()


@pytest.mark.parametrize(
    ("count", "door"),
    [*(product((32, 300), _DOORS) if EVERYTHING else product((300,), _FEW)), *_MANY],
)
def test_half_open_connections_keep_nobody_out(cli: Cli, door: str, count: int) -> None:
    port, sent = _DOORS[door]
    before = cli.json("status")
    with _held(cli.port(port), sent, count):
        begun = time.monotonic()
        after = cli.json("status")
        assert all(unit["healthy"] for unit in after["units"]), after
        told = cli.ok("up", timeout=60)
        assert "restart" not in told
        assert time.monotonic() - begun < 30
    assert _pids(before) == _pids(after)


def test_who_holds_all_connections_without_a_login_is_named(cli: Cli) -> None:
    with _held(cli.port(1), _startup(), 300):
        said = cli.run("doctor", timeout=60).stdout
        assert f"(pid {os.getpid()}) of the account " in said
        assert "stop the process" in said
        assert "stop the app" not in said
    assert value(cli, "SELECT 1") == 1


def _pids(found: object) -> object:
    return [(unit["name"], unit["version"]) for unit in found["units"]]  # type: ignore[index]


def _take_all(cli: Cli, taken: contextlib.ExitStack) -> None:
    while True:
        taken.enter_context(pg(cli, "shop"))


def test_the_monitor_and_the_administrator_get_in_when_apps_have_taken_all_connections(
    cli: Cli,
) -> None:
    with contextlib.ExitStack() as taken:
        with pytest.raises(psycopg.OperationalError, match="remaining connection slots"):
            _take_all(cli, taken)
        assert value(cli, "SELECT 1") == 1
        context = opened(cli)
        asked = context.asked(context.stack.instances["postgres"])
        monitor = context.login(asked, MONITOR)
        for _ in range(3):
            with PostgresEngine().connect(monitor) as session:
                assert session.rows("SELECT current_user::text") == [(MONITOR,)]


def test_the_administrator_stays_when_others_have_taken_all_memory_of_clients(cli: Cli) -> None:
    context, engine = opened(cli), RedisEngine()
    admin = engine.admin(context.asked(context.stack.instances["redis"]))
    with _held(cli.port(2), b"*2\r\n$4\r\nAUTH\r\n", 1500), engine.connect(admin) as session:
        stats = str(session.ask("INFO", "stats"))
        assert "evicted_clients:0\r\n" not in stats
        # an answer that makes this client the largest
        assert len(str(session.ask("CLIENT", "LIST"))) > 32 << 10


def test_the_administrator_who_was_let_go_before_the_login_comes_again(cli: Cli) -> None:
    context, engine = opened(cli), RedisEngine()
    admin = engine.admin(context.asked(context.stack.instances["redis"]))
    assert admin.proof is not None
    let_go: list[object] = []

    def holds(wire: socket.socket) -> bool:
        if len(let_go) < 2:
            with redis_as(cli) as other:
                host, port = wire.getsockname()
                let_go.append(other.client_kill(f"{host}:{port}"))
        return True

    again = replace(admin, proof=replace(admin.proof, holds=holds))
    with engine.connect(again) as session:
        assert session.ask("PING") == "PONG"
    assert len(let_go) == 2


def test_a_reader_that_asks_for_large_values_and_does_not_read_pushes_no_key_out(
    cli: Cli,
) -> None:
    with redis_as(cli, "shop") as shop, redis_as(cli) as admin:
        for number in range(30):
            shop.set(f"shop:{number}", b"x" * (1 << 20))
        before = admin.info("stats")["evicted_keys"]
        readers = []
        try:
            for _ in range(4):
                reader = redis.Redis.from_url(url(cli, "redis", "look")).connection_pool
                connection = reader.get_connection()
                for _ in range(40):
                    with contextlib.suppress(redis.ConnectionError):  # let go
                        connection.send_command("GET", "shop:1")
                readers.append(connection)
            time.sleep(1)
            assert admin.info("stats")["evicted_keys"] == before
            assert admin.info("stats")["evicted_clients"] > 0
            assert shop.exists(*(f"shop:{number}" for number in range(30))) == 30
        finally:
            for connection in readers:
                connection.disconnect()
