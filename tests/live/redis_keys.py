"""Known keys for the tests of `mngdb keys`."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.checks.test_redis_checks import Server, started
from tests.conftest import Cli

USERS, SESSIONS = 3000, 2000
ODD = [b"line\nbreak:1", b"\xff\xfe\x00raw:7", "사용자:1".encode()]
ODD += [b"*2\r\n$4\r\nPING\r\n", b"-ERR"]


def fill(client: Any) -> None:
    """Keys of all types in two databases."""
    rnd = random.Random(7)
    pipe = client.pipeline(transaction=False)
    for n in range(USERS):
        pipe.set(f"user:{n}:name", "x" * rnd.randint(1, 400))
        pipe.rpush(f"user:{n}:cart", *range(1, 2 + n % 30))
    for _ in range(SESSIONS):
        pipe.set(f"session:{uuid.UUID(int=rnd.getrandbits(128))}", "y" * 200, ex=9000)
    for n in range(500):
        pipe.hset(f"hash:{n}", mapping={f"field{i}": "v" * i for i in range(1 + n % 40)})
        pipe.zadd(f"board:{n}", {f"member{i}": i * 1.5 for i in range(1 + n % 200)})
        pipe.sadd(f"tags:v2:{n}", *(f"t{i}" for i in range(1 + n % 200)))
        pipe.sadd(f"numbers:{n}", *range(1, 2 + n % 50))
    for name in ODD:
        pipe.set(name, "odd")
    pipe.set("", "a name of no bytes")
    pipe.execute()
    pipe.execute_command("SELECT", 3)
    for n in range(200):
        pipe.set(f"third:{n}", "z")
    pipe.xadd("events", {"a": "b"})
    pipe.execute_command("SELECT", 0)
    pipe.execute()


def patterns(report: Any) -> dict[str, Any]:
    return {one["pattern"]: one for one in report["patterns"]}


def filled() -> Any:
    """A fixture for one module: a server that has the keys of `fill`."""

    @pytest.fixture(scope="module")
    def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
        with started(Cli(tmp_path_factory.mktemp("keys")), "--save", "") as found:
            with found.client() as client:
                fill(client)
            yield found

    return server
