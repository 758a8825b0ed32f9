"""Node's queues, sessions, rate limiters and socket.io."""

from __future__ import annotations

from functools import partial

import pytest

from tests.clients.apps import side_by_side
from tests.clients.languages import node, node_version
from tests.clients.record import record
from tests.conftest import Cli
from tests.live.clients import brought_up

pytestmark = pytest.mark.live

FILE = """
redis: {port: PORT1}
instances:
  own: {engine: redis, port: PORT2}
apps:
  bull1: {redis: {keys: "bull1:*", for: bullmq}}
  bull2: {redis: {keys: "bull2:*", for: bullmq}}
  alone: {own: {keys: "alone:*", for: bullmq}}
  old1: {redis: {keys: "old1:*", for: bull}}
  old2: {redis: {keys: "old2:*", for: bull}}
  bee1: {redis: {keys: "bee1:*", for: bee-queue}}
  bee2: {redis: {keys: "bee2:*", for: bee-queue}}
  live1: {redis: {keys: "live1:*", for: socket.io}}
  live2: {redis: {keys: "live2:*", for: socket.io}}
  stream1: {redis: {keys: "stream1:*", for: socket.io-streams}}
  stream2: {redis: {keys: "stream2:*", for: socket.io-streams}}
  web1: {redis: {keys: "web1:*", for: [connect-redis, express-rate-limit]}}
  web2: {redis: {keys: "web2:*", for: [connect-redis, express-rate-limit]}}
  key1: {redis: "key1:*"}
  key2: {redis: "key2:*"}
"""
stack = brought_up(FILE)


def test_bullmq(stack: Cli) -> None:
    side_by_side(stack, "bull1", "bull2", run=partial(node, "bullmq"))
    did = "Queue, Worker, QueueEvents, FlowProducer, job schedulers, limiter, obliterate"
    record("BullMQ", node_version("bullmq"), "redis", did)


def test_bullmq_counts_its_workers_on_an_instance_of_its_own(stack: Cli) -> None:
    def run(env: dict[str, str]) -> None:
        node("bullmq", env | {"COUNT_WORKERS": "1"})

    side_by_side(stack, "alone", run=run, instance="own")
    result = "works on an instance of its own"
    record("BullMQ", node_version("bullmq"), "redis", "getWorkers()", result)


def test_bull_board_has_an_instance_of_its_own(stack: Cli) -> None:
    side_by_side(stack, "alone", run=partial(node, "bull_board"), instance="own")
    did = "a queue of BullMQ: jobs listed, tried again"
    result = "works on an instance of its own"
    record("bull-board", node_version("@bull-board/api"), "redis", did, result)


def test_bull(stack: Cli) -> None:
    side_by_side(stack, "old1", "old2", run=partial(node, "bull"))
    did = "jobs, retries, delayed and repeated jobs, progress by pub/sub, pause, clean, obliterate"
    record("Bull", node_version("bull"), "redis", did)


def test_bee_queue(stack: Cli) -> None:
    side_by_side(stack, "bee1", "bee2", run=partial(node, "bee_queue"))
    did = "jobs, retries, delayed jobs, progress and results by pub/sub, destroy"
    record("Bee-Queue", node_version("bee-queue"), "redis", did)


def test_socket_io(stack: Cli) -> None:
    side_by_side(stack, "live1", "live2", run=partial(node, "socket_io"))
    did = "two nodes: broadcast, rooms, fetchSockets, serverSideEmit; over ioredis and node-redis"
    version = node_version("@socket.io/redis-adapter")
    record("socket.io redis-adapter", version, "redis", did)


def test_socket_io_over_streams(stack: Cli) -> None:
    side_by_side(stack, "stream1", "stream2", run=partial(node, "socket_io_streams"))
    did = "two nodes: broadcast, fetchSockets, serverSideEmit, recovered sessions"
    version = node_version("@socket.io/redis-streams-adapter")
    record("socket.io redis-streams-adapter", version, "redis", did)


def test_keyv(stack: Cli) -> None:
    side_by_side(stack, "key1", "key2", run=partial(node, "keyv"))
    record("Keyv", node_version("@keyv/redis"), "redis", "values, iterator, clear")
    did = "wrap, values, clear; over Keyv"
    record("cache-manager", node_version("cache-manager"), "redis", did)


def test_redlock(stack: Cli) -> None:
    side_by_side(stack, "key1", "key2", run=partial(node, "redlock"))
    did = "locks: acquire, extend, release, using()"
    record("redlock", node_version("redlock"), "redis", did)
    record("redlock 4", node_version("redlock4"), "redis", "locks: lock, extend, unlock")


def test_sessions_and_rate_limiters(stack: Cli) -> None:
    side_by_side(stack, "web1", "web2", run=partial(node, "express"))
    record("connect-redis", node_version("connect-redis"), "redis", "sessions, all(), clear()")
    did = "limits, resetKey()"
    record("rate-limit-redis (express-rate-limit)", node_version("rate-limit-redis"), "redis", did)
    version = node_version("rate-limiter-flexible")
    record("rate-limiter-flexible", version, "redis", "consume, block, reward, delete")
