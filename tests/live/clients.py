"""Plain drivers, connected as users connect them, and what the tests ask through them."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from mngdb.ops import access
from mngdb.ops.context import Context
from mngdb.spec.load import load
from tests.conftest import Cli

Step = tuple[str, str]


def brought_up(text: str) -> Any:
    """A fixture for one module: the stack of this file, up, for tests that only look."""

    @pytest.fixture(scope="module")
    def stack(module_cli: Cli) -> Cli:
        module_cli.write(text)
        module_cli.ok("up")
        return module_cli

    return stack


def url(cli: Cli, instance: str, app: str | None = None) -> str:
    """What `mngdb url` prints, without a process for it."""
    environ = cli.environ()
    found = Context.open(load([cli.folder / "mngdb.yaml"], environ), environ)
    return access.url(found, instance, app)


@contextlib.contextmanager
def redis_as(cli: Cli, app: str | None = None, instance: str = "redis") -> Iterator[Any]:
    """redis-py from the URL alone; without an app as the administrator."""
    client = redis.Redis.from_url(url(cli, instance, app), decode_responses=True, socket_timeout=60)
    with contextlib.closing(client):
        yield client


def contents(folder: Path) -> dict[Path, bytes]:
    """The files of a server below 10 MB; it removes and renames some meanwhile."""
    found = {}
    for at, _, names in os.walk(folder):
        for path in (Path(at) / name for name in names):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file() and path.stat().st_size < 1e7:
                    found[path] = path.read_bytes()
    return found


def logs_in(redis_url: str) -> bool:
    """Whether Redis takes this login, tried once."""
    at_once = Retry(NoBackoff(), 0)
    with redis.Redis.from_url(redis_url, retry=at_once, socket_timeout=60) as client:
        try:
            return bool(client.ping())
        except redis.AuthenticationError:
            return False


@contextlib.contextmanager
def mongo_as(cli: Cli, app: str | None = None, instance: str = "mongodb") -> Iterator[Any]:
    """pymongo from the URL alone; without an app as the administrator."""
    client: Any = pymongo.MongoClient(url(cli, instance, app), serverSelectionTimeoutMS=30_000)
    with contextlib.closing(client):
        yield client


def work(cli: Cli, *command: str) -> float:
    """Processor seconds of a command that has to succeed, with the processes that it waited for.

    Unlike the time that passes, it says the same on a machine that does much else.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    # started by us: a fork's time would be another process's
    subprocess.run(
        cli.argv(*command), cwd=cli.folder, env=cli.environ(), capture_output=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def planned(cli: Cli) -> list[Step]:
    """Action and object of each step that `plan` shows, but for what is published to apps."""
    steps = cli.json("plan")["steps"]
    return [(step["action"], step["object"]) for step in steps if step["instance"] != "vault"]


def converge(cli: Cli, *options: str) -> list[dict[str, Any]]:
    """`plan` and `up` with `options`, then `plan`: up does what the first showed, the second is
    empty. The steps, but for what is published to apps."""
    steps: list[dict[str, Any]] = cli.json("plan", *options)["steps"]
    report = cli.json("up", *options)
    assert [(s["action"], s["object"]) for s in report["steps"]] == [
        (s["action"], s["object"]) for s in steps
    ]
    assert planned(cli) == []
    return [step for step in steps if step["instance"] != "vault"]


def said(steps: list[dict[str, Any]]) -> list[Step]:
    """Action and object of steps."""
    return [(step["action"], step["object"]) for step in steps]


def problems(cli: Cli, app: str) -> dict[str, str | None]:
    """Instance to what `doctor` says of it."""
    found = json.loads(cli.run("--json", "doctor", app).stdout)
    return {one["instance"]: one["problem"] for one in found["instances"]}


def set_secret(cli: Cli, name: str, value: str) -> None:
    """Change a secret in the vault."""
    cli.ok("secret", "set", name, stdin=value)
