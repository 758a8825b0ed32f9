"""ioredis and node-redis, with TLS and without."""

from __future__ import annotations

import pytest

from tests.clients.apps import nothing_refused
from tests.clients.languages import node, node_version
from tests.clients.record import record
from tests.conftest import Cli
from tests.debian import redis_folder

pytestmark = pytest.mark.live

FILE = """
redis: {port: PORT1MORE}
apps:
  shop: {redis: "shop:*"}
"""


@pytest.mark.parametrize("tls", [False, True])
def test_the_plain_drivers(cli: Cli, tls: bool) -> None:
    more = f", version: 7, tls: true}}\nbinaries: {{redis: {redis_folder()}}}" if tls else "}"
    cli.write(FILE.replace("MORE}", more))
    cli.ok("up")
    with nothing_refused(cli):
        node("drivers_redis", cli.env_of("shop"))
    if tls:
        did = "strings, transactions, scripts, pub/sub, streams, blocking reads; TLS and without"
        record("ioredis", node_version("ioredis"), "redis", did)
        record("node-redis", node_version("redis"), "redis", did)
