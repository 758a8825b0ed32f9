"""Projects in folders that are moved, copied and removed, each with a Redis that has a key."""

from __future__ import annotations

import subprocess

import psutil
import redis

from tests.conftest import Cli
from tests.live import faults


def put(cli: Cli, key: str) -> None:
    """Write a key as the app, and wait until it is in the server's log."""
    with redis.Redis.from_url(cli.env_of("shop")["REDIS_URL"], socket_timeout=60) as client:
        client.set(f"shop:{key}", key)
    url = cli.ok("url", "redis").strip()
    with redis.Redis.from_url(url, decode_responses=True, socket_timeout=60) as admin:
        faults.written(admin)


def keys(cli: Cli) -> set[str]:
    """The keys that the stack of a folder has."""
    with redis.Redis.from_url(cli.env_of("shop")["REDIS_URL"], socket_timeout=60) as client:
        return {key.decode().removeprefix("shop:") for key in client.scan_iter("shop:*")}


def begun(cli: Cli) -> Cli:
    """A Redis with a key, in a folder below the test's own."""
    cli.folder = cli.folder / "a"
    cli.folder.mkdir()
    cli.write(faults.REDIS)
    cli.ok("up")
    put(cli, "one")
    return cli


def beside(stack: Cli, name: str = "b") -> Cli:
    """The same command line in another folder beside the stack's."""
    found = Cli(stack.folder.with_name(name), stack.env)
    found._ports = stack._ports
    return found


def copied(stack: Cli, name: str = "b") -> Cli:
    found = beside(stack, name)
    subprocess.run(["cp", "-a", stack.folder, found.folder], check=True)
    return found


def refusal(cli: Cli, *words: str) -> str:
    """What is said by a command that is refused as wrong usage."""
    done = cli.run(*words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(done.stderr.strip().splitlines()) == 2, done.stderr
    return done.stderr


def untouched(stack: Cli, pid: int) -> None:
    """The stack runs as before, by the same process, with its key."""
    assert faults.pid(stack, "mng-redis") == pid
    assert psutil.pid_exists(pid)
    assert keys(stack) == {"one"}
    assert stack.run("plan", "--exit-code").returncode == 0
