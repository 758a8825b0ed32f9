"""A script that does not end keeps Redis from answering: doctor names the command that ends it."""

from __future__ import annotations

import re
import shlex
import threading
import time
from collections.abc import Callable

import pytest
import redis

from tests.conftest import Cli
from tests.live.clients import redis_as

pytestmark = [pytest.mark.live, pytest.mark.redis]

_FILE = """
name: mng
redis: {port: PORT1, memory: 64mb}
apps: {shop: {redis: "shop:*"}}
"""
_LIBRARY = """#!lua name=mylib
redis.register_function('forever', function() while true do end end)
"""


@pytest.fixture
def stack(cli: Cli) -> Cli:
    cli.write(_FILE)
    cli.ok("up")
    with redis_as(cli) as admin:
        admin.config_set("busy-reply-threshold", 50)
        admin.function_load(_LIBRARY)
    return cli


def _ask(cli: Cli, app: str | None, *command: str | int) -> None:
    """One command on a connection of its own, which is not tried again when it breaks."""
    with redis_as(cli, app) as client:
        connection = client.connection_pool.get_connection()
        try:
            connection.send_command(*command)
            connection.read_response()
        finally:
            connection.disconnect()


def _script(cli: Cli) -> None:
    _ask(cli, "shop", "EVAL", "while true do end", 0)


def _writing(cli: Cli) -> None:
    script = "redis.call('set', KEYS[1], 1) while true do end"
    _ask(cli, "shop", "EVAL", script, 1, "shop:x")


def _function(cli: Cli) -> None:
    _ask(cli, None, "FCALL", "forever", 0)


def _busy(cli: Cli) -> bool:
    try:
        with redis_as(cli) as admin:
            admin.ping()
    except redis.RedisError as error:
        return "BUSY" in str(error)
    return False


@pytest.mark.parametrize(
    ("run", "command"),
    [(_script, "SCRIPT KILL"), (_function, "FUNCTION KILL"), (_writing, "SHUTDOWN NOSAVE")],
)
def test_doctor_names_the_command_that_ends_it(
    stack: Cli, run: Callable[[Cli], None], command: str
) -> None:
    def end() -> None:
        with pytest.raises(redis.RedisError):
            run(stack)

    thread = threading.Thread(target=end)
    thread.start()
    while not _busy(stack):
        time.sleep(0.02)
    done = stack.run("doctor")
    text = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 1
    assert "that does not finish" in text
    assert "that does not finish" in stack.run("status").stderr
    commands = re.findall(r"mngdb (shell redis -- [A-Z]+ [A-Z]+)", text)
    assert f"shell redis -- {command}" in commands
    for one in dict.fromkeys(commands):
        said = stack.run(*shlex.split(one)).stdout
        if "UNKILLABLE" not in said:
            break
    thread.join(20)
    assert not thread.is_alive()
    stack.ok("up")
    assert stack.run("doctor").returncode == 0
