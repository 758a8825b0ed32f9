"""Tables with Korean names in them have straight columns."""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest

from tests.conftest import Cli
from tests.live.clients import brought_up, redis_as
from tests.live.scrapes import until

pytestmark = pytest.mark.live

stack = brought_up("""
postgres: {port: PORT1}
redis: {port: PORT2}
apps:
  shop: {postgres: 주문, redis: "shop:*"}
  other: {postgres: other}
""")


def cells(line: str) -> str:
    """A line with one character for each column of a terminal."""
    return "".join(c + "·" * (unicodedata.east_asian_width(c) == "W") for c in line)


def straight(text: str, head: str) -> list[str]:
    """The lines under a table's head, each of whose cells begins under its word."""
    lines = text.splitlines()
    top = next(number for number, line in enumerate(lines) if line.startswith(head))
    starts = [
        n for n, c in enumerate(lines[top]) if c != " " and lines[top][max(0, n - 2) : n].isspace()
    ]
    found = []
    for line in lines[top + 1 :]:
        if not line:
            break
        for start in starts:
            assert cells(line)[start - 2 : start] == "  ", text
            assert cells(line)[start] != " ", text
        found.append(line)
    assert len(starts) > 2
    return found


def test_keys(stack: Cli) -> None:
    with redis_as(stack, "shop") as client:
        for number in range(30):
            client.set(f"shop:주문:{number}", "x")
            client.set(f"shop:장바구니:{number}", "y")
            client.set(f"shop:cart:{number}", "z")
        client.set("shop:주문:목록", "x" * 5000)
    text = stack.ok("keys", "redis")
    patterns = straight(text, "PATTERN")
    assert [line.split()[0] for line in patterns if "장바구니" in line]
    assert [line for line in straight(text, "BIGGEST") if "주문" in line]


@pytest.fixture
def queries(stack: Cli) -> Iterator[None]:
    """A session on each database that does something for a long time, under long names."""
    threads = []
    connections = []
    for app in ("shop", "other"):
        connection = psycopg.connect(stack.env_of(app)["POSTGRES_URL"], autocommit=True)
        connections.append(connection)

        def run(connection: psycopg.Connection[object] = connection) -> None:
            names = ", ".join(f'1 AS "아주_긴_이름의_열_{number}"' for number in range(9))
            with suppress(psycopg.Error):
                connection.execute(f"SELECT {names}, pg_sleep(600)".encode())

        threads.append(threading.Thread(target=run))
        threads[-1].start()
    yield
    for connection in connections:
        connection.cancel_safe()
    for thread in threads:
        thread.join()
    for connection in connections:
        connection.close()


@pytest.mark.usefixtures("queries")
def test_sessions(stack: Cli) -> None:
    until(lambda: stack.ok("sessions", "postgres").count("아주_긴_이름의") > 1)
    text = stack.ok("sessions", "postgres")
    rows = straight(text, "INSTANCE")
    assert [line for line in rows if " 주문 " in line]
    what = text.splitlines()[0].index("WHAT")
    longest = max(len(cells(line)) - what for line in rows)
    assert 58 <= longest <= 60
    assert [line for line in rows if line.endswith("…")]
