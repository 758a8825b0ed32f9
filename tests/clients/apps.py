"""Apps with the same software at the same time, and what Redis refused them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.conftest import Cli
from tests.live.clients import redis_as

Run = Callable[[dict[str, str]], object]


def at_once(cli: Cli, *apps: str, run: Run, reader: str) -> None:
    """Run a program for each of the apps, all at the same time, with the variables that `mngdb env
    APP --for READER` prints. Each has to succeed."""
    environments = [cli.json("env", app, "--for", reader) for app in apps]
    with ThreadPoolExecutor() as threads:
        list(threads.map(run, environments))


def side_by_side(cli: Cli, *apps: str, run: Run, instance: str = "redis") -> None:
    """The same with a Redis instance, whose variables are named as those of the default one. Redis
    may refuse them nothing."""

    def renamed(env: dict[str, str]) -> object:
        prefix = f"{instance.upper()}_"
        return run({name.replace(prefix, "REDIS_", 1): value for name, value in env.items()})

    with nothing_refused(cli, instance):
        at_once(cli, *apps, run=renamed, reader="shell")


@contextmanager
def nothing_refused(cli: Cli, instance: str = "redis") -> Iterator[None]:
    """A block after which Redis' log of refusals has to be empty."""
    with redis_as(cli, instance=instance) as admin:
        admin.acl_log_reset()
        yield
        refused = [f"{one['username']}: {one['reason']} {one['object']}" for one in admin.acl_log()]
    assert refused == [], refused
