"""A stack of one Redis, whose restore is quick, with a snapshot of `first` and `second` since."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis import Redis

from tests.conftest import Cli
from tests.live.clients import url

FILE = """
agent: false
redis: {port: PORT1, memory: 64 MB}
apps: {shop: {redis: "shop:*"}}
backup: {store: STORE}
"""


@contextmanager
def one_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """The stack, which is destroyed at the end."""
    found = Cli(tmp_path_factory.mktemp("stack"))
    found.write(FILE.replace("STORE", str(tmp_path_factory.mktemp("store"))))
    try:
        found.ok("up")
        put(found, "first")
        found.ok("backup")
        put(found, "second")
        yield found
    finally:
        found.ok("destroy", "--yes", "mng")


def client(cli: Cli, instance: str = "redis") -> Redis:
    """As the app."""
    return Redis.from_url(url(cli, instance, "shop"), decode_responses=True)


def put(cli: Cli, value: str) -> None:
    """Write the app's value."""
    with client(cli) as redis:
        redis.set("shop:value", value)


def get(cli: Cli) -> Any:
    """The app's value."""
    with client(cli) as redis:
        return redis.get("shop:value")
