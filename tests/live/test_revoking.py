"""What is revoked is gone for sessions that hold on, too."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pymongo
import pymongo.errors
import pytest
import redis

from tests.conftest import Cli
from tests.live.clients import redis_as, url
from tests.live.postgres import pg, sql, value

pytestmark = pytest.mark.live

_FILE = """
name: mng
postgres: {port: PORT1, memory: 128mb}
redis: {port: PORT2, memory: 64mb}
mongodb: {port: PORT3}
apps:
  good: {postgres: good, redis: "good:*", mongodb: good}
"""
_EVIL = '  evil: {postgres: evil, redis: ["evil:*", "good:*"], mongodb: evil}\n'


@pytest.fixture(scope="module")
def cli(module_cli: Cli) -> Cli:
    module_cli.write(_FILE + _EVIL)
    module_cli.ok("up")
    return module_cli


@pytest.fixture(autouse=True)
def _as_before(cli: Cli) -> None:
    cli.write(_FILE + _EVIL)
    cli.ok("up")


@contextlib.contextmanager
def _holding_on(at: str, statement: str) -> Iterator[list[psycopg.Connection]]:
    """Sessions that keep a transaction open after `statement`; one that ends is followed by the
    next at once, as long as the server lets it in."""
    over, held = threading.Event(), threading.Event()
    sessions: list[psycopg.Connection] = []

    def hold() -> None:
        while not over.is_set():
            try:
                connection = psycopg.connect(at, connect_timeout=5)
                sessions.append(connection)
                connection.execute(statement)
                held.set()
                while not over.is_set():
                    connection.execute("SELECT pg_sleep(0.05)")
            except psycopg.Error:
                time.sleep(0.002)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert held.wait(10)
        yield sessions
    finally:
        over.set()
        thread.join(20)
        for session in sessions:
            session.close()


def _sessions(cli: Cli) -> int:
    found: int = value(cli, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'evil'")
    return found


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER ROLE evil SET work_mem = '1MB'",
        "ALTER ROLE evil PASSWORD 'mine-from-now-on-0123456789abcdef'",
        "ALTER DATABASE evil CONNECTION LIMIT 7",
    ],
)
@pytest.mark.parametrize("prune", [[], ["--prune"]], ids=["closed", "dropped"])
def test_a_login_that_alters_its_own_role_in_an_open_transaction_is_shut_out(
    cli: Cli, statement: str, prune: list[str]
) -> None:
    at = url(cli, "postgres", "evil")
    cli.write(_FILE)
    with _holding_on(at, statement) as sessions:
        begun = time.monotonic()
        cli.ok("up", *prune)
        assert time.monotonic() - begun < 10
        assert _sessions(cli) == 0
        with pytest.raises(psycopg.OperationalError):
            sessions[0].execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(at)


def test_a_session_that_became_another_role_ends_with_its_membership(cli: Cli) -> None:
    sql(cli, "CREATE ROLE team NOLOGIN", "GRANT team TO evil")
    try:
        with pg(cli, "evil") as connection:
            connection.execute("SET ROLE team")
            cli.ok("up")
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT current_user")
    finally:
        sql(cli, "DROP ROLE team")


def test_a_session_in_a_database_that_is_not_the_apps_any_more_ends(cli: Cli) -> None:
    cli.write(_FILE + "  clerk: {postgres: {database: good, access: readwrite}}\n" + _EVIL)
    cli.ok("up")
    with pg(cli, "clerk") as connection:
        cli.write(_FILE + "  clerk: {postgres: {database: evil, access: readonly}}\n" + _EVIL)
        cli.ok("up")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with pg(cli, "clerk") as connection:
        cli.ok("up")
        assert connection.execute("SELECT 1").fetchone() == (1,)  # nothing to take: nobody is ended


def test_a_redis_session_that_waits_on_a_key_ends_with_its_right(cli: Cli) -> None:
    with redis_as(cli, "evil") as client:
        found: list[object] = []

        def wait() -> None:
            try:
                found.append(client.blpop(["good:list"], timeout=30))
            except redis.RedisError as error:
                found.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        with redis_as(cli) as admin:
            while admin.info("clients")["blocked_clients"] != 1:
                time.sleep(0.01)
        cli.write(_FILE + '  evil: {postgres: evil, redis: "evil:*", mongodb: evil}\n')
        cli.ok("up")
        with redis_as(cli, "good") as good:
            good.rpush("good:list", "secret")
            thread.join(10)
            assert isinstance(found[0], redis.RedisError)
            assert good.lpop("good:list") == "secret"


def test_a_mongodb_cursor_ends_with_its_login(cli: Cli) -> None:
    with pymongo.MongoClient[Any](url(cli, "mongodb", "evil")) as client:
        things = client["evil"]["things"]
        things.insert_many({"n": n} for n in range(300))
        cursor = things.find({}, batch_size=2)
        assert next(cursor)["n"] == 0
        cli.write(_FILE)
        cli.ok("up")
        with pytest.raises(pymongo.errors.PyMongoError):
            list(cursor)
        with pymongo.MongoClient[Any](url(cli, "mongodb")) as admin:
            left = admin.admin.aggregate([{"$currentOp": {"allUsers": True, "idleCursors": True}}])
            assert [one for one in left if one.get("ns") == "evil.things"] == []
