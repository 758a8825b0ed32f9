"""What one login costs the rotation of the others: nothing. What an old password opened ends."""

from __future__ import annotations

import json
import time

import pytest
import redis

from mngdb.ops.rotate.note import Entry, Phase, entries, keep
from tests.conftest import Cli
from tests.live.clients import redis_as
from tests.live.faults import killed_when

pytestmark = pytest.mark.live

STACK = """\
postgres: {port: PORT1, memory: 64mb}
redis: {port: PORT2, memory: 64mb}
agent: false
apps:
  shop: {postgres: shop, redis: "shop:*"}
  evil: {postgres: evil, redis: "evil:*"}
"""


@pytest.fixture(scope="module")
def stack(module_cli: Cli) -> Cli:
    module_cli.write(STACK)
    module_cli.ok("up")
    return module_cli


def test_logins_that_left_the_file_end_and_the_others_go_on(stack: Cli) -> None:
    now = time.time()
    phases: tuple[Phase, ...] = ("opening", "publishing", "waiting", "withdrawing")
    places = [("redis", "left"), ("postgres", "left"), ("cache", "shop"), ("cache", "admin")]
    gone = [
        Entry(f"{place}_{login}{number}", place, login, phase, now, 900.0, now)
        for place, login in places
        for number, phase in enumerate(phases)
    ]
    keep(stack.state, gone)
    done = stack.json("rotate", "shop", "--now")
    assert (sorted(done["done"]), done["errors"]) == (["postgres_shop", "redis_shop"], {})
    stack.ok("rotate", "--due")
    # of an administrator either password may be the right one until the server is back
    assert [*entries(stack.state)] == ["cache_admin1"]
    (stack.state / "rotation.json").write_text(json.dumps([]))


@pytest.mark.parametrize("words", [("--now",), ("--grace", "1s")], ids="-".join)
def test_redis_what_the_old_password_opens_after_the_publication_ends(
    stack: Cli, words: tuple[str, ...]
) -> None:
    command = ("rotate", "shop", "--instance", "redis")
    with redis_as(stack, "shop") as old, redis_as(stack, "evil") as other:
        mine = other.client_id()
        killed_when(stack, "published", *command)
        old.ping()
        assert stack.json(*command, *words)["done"] == ["redis_shop"]
        with pytest.raises(redis.ConnectionError):
            old.ping()
        assert other.client_id() == mine
