"""Several servers of one engine in a stack, and an app that uses them all."""

from __future__ import annotations

import pytest
import redis
from pymongo.errors import OperationFailure

from tests.conftest import Cli
from tests.live.clients import brought_up, mongo_as, planned, problems, redis_as

pytestmark = pytest.mark.live

FILE = """
redis: {port: PORT1}
mongodb: {port: PORT2}
instances:
  job-queue: {engine: redis, port: PORT3, eviction: noeviction}
  archive: {engine: mongodb, port: PORT4}
apps:
  worker: {redis: "cache:*", job-queue: "jobs:*", mongodb: live, archive: old}
"""


stack = brought_up(FILE)


def test_every_instance_runs_and_nothing_is_left_to_do(stack: Cli) -> None:
    units = stack.json("status")["units"]
    assert {u["name"] for u in units if u["healthy"]} == {
        "mng-redis",
        "mng-mongo",
        "mng-job-queue",
        "mng-archive",
    }
    assert planned(stack) == []
    assert problems(stack, "worker") == dict.fromkeys(["redis", "mongodb", "job-queue", "archive"])


def test_variables_bear_the_instances_names(stack: Cli) -> None:
    env = stack.env_of("worker")
    assert (env["REDIS_PORT"], env["JOB_QUEUE_PORT"]) == (str(stack.port(1)), str(stack.port(3)))
    assert (env["MONGO_PORT"], env["ARCHIVE_PORT"]) == (str(stack.port(2)), str(stack.port(4)))
    assert (env["MONGO_DATABASE"], env["ARCHIVE_DATABASE"]) == ("live", "old")
    secrets = [v for k, v in env.items() if k.endswith("_PASSWORD")]
    assert len(set(secrets)) == 4
    with redis.Redis.from_url(env["JOB_QUEUE_URL"], socket_timeout=60) as queue:
        assert queue.lpush("jobs:1", "x") >= 1


def test_rights_hold_for_their_own_instance_only(stack: Cli) -> None:
    with redis_as(stack, "worker") as cache, redis_as(stack, "worker", "job-queue") as queue:
        assert cache.set("cache:1", "x")
        with pytest.raises(redis.exceptions.NoPermissionError):
            cache.set("jobs:1", "x")
        with pytest.raises(redis.exceptions.NoPermissionError):
            queue.set("cache:1", "x")
    with mongo_as(stack, "worker", "archive") as archive:
        archive.old.things.insert_one({})
        with pytest.raises(OperationFailure):
            archive.live.things.insert_one({})


def test_settings_and_memory_are_each_instances_own(stack: Cli) -> None:
    with redis_as(stack) as cache, redis_as(stack, None, "job-queue") as queue:
        assert cache.config_get("maxmemory-policy") == {"maxmemory-policy": "allkeys-lru"}
        assert queue.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        limits = [int(c.config_get("maxmemory")["maxmemory"]) for c in (cache, queue)]
        assert 0 < sum(limits) < cache.info("memory")["total_system_memory"]
