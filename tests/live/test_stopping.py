"""Servers that do not stop: it is told why within seconds, and Ctrl-C ends the wait."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import psycopg
import pytest
import redis

from tests.conftest import Cli
from tests.live import faults

pytestmark = pytest.mark.live

_FILE = """
redis: {port: PORT1, settings: {busy-reply-threshold: 100}}
postgres: {port: PORT2}
apps: {shop: {redis: "shop:*", postgres: shop}}
"""
_ENDLESS = "redis.call('set', KEYS[1], 1) while true do end"
_UNITS = {"redis": "mng-redis", "postgres": "mng-pg"}


@pytest.fixture
def stack(cli: Cli) -> Cli:
    cli.write(_FILE)
    cli.ok("up")
    return cli


def _busy(cli: Cli) -> None:
    """An app's script that has written, and does not end."""
    url = cli.env_of("shop")["REDIS_URL"]
    with (
        redis.Redis.from_url(url, socket_timeout=1) as shop,
        contextlib.suppress(redis.TimeoutError),
    ):
        shop.eval(_ENDLESS, 1, "shop:x")


@contextlib.contextmanager
def _kept_back(cli: Cli, name: str) -> Iterator[None]:
    """A server that does not stop when it is asked to."""
    if name == "redis":
        _busy(cli)
        yield
    else:
        with psycopg.connect(cli.env_of("shop")["POSTGRES_URL"]) as shop:
            halted = shop.info.backend_pid
            os.kill(halted, signal.SIGSTOP)
            try:
                yield
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(halted, signal.SIGCONT)


def _interrupted(cli: Cli, *words: str) -> tuple[str, float]:
    """What a command tells until it says what it waits for, and when it is interrupted then; and
    how many seconds it takes to end."""
    process = subprocess.Popen(
        cli.argv(*words), cwd=cli.folder, env=cli.environ(), stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "waiting for it to stop" in line:
                break
        asked = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)
        told = "".join(lines) + rest
        assert process.returncode == 130, told
        return told, time.monotonic() - asked
    finally:
        process.kill()


@pytest.mark.parametrize("command", ["down", "restart"])
@pytest.mark.parametrize("name", ["redis", "postgres"])
def test_a_server_that_does_not_stop_is_explained_and_ctrl_c_ends_the_wait(
    stack: Cli, name: str, command: str
) -> None:
    unit = _UNITS[name]
    pid = faults.pid(stack, unit)
    with _kept_back(stack, name):
        told, seconds = _interrupted(stack, command, name)
        assert seconds < 3, told
        line = next(one for one in told.splitlines() if "waiting for it to stop" in one)
        assert line.startswith(unit)
        assert ("SHUTDOWN NOSAVE" if name == "redis" else "its log ends with: LOG:") in line
        if name == "redis":
            os.kill(pid, signal.SIGKILL)


def test_destroy_waits_for_servers_and_kills_only_what_does_not_stop(stack: Cli) -> None:
    """PostgreSQL stops while it is waited for, Redis never does."""
    seconds = 8
    code = f"from mngdb import __main__; from mngdb.ops import down; down.LAST = {seconds}"
    pid = faults.pid(stack, "mng-pg")
    with contextlib.ExitStack() as held, _kept_back(stack, "redis"):
        held.enter_context(_kept_back(stack, "postgres"))
        every = psutil.Process(pid).children()
        lines = []
        with subprocess.Popen(
            [sys.executable, "-c", f"{code}; __main__.run()", "destroy", "--yes", "mng"],
            cwd=stack.folder, env=stack.environ(), stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stderr
            for line in process.stderr:
                lines.append(line)
                if line.startswith("mng-pg") and "waiting for it to stop" in line:
                    held.close()
        assert process.returncode == 0, lines
    told = "".join(lines)
    assert f"waiting for it to stop ({seconds - 3} s left)" in told
    said = {name: [one for one in lines if one.startswith(name)] for name in _UNITS.values()}
    assert any(f"did not stop within {seconds} s: killed" in one for one in said["mng-redis"]), told
    assert not any("killed" in one for one in said["mng-pg"]), told
    assert not stack.state.exists()
    assert not any(faults.runs(one.pid) for one in every)
