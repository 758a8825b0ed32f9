"""Spring's Redis libraries, Redisson, Jedis and Lettuce."""

from __future__ import annotations

import pytest

from tests.clients.apps import side_by_side
from tests.clients.languages import java, java_version
from tests.clients.record import record
from tests.conftest import Cli
from tests.live.clients import brought_up

pytestmark = pytest.mark.live

FILE = """
redis: {port: PORT1}
instances:
  cache: {engine: redis, port: PORT2}
  own: {engine: redis, port: PORT3}
  work: {engine: redis, port: PORT4}
apps:
  data1: {redis: {keys: "data1:*", for: spring-data, patterns: ["data1:events:*"]}}
  data2: {redis: {keys: "data2:*", for: spring-data, patterns: ["data2:events:*"]}}
  cache1: {cache: {keys: "cache1:*", for: spring-cache}}
  cache2: {cache: {keys: "cache2:*", for: spring-cache}}
  cleared: {own: {keys: "cleared:*", for: spring-cache}}
  session1: {redis: {keys: "session1:*", for: spring-session}}
  session2: {redis: {keys: "session2:*", for: spring-session}}
  lock1: {redis: {keys: "lock1:*", for: redisson, patterns: ["lock1:news*"]}}
  lock2: {redis: {keys: "lock2:*", for: redisson, patterns: ["lock2:news*"]}}
  worker: {work: {for: redisson}}
  plain1: {redis: "plain1:*"}
  plain2: {redis: "plain2:*"}
"""
stack = brought_up(FILE)


def test_spring_data_with_a_pattern_topic(stack: Cli) -> None:
    side_by_side(stack, "data1", "data2", run=lambda env: java("Spring", env, "data"))
    did = "RedisTemplate, ChannelTopic, PatternTopic, streams, scripts, transactions; over Lettuce"
    record("Spring Data Redis", java_version("spring-data-redis"), "redis", did)


def test_spring_cache_cleared_by_scan(stack: Cli) -> None:
    def run(env: dict[str, str]) -> None:
        java("Spring", env, "cache", "scan")

    side_by_side(stack, "cache1", "cache2", run=run, instance="cache")
    version, did = java_version("spring-data-redis"), "put, get, evict, clear"
    record("Spring Cache", version, "redis", did, "works with BatchStrategies.scan")


def test_spring_cache_cleared_by_keys_on_an_instance_of_its_own(stack: Cli) -> None:
    side_by_side(stack, "cleared", run=lambda env: java("Spring", env, "cache"), instance="own")
    version, did = java_version("spring-data-redis"), "clear with KEYS, its default"
    record("Spring Cache", version, "redis", did, "works on an instance of its own")


def test_spring_session_indexed(stack: Cli) -> None:
    side_by_side(stack, "session1", "session2", run=lambda env: java("Spring", env, "session"))
    did = "indexed repository: find by principal, events of created, deleted, expired sessions"
    record("Spring Session", java_version("spring-session-data-redis"), "redis", did)


def test_redisson(stack: Cli) -> None:
    side_by_side(stack, "lock1", "lock2", run=lambda env: java("Redisson", env))
    did = "locks, semaphores, maps, topics, queues, rate limiter, Bloom filter"
    record("Redisson", java_version("redisson"), "redis", did, "works with a NameMapper")


def test_redisson_without_a_prefix_on_an_instance_of_its_own(stack: Cli) -> None:
    def run(env: dict[str, str]) -> None:
        java("Redisson", env, "executor")

    side_by_side(stack, "worker", run=run, instance="work")
    did = "the same without a NameMapper, and ExecutorService"
    result = "works on an instance of its own"
    record("Redisson", java_version("redisson"), "redis", did, result)


def test_jedis_and_lettuce(stack: Cli) -> None:
    side_by_side(stack, "plain1", "plain2", run=lambda env: java("Drivers", env))
    did = "strings, transactions, scripts, pub/sub, streams, scans"
    record("Jedis", java_version("jedis"), "redis", did)
    record("Lettuce", java_version("lettuce-core"), "redis", did)
