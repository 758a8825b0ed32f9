"""An app that logs in by its password alone: the user `default` of its Redis (mng-db 6.1 and 8)."""

from __future__ import annotations

import threading

import pytest
import redis

from tests.conftest import Cli, each_server
from tests.live.clients import brought_up, converge, logs_in, redis_as, url

pytestmark = [pytest.mark.live, pytest.mark.redis]
server = each_server()

FILE = """
redis: {port: PORT1}
apps:
  legacy: {redis: {default: true}}
  chat: {redis: "chat:*"}
"""
stack = brought_up(FILE)


def test_the_password_is_enough_and_rules_nobody(stack: Cli) -> None:
    env = stack.env_of("legacy")
    assert env["REDIS_URL"].startswith(f"redis://:{env['REDIS_PASSWORD']}@")
    assert env["REDIS_USER"] == ""
    assert stack.run("doctor", "legacy").returncode == 0
    with redis_as(stack, "legacy") as client:
        assert client.acl_whoami() == "default"
        client.set("any", "1")
        for command in ("FLUSHALL", "KEYS *", "CONFIG GET *", "ACL LIST"):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command.split())
    checked = stack.json("check", "--only", "redis.default-user")
    assert [one["verdict"] for one in checked["findings"]] == ["pass"]


def test_what_others_wrote_in_transactions_survives_a_restart(stack: Cli) -> None:
    with redis_as(stack, "chat") as chat:
        chat.pipeline().set("chat:1", "x").incr("chat:n").execute()
        chat.eval("redis.call('SET', KEYS[1], 'y')", 1, "chat:2")
    stack.ok("restart", "redis")
    with redis_as(stack, "legacy") as client:
        assert client.mget("chat:1", "chat:2", "chat:n") == ["x", "y", "1"]


def test_a_rotation_waits_for_its_sessions_and_ends_them(stack: Cli) -> None:
    before = url(stack, "redis", "legacy")
    ended = threading.Event()

    def ping() -> None:
        with redis.Redis.from_url(before, single_connection_client=True) as client:
            client.ping()
            try:
                while not ended.wait(0.1):
                    client.ping()
            except redis.exceptions.RedisError:
                ended.set()

    thread = threading.Thread(target=ping)
    thread.start()
    try:
        stack.ok("rotate", "legacy", "--now")
        assert ended.wait(20)
    finally:
        ended.set()
        thread.join()
    assert not logs_in(before)
    assert logs_in(url(stack, "redis", "legacy"))


def test_it_is_off_again_when_the_app_has_a_name(stack: Cli) -> None:
    nameless = url(stack, "redis", "legacy")
    stack.write(FILE.replace("{default: true}", '"legacy:*"'))
    converge(stack)
    assert not logs_in(nameless)
    assert logs_in(url(stack, "redis", "legacy"))
