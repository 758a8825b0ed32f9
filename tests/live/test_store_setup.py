"""A store that is set up wrongly, or away: what commands and the agent say, and what ends them."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from tests import buckets
from tests.conftest import Cli
from tests.live import faults
from tests.live.scrapes import pid_of, until

pytestmark = pytest.mark.live

FILE = """
redis: {port: PORT1, memory: 64 MB}
apps: {shop: {redis: "shop:*"}}
agent: AGENT
backup: {at: "AT", store: STORE, keep: {point_in_time: 0s}}
"""
AGENT = "{ports: {mngdb: PORT2, postgres: PORT3, redis: PORT4, mongodb: PORT5}}"
LOGIN = {"backup_access-key-id": buckets.ID, "backup_secret-access-key": buckets.SECRET}


def _written(cli: Cli, store: str, agent: str = "false", *, due: bool = False) -> None:
    at = datetime.now(UTC) + timedelta(minutes=-1 if due else -20)
    text = FILE.replace("STORE", store).replace("AGENT", agent)
    cli.write(text.replace("AT", f"{at:%H:%M}"))


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """A stack with a snapshot in a directory, whose file names a bucket now. Nobody is there."""
    found = Cli(tmp_path_factory.mktemp("stack"))
    _written(found, str(tmp_path_factory.mktemp("store")))
    try:
        found.ok("up")
        found.ok("backup")
        yield found
    finally:
        found.ok("destroy", "--yes", "mng")


def _bucket(port: int) -> str:
    return f"{{url: s3://bucket/team, endpoint: 'http://127.0.0.1:{port}', region: x}}"


def test_half_a_login_is_told_before_anything_is_done(cli: Cli) -> None:
    _written(cli, _bucket(cli.port(9)))
    cli.ok("secret", "set", "backup_access-key-id", stdin=buckets.ID)
    done = cli.run("backup")
    assert done.returncode == 2
    assert "incomplete: the vault has no backup_secret-access-key" in done.stderr
    assert "mngdb secret set backup_secret-access-key" in done.stderr


def test_who_waits_for_the_store_says_so_and_ends_with_the_agent(cli: Cli) -> None:
    for name, value in LOGIN.items():
        cli.ok("secret", "set", name, stdin=value)
    _written(cli, _bucket(cli.port(9)), AGENT, due=True)

    def children() -> list[psutil.Process]:
        every = psutil.process_iter(["cmdline"])  # a zombie has none
        words = (str(cli.folder), "take")
        return [
            one for one in every if all(w in " ".join(one.info["cmdline"] or ()) for w in words)
        ]

    def waits(times: int) -> bool:
        return cli.ok("logs", "agent").count("mngdb backup take redis: waiting: ") >= times

    cli.ok("up")
    until(lambda: waits(1))
    (child,) = children()
    second = cli.run("backup")
    assert second.returncode == 1
    why = f"127.0.0.1:{cli.port(9)}: Connection refused"
    assert f"mngdb backup (pid {child.pid}), which waits: " in second.stderr
    assert why in second.stderr
    assert why in cli.ok("logs", "agent")
    cli.ok("down")
    assert not children()
    shutil.rmtree(cli.state / "backup-runs")  # it would be tried again in a quarter of an hour
    cli.ok("up")
    until(lambda: waits(2))
    os.kill(pid_of(cli, "mng-agent"), signal.SIGKILL)
    until(lambda: not children(), 15)


def test_a_store_that_never_answered_is_not_waited_for_long(cli: Cli) -> None:
    _written(cli, _bucket(cli.port(9)))
    cli.ok("up")
    process = faults.begin(cli, "backup")
    begun = time.monotonic()
    assert process.stderr is not None
    first = process.stderr.readline()
    assert first.startswith("waiting: cannot write in s3://bucket/team: 127.0.0.1:")
    assert "trying again for at most" in first
    assert time.monotonic() - begun < 15
    process.kill()
    process.communicate()
