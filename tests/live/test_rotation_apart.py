"""What one login costs the rotation of the others: nothing."""

from __future__ import annotations

import json
import time

import pytest

from mngdb.ops.rotate.note import Entry, Phase, entries, keep
from tests.conftest import Cli

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
