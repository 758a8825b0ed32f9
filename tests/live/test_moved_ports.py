"""A port and something else change in one edit of the file: all of it is planned."""

from __future__ import annotations

import pytest

from tests.conftest import Cli
from tests.live.clients import planned, said

pytestmark = pytest.mark.live

FILE = """
postgres: {port: PORT1, memory: 128mb}
redis: {port: PORT2, memory: 64mb}
mongodb: {port: PORT3}
apps:
  shop: {postgres: shop, redis: "shop:*", mongodb: shop}
"""
MORE = FILE + '  blog: {postgres: blog, redis: "blog:*", mongodb: blog}\n'
MOVED = FILE.replace("PORT1", "PORT4").replace("PORT2", "PORT5").replace("PORT3", "PORT6")


def test_what_else_changes_with_a_port_is_planned_too(cli: Cli) -> None:
    cli.write(MORE)
    cli.ok("up")
    cli.write(MOVED)
    steps = cli.json("plan")["steps"]
    done = cli.json("up")["steps"]
    # what Redis' own file of logins has by then needs no step
    assert set(said(done)) <= set(said(steps))
    assert planned(cli) == []
    restarted = {s["object"] for s in steps if s["action"] == "restart"}
    assert restarted == {"mng-pg", "mng-redis", "mng-mongo"}
    closed = {s["instance"] for s in steps if s["action"] == "revoke" and "blog" in s["object"]}
    assert closed == {"postgres", "redis", "mongodb"}, said(steps)
