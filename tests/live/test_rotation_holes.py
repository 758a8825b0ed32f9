"""Who knows an app's old password wants to keep the access, or to stop the rotation."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import pytest

from tests.conftest import Cli
from tests.live.clients import url
from tests.live.followers import lets_in, settings

pytestmark = pytest.mark.live

STACK = """\
postgres: {port: PORT1}
agent: false
apps: {shop: {postgres: shop}, other: {postgres: other}}
"""
THEIRS = "aPasswordOfTheirOwn"


@pytest.fixture(scope="module")
def stack(module_cli: Cli) -> Cli:
    module_cli.write(STACK)
    module_cli.ok("up")
    return module_cli


def second(cli: Cli, app: str) -> str:
    """The app's URL by its second login, whose sessions are the role of the first."""
    if f"{app}.2:" not in url(cli, "postgres", app):
        cli.ok("rotate", app, "--now")
    return url(cli, "postgres", app)


def connect(conninfo: str) -> Any:
    return psycopg.connect(conninfo, autocommit=True, connect_timeout=10)


@contextmanager
def taking(old: str, new: str) -> Iterator[list[Any]]:
    """In the block, sessions of the old password give the role another one all the time. Gives the
    sessions that this one lets in."""
    done, held = threading.Event(), list[Any]()

    def change() -> None:
        while not done.is_set():
            with suppress(psycopg.OperationalError), connect(old) as session:
                while not done.wait(0.01):
                    with suppress(psycopg.InternalError):  # at the same moment as we
                        session.execute(f"ALTER ROLE CURRENT_USER PASSWORD '{THEIRS}'")

    def log_in() -> None:
        while not done.wait(0.01):
            with suppress(psycopg.OperationalError):
                held.append(connect(new))

    threads = [threading.Thread(target=one) for one in (change, change, log_in)]
    for thread in threads:
        thread.start()
    try:
        yield held
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_who_had_the_old_password_does_not_choose_the_new_one(stack: Cli) -> None:
    old = second(stack, "shop")
    scheme, _, rest = old.partition("://")
    theirs = f"{scheme}://shop:{THEIRS}@{rest.partition('@')[2]}"
    with taking(old, theirs) as held:
        stack.ok("rotate", "shop", "--now")
        time.sleep(0.5)
    assert held, "nobody came in by the other password: the test tries nothing"
    assert lets_in("postgres", settings(stack, "shop"))
    assert not lets_in("postgres", {"POSTGRES_URL": theirs})
    for session in held:
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert stack.json("plan")["steps"] == []


def test_a_leaked_password_is_withdrawn_whatever_the_app_refuses(stack: Cli) -> None:
    old = url(stack, "postgres", "shop")
    with connect(old) as session:
        session.execute("ALTER DATABASE shop CONNECTION LIMIT 0")
        stack.ok("rotate", "shop", "--now")
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    stack.ok("up")
    assert not lets_in("postgres", {"POSTGRES_URL": old})
    assert lets_in("postgres", settings(stack, "shop"))


def test_an_open_transaction_of_one_app_stops_no_rotation(stack: Cli) -> None:
    before = settings(stack, "other")
    with psycopg.connect(second(stack, "shop")) as holds, connect(before["POSTGRES_URL"]) as works:
        holds.execute("SET idle_in_transaction_session_timeout = 0")
        holds.execute("ALTER ROLE CURRENT_USER PASSWORD 'x'")
        stack.ok("rotate", "other", "shop", "--now", "--instance", "postgres")
        with pytest.raises(psycopg.OperationalError):
            holds.execute("SELECT 1")
        holds.close()
        with pytest.raises(psycopg.OperationalError):
            works.execute("SELECT 1")
    assert not lets_in("postgres", before)
    assert all(lets_in("postgres", settings(stack, app)) for app in ("other", "shop"))


@pytest.mark.parametrize("place", ["ROLE CURRENT_USER", "DATABASE shop"])
def test_a_library_that_there_is_not_does_not_stop_it(stack: Cli, place: str) -> None:
    with connect(second(stack, "shop")) as session:
        session.execute(f"ALTER {place} SET local_preload_libraries = 'nowhere'")
    assert stack.json("rotate", "shop", "--now")["done"] == ["postgres_shop"]
    assert lets_in("postgres", settings(stack, "shop"))
    assert stack.json("plan")["steps"] == []
