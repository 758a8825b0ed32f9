"""What apps load into a Redis beside keys is named where memory is full, with what helps."""

from __future__ import annotations

import json
import threading

import pytest
import redis

from tests.checks.judge import one
from tests.checks.mongods import until
from tests.conftest import Cli
from tests.live.clients import brought_up, redis_as

pytestmark = pytest.mark.live

FILE = """
instances: {queue: {engine: redis, port: PORT1, memory: 64mb, eviction: allkeys-lru}}
apps: {shop: {queue: "shop:*"}, other: {queue: "other:*"}}
"""
FLUSH = "mngdb shell queue -- SCRIPT FLUSH"
stack = brought_up(FILE)


def test_full_of_scripts_doctor_names_them_and_its_command_helps(stack: Cli) -> None:
    with redis_as(stack, "shop", "queue") as shop:
        for number in range(60):
            shop.script_load(f"return '{number}{'x' * (1 << 20)}'")
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            shop.set("shop:a", 1)
    first = json.loads(stack.run("--json", "doctor").stdout)["cause"]
    assert "MB of it are scripts that apps loaded" in first["text"]
    assert first["command"].startswith(FLUSH)
    told = stack.run("doctor", "other")
    assert "scripts that apps loaded" in told.stdout + told.stderr
    assert FLUSH in told.stdout + told.stderr
    found = one(stack, "redis.memory-used")
    assert (found.verdict, found.remedy.startswith(FLUSH)) == ("fail", True)
    assert "scripts that apps loaded" in found.evidence
    assert FLUSH in stack.ok("memory", "queue")
    stack.ok(*FLUSH.split()[1:])
    stack.ok("doctor", "other")
    assert one(stack, "redis.memory-used").verdict == "pass"


def test_a_script_without_end_is_told_with_the_instances_name(stack: Cli) -> None:
    with redis_as(stack, instance="queue") as admin, redis_as(stack, "shop", "queue") as shop:
        admin.config_set("busy-reply-threshold", 50)
        endless = threading.Thread(target=_loop, args=[shop])
        endless.start()
        try:
            until(lambda: _busy(admin))
            for command in (["doctor"], ["doctor", "shop"], ["slow"], ["keys", "queue"], ["up"]):
                done = stack.run(*command)
                assert done.returncode != 0
                assert "mngdb shell queue -- SCRIPT KILL" in done.stdout + done.stderr, command
        finally:
            stack.ok("shell", "queue", "--", "SCRIPT", "KILL")
            endless.join()
    stack.ok("up")


def _busy(client: redis.Redis) -> bool:
    try:
        return not client.ping()
    except redis.ResponseError as error:
        return "BUSY" in str(error)


def _loop(client: redis.Redis) -> None:
    with pytest.raises(redis.ResponseError, match="killed"):
        client.eval("while true do end", 0)
