"""asynq, go-redis and rueidis."""

from __future__ import annotations

from functools import partial

import pytest

from tests.clients.apps import side_by_side
from tests.clients.languages import go, go_version
from tests.clients.record import record
from tests.conftest import Cli
from tests.live.clients import brought_up

pytestmark = pytest.mark.live

FILE = """
redis: {port: PORT1}
instances:
  own: {engine: redis, port: PORT2}
  cache: {engine: redis, port: PORT3}
apps:
  jobs: {own: {for: asynq}}
  cached: {cache: {keys: "cached:*", commands: ["+client|tracking"]}}
  web1: {redis: "web1:*"}
  web2: {redis: "web2:*"}
"""
stack = brought_up(FILE)


def test_asynq(stack: Cli) -> None:
    side_by_side(stack, "jobs", run=partial(go, "asynq"), instance="own")
    did = "tasks, retries, groups, unique and periodic tasks, inspector, cancellation"
    result = "works on an instance of its own"
    record("asynq", go_version("github.com/hibiken/asynq"), "redis", did, result)


def test_go_redis(stack: Cli) -> None:
    side_by_side(stack, "web1", "web2", run=partial(go, "redis"))
    did = "strings, pipelines, transactions, scripts, pub/sub, streams, scans"
    record("go-redis", go_version("github.com/redis/go-redis/v9"), "redis", did)


def test_rueidis(stack: Cli) -> None:
    side_by_side(stack, "web1", "web2", run=partial(go, "rueidis"))
    did = "strings, pipelines, transactions, scripts, pub/sub, streams, scans"
    record(
        "rueidis", go_version("github.com/redis/rueidis"), "redis", did, "works with DisableCache"
    )


def test_rueidis_caches_on_an_instance_of_its_own(stack: Cli) -> None:
    def run(env: dict[str, str]) -> None:
        go("rueidis", env, "cache")

    side_by_side(stack, "cached", run=run, instance="cache")
    did, result = "the same, and client-side caching", "works on an instance of its own"
    record("rueidis", go_version("github.com/redis/rueidis"), "redis", did, result)
