"""Sessions of the three engines, and a leak of connections staged in each."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import psutil
import psycopg
import pymongo
import pytest
import redis

from mngdb.engines.postgres import client
from mngdb.errors import MngdbError
from mngdb.facts.sessions import OneSession, Sessions, advice
from mngdb.ops.context import Context
from mngdb.ops.locks import locks
from mngdb.ops.sessions import sessions
from tests.checks.judge import opened
from tests.conftest import Cli
from tests.live import faults
from tests.live.clients import brought_up, redis_as
from tests.live.scrapes import until

pytestmark = pytest.mark.live

FILE = """
postgres: {port: PORT1, max_connections: 40}
redis: {port: PORT2, max_clients: 40}
mongodb: {port: PORT3, max_connections: 60}
apps:
  shop: {postgres: {database: shop, connections: -1}, redis: "shop:*", mongodb: shop}
  other: {postgres: other, mongodb: other}
"""
ENGINES = ("postgres", "redis", "mongodb")
stack = brought_up(FILE)


@pytest.fixture
def resources() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def leak(cli: Cli, engine: str, resources: ExitStack, count: int) -> None:
    """Open connections that nobody uses, when those of the test before are gone."""
    env = cli.env_of("shop")
    if engine != "mongodb":
        until(lambda: not [o for o in of(cli, "sessions", engine)["sessions"] if o["app"]])
    for _ in range(count):
        if engine == "postgres":
            connection: Any = psycopg.connect(env["POSTGRES_URL"], autocommit=True)
            connection.execute("SELECT 'my-secret-value'")
        elif engine == "redis":
            connection = redis.Redis.from_url(
                env["REDIS_URL"], single_connection_client=True, socket_timeout=60
            )
            connection.ping()
        else:
            connection = pymongo.MongoClient(env["MONGO_URI"], appname="leaky", maxPoolSize=1)
            connection["shop"].command("ping")
        resources.callback(connection.close)


def of(cli: Cli, command: str, engine: str, *options: str) -> dict[str, Any]:
    (one,) = cli.json(command, engine, *options)["instances"]
    assert isinstance(one, dict)
    return one


@pytest.mark.parametrize("engine", ENGINES)
def test_an_apps_connections_are_counted_as_its_own(
    stack: Cli, engine: str, resources: ExitStack
) -> None:
    leak(stack, engine, resources, 3)
    found = of(stack, "sessions", engine)
    mine = [one for one in found["sessions"] if one["app"] == "shop"]
    # pymongo watches the server over connections of its own
    assert len(mine) >= 3 if engine == "mongodb" else len(mine) == 3
    assert found["limit"] >= 40
    assert all(one["client"].startswith("127.0.0.1") for one in mine)


@pytest.mark.parametrize("engine", ["postgres", "redis"])
def test_a_leak_is_named_with_its_app(stack: Cli, engine: str, resources: ExitStack) -> None:
    assert of(stack, "connections", engine)["advice"] == []
    leak(stack, engine, resources, 32)

    def all_told() -> bool:  # Redis calls a client idle after a second
        advice = of(stack, "connections", engine)["advice"]
        return any("shop holds 32 connections" in text for text in advice[1:])

    until(all_told)
    found = of(stack, "connections", engine)
    (shop,) = [one for one in found["holders"] if one["app"] == "shop"]
    assert shop["count"] == 32
    assert "of 40 connections are in use" in found["advice"][0]
    text = stack.ok("connections", engine)
    assert "32 of 40" in text


def test_a_leak_of_mongodb_is_named_with_its_app(stack: Cli, resources: ExitStack) -> None:
    leak(stack, "mongodb", resources, 16)
    found = of(stack, "connections", "mongodb")
    (shop,) = [one for one in found["holders"] if one["app"] == "shop"]
    assert shop["count"] >= 16
    assert any("shop holds" in text for text in found["advice"])
    assert "leaky" in " ".join(shop["clients"])


def test_a_server_without_a_free_connection_is_asked_by_one_app_alone(
    stack: Cli, resources: ExitStack
) -> None:
    """The others would be told the same, each after as long a wait."""
    limit = of(stack, "sessions", "mongodb")["limit"]

    def full() -> bool:
        """Whether the server hangs up on whoever comes; sessions of others end meanwhile."""
        for _ in range(limit + 10):
            wire = resources.enter_context(socket.create_connection(("127.0.0.1", stack.port(3))))
        wire.settimeout(1.0)
        try:
            return wire.recv(1) == b""
        except (TimeoutError, ConnectionResetError) as error:
            return isinstance(error, ConnectionResetError)

    until(full)
    time.sleep(1)
    until(full)
    begun = time.monotonic()
    units = json.loads(stack.run("--json", "status").stdout)["units"]
    assert time.monotonic() - begun < 9.0  # two waits of five seconds are more
    (mongod,) = [one for one in units if one["instance"] == "mongodb"]
    assert "connection limit" in mongod["error"]


def test_what_runs_is_shown_without_its_values(stack: Cli, resources: ExitStack) -> None:
    url = stack.env_of("shop")["POSTGRES_URL"]
    connection = psycopg.connect(url)
    resources.callback(connection.close)

    def run() -> None:
        with suppress(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(300)")

    def active() -> list[str]:
        found = of(stack, "sessions", "postgres")["sessions"]
        return [one["doing"] for one in found if one["state"] == "active"]

    thread = threading.Thread(target=run)
    thread.start()
    try:
        until(lambda: active() == ["SELECT pg_sleep(300)"])
    finally:
        connection.cancel()
        thread.join()
    leak(stack, "mongodb", resources, 1)
    assert "my-secret-value" not in stack.ok("sessions", "mongodb", "--all")


def test_heartbeats_are_no_work(stack: Cli, resources: ExitStack) -> None:
    leak(stack, "mongodb", resources, 1)
    with redis_as(stack) as admin:
        replica = admin.connection_pool.make_connection()
        resources.callback(replica.disconnect)
        replica.connect()
        replica.send_command("PSYNC", "?", "-1")
        for engine, beat in (("mongodb", ("hello", "isMaster", "ismaster")), ("redis", ("PSYNC",))):

            def seen(engine: str = engine, beat: tuple[str, ...] = beat) -> bool:
                found = of(stack, "sessions", engine)["sessions"]
                beats = [one for one in found if one["doing"].startswith(beat)]
                return any(one["state"] == "heartbeat" for one in beats)

            until(seen)
            assert not any(word in stack.ok("sessions", engine) for word in beat)
            assert any(word in stack.ok("sessions", engine, "--all") for word in beat)


def test_a_server_that_is_down_is_said_and_the_others_are_shown(stack: Cli) -> None:

    faults.kill(stack, "mng-redis")
    try:
        done = stack.run("--json", "sessions")
        assert done.returncode == 3
        by_name = {one["instance"]: one for one in json.loads(done.stdout)["instances"]}
        assert "Redis does not answer" in by_name["redis"]["error"]
        assert "sessions" in by_name["postgres"]
        for command in ("sessions", "connections", "slow"):
            alone = stack.run(command, "redis")
            assert (alone.returncode, alone.stdout) == (3, ""), "nobody knows that nothing runs"
    finally:
        stack.ok("up")


@pytest.mark.parametrize(
    "question",
    [
        lambda context: sessions(context, "postgres")["postgres"].get(),
        lambda context: locks(context, "postgres")["postgres"].get(),
    ],
    ids=["sessions", "locks"],
)
def test_a_postgresql_that_freezes_after_the_login_is_said_in_time(
    stack: Cli, monkeypatch: pytest.MonkeyPatch, question: Callable[[Context], object]
) -> None:
    server = psutil.Process(faults.pid(stack, "mng-pg"))
    login = client.Connection.connect
    frozen: list[psutil.Process] = []

    def freezing(*args: Any, **more: Any) -> Any:
        found = login(*args, **more)
        faults.freeze(server, frozen)
        return found

    monkeypatch.setattr(client.Connection, "connect", freezing)
    monkeypatch.setattr(client, "_LOOKING", 0.5)
    try:
        with pytest.raises(MngdbError, match=r"no answer within 0\.5 s"):
            question(opened(stack))
    finally:
        for one in frozen:
            one.resume()


def test_an_apps_lost_secret_keeps_nobody_from_looking(stack: Cli) -> None:
    secret = stack.state / "secrets/postgres_shop"
    aside = secret.rename(secret.with_name(".aside"))
    try:
        for command in (("sessions", "postgres"), ("locks",), ("indexes", "postgres")):
            stack.ok(*command)
    finally:
        aside.rename(secret)


def test_a_login_that_sees_little_is_told_so_and_nothing_is_claimed(stack: Cli, cli: Cli) -> None:
    """As on a server that somebody else runs: no pg_monitor, no CONFIG."""
    secret = stack.env_of("shop")["POSTGRES_PASSWORD"]
    with redis_as(stack) as admin:
        admin.acl_setuser(
            "watcher", enabled=True, passwords=[f"+{secret}"], commands=["+info", "+client"]
        )
    place = f"127.0.0.1:{stack.port(1)}"
    try:
        cli.write(
            f"postgres: {{target: {{external: {{url: 'postgresql://shop@{place}/shop'}}}}}}\n"
            f"redis: {{target: {{external: {{url: 'redis://watcher@127.0.0.1:{stack.port(2)}'}}}}}}\n"
        )
        for name in ("postgres_admin", "redis_admin"):
            cli.ok("secret", "set", name, stdin=secret)
        for command in ("sessions", "locks"):
            done = cli.run(command, "--json")
            assert done.returncode == 3
            assert "GRANT pg_monitor TO shop" in done.stdout
            assert "no session waits" not in cli.run(command).stdout
        assert of(cli, "sessions", "redis")["limit"] == 40
        one_look = cli.run("alerts")
        assert one_look.returncode in {1, 3}
        assert "PostgresLongTransaction" in one_look.stderr.partition("not evaluated")[2]
        assert cli.json("bloat")["errors"] == {}
        found = cli.json("indexes")
        assert found["errors"] == {}
        assert "missing indexes are unknown: pg_stat_statements" in found["notes"]["postgres"]
    finally:
        with redis_as(stack) as admin:
            admin.acl_deluser("watcher")


def test_forgotten_transactions_are_told() -> None:
    one = OneSession("1", "shop", "shop", "", "idle in transaction", 120, "UPDATE stock")
    (said,) = advice(Sessions(100, (one,)))
    assert "open transactions that do nothing" in said
    assert advice(Sessions(100, ())) == []
