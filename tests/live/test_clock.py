"""A machine's clock that is set back, and one that passes daylight saving changes: real servers, a
real agent and real commands, all of them with libfaketime.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from mngdb.targets.local import programs
from tests import debian
from tests.conftest import EVERYTHING, Cli
from tests.live.clients import mongo_as, redis_as, url
from tests.live.postgres import value
from tests.live.scrapes import quick_agent, until
from tests.live.test_point_in_time import OPENED, archived, listed, said

pytestmark = pytest.mark.live

FILE = """
agent: {ports: {mngdb: PORT3, ENGINE: PORT2}}
ENGINE: {port: PORT1, memory: 512 MB}
apps: {shop: {ENGINE: APP}}
binaries: {ENGINE: PROGRAMS}
backup: {store: STORE, at: "AT", drill: {every: 3650d}, keep: {point_in_time: KEEP}}
"""
APPS = {"redis": '"shop:*"', "postgres": "shop", "mongodb": "shop"}
HOUR = 3600.0


class Clock:
    """The machine's, as all processes of a stack see it; how long things take is as ever."""

    def __init__(self, folder: Path) -> None:
        """In a folder where servers' accounts may go."""
        spec = importlib.util.find_spec("libfaketime")
        assert spec is not None
        assert spec.origin is not None
        (library,) = Path(spec.origin).parent.rglob("libfaketime.so.1")
        self._file = folder / "offset"
        self.env = {
            "LD_PRELOAD": str(shutil.copy(library, folder)),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "0",  # of whole seconds: it looks once in each
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.programs = folder / "programs"
        self.programs.mkdir()
        for engine, version in (("postgres", "17"), ("redis", "8"), ("mongodb", None)):
            server = Path(programs.find(engine, version, None, None).server)
            for path in server.parent.iterdir():
                (self.programs / path.name).symlink_to(path)
            self._wrap(server)
        self.offset = 0.0
        self.set(self.offset)

    def _wrap(self, server: Path) -> None:
        """A server gets no environment of ours."""
        wrapper = self.programs / server.name
        wrapper.unlink()
        env = "".join(f"export {name}={value}\n" for name, value in self.env.items())
        wrapper.write_text(f'#!/bin/sh\n{env}exec {server} "$@"\n')
        wrapper.chmod(0o755)

    def set(self, offset: float) -> None:
        """Seconds that it is before the true one. Returns once everybody sees it."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{offset:+f}")
        new.chmod(0o644)
        new.rename(self._file)
        self.offset = offset
        time.sleep(1.2)

    def say(self, moment: str) -> None:
        """Set it to a moment."""
        self.set(datetime.fromisoformat(moment).timestamp() - time.time())

    @property
    def now(self) -> float:
        return time.time() + self.offset


@pytest.fixture
def clock() -> Iterator[Clock]:
    folder = debian.cache() / f"clock-{os.getpid()}"
    folder.mkdir(parents=True)
    try:
        yield Clock(folder)
    finally:
        shutil.rmtree(folder)


def brought_up(
    cli: Cli, clock: Clock, engine: str, store: Path, at: str, keep: str = "24h"
) -> None:
    text = FILE.replace("ENGINE", engine).replace("APP", APPS[engine]).replace("AT", at)
    text = text.replace("KEEP", keep)
    cli.write(text.replace("PROGRAMS", str(clock.programs)).replace("STORE", str(store)))
    cli.env |= clock.env
    cli.ok("up")


def snapshots(store: Path, instance: str) -> int:
    return len(list(store.glob(f"mngdb-1/*/{instance}/*/manifest.json")))


def written(cli: Cli, engine: str) -> int:
    """The position of the server's log."""
    if engine == "postgres":
        return int(value(cli, "SELECT pg_current_wal_flush_lsn() - '0/0'"))
    if engine == "mongodb":
        with mongo_as(cli) as mongo:
            last = mongo.admin.command("hello")["lastWrite"]["opTime"]["ts"]
            return int(last.time << 32 | last.inc)
    with redis_as(cli) as redis:
        return int(redis.info("replication")["master_repl_offset"])


def stored(cli: Cli, engine: str) -> int:
    return int(json.loads((cli.state / "archive" / engine).read_text())["stored"])


def restored(cli: Cli, engine: str, *target: str) -> int:
    """How much there is in a server that is restored."""
    found = cli.json("restore", engine, *target)
    live = url(cli, engine, "shop")
    host = live.rpartition("@")[2].partition("/")[0]
    store = OPENED[engine](live.replace(host, found["address"]))
    with closing(store.client):
        count = int(store.count())
    cli.ok("restore", "--forget", engine)
    return count


@pytest.mark.parametrize("engine", ["redis", *["postgres", "mongodb"] * EVERYTHING])
def test_after_a_clock_was_set_back_what_is_written_is_the_newest(
    cli: Cli, clock: Clock, tmp_path: Path, engine: str
) -> None:
    store = tmp_path / "store"
    brought_up(cli, clock, engine, store, "00:00")
    with quick_agent(cli):
        until(lambda: listed(cli)[engine]["reachable"], 60)
        app = OPENED[engine](url(cli, engine, "shop"))

        def write(numbers: range) -> None:
            for number in numbers:
                app.write(number)
            end = written(cli, engine)
            until(lambda: stored(cli, engine) >= end)

        write(range(10))
        time.sleep(0.1)
        moment = clock.now
        until(lambda: archived(cli, engine) > moment)
        time.sleep(0.1)
        write(range(10, 20))
        clock.set(-HOUR)
        write(range(20, 30))
        until(lambda: snapshots(store, engine) == 2, 60)
        write(range(30, 40))
        assert restored(cli, engine, "--latest") == 40
        assert restored(cli, engine, "--to", said(moment)) == 10, "it is in the future now"
        clock.set(0)
        write(range(40, 50))
        assert restored(cli, engine, "--latest") == 50
        assert restored(cli, engine, "--to", said(moment)) == 10
        # a Redis whose clock leaps may let go of the agent, and a gap is a reason for one more
        assert snapshots(store, engine) - 2 in ({0, 1} if engine == "redis" else {0})
        app.client.close()
    assert cli.json("verify")["verdict"] == "pass"


#: Moments, and whether there is a backup by then: six minutes later, as not all stacks begin at
#: once. In Berlin, 02:30 is there twice on a day in autumn, and is skipped on one in spring.
AUTUMN = [
    ("2027-10-30T12:00:00Z", True),
    ("2027-10-31T00:29:00Z", False),
    ("2027-10-31T00:36:00Z", True),
    ("2027-10-31T01:36:00Z", False),
    ("2027-11-01T01:29:00Z", False),
    ("2027-11-01T01:36:00Z", True),
]
SPRING = [
    ("2028-03-25T12:00:00Z", True),
    ("2028-03-26T00:59:00Z", False),
    ("2028-03-26T01:36:00Z", True),
    ("2028-03-26T02:36:00Z", False),
    ("2028-03-27T00:29:00Z", False),
    ("2028-03-27T00:36:00Z", True),
]


def test_daylight_saving_has_one_backup_a_day(cli: Cli, clock: Clock, tmp_path: Path) -> None:
    store = tmp_path / "store"
    # without the log: a Redis whose clock leaps by hours lets go of the agent, and a gap is a
    # reason for one snapshot more
    first, *later = (*AUTUMN, *SPRING) if EVERYTHING else AUTUMN[:4]
    clock.say(first[0])
    brought_up(cli, clock, "redis", store, "02:30 Europe/Berlin", keep="0s")
    # the agent of `up` gets no such clock, and takes one at the true time; it is not interrupted,
    # which would be made up for
    until(lambda: "mngdb backup take redis: done" in cli.ok("logs", "agent"), 60)
    count = 2
    with quick_agent(cli):
        until(lambda: snapshots(store, "redis") == count, 30)
        for moment, more in later:
            clock.say(moment)
            count += more
            if not more:
                time.sleep(1.5)  # the agent looks twice a second
            until(lambda wanted=count: snapshots(store, "redis") >= wanted, 30)  # type: ignore[misc]
            assert snapshots(store, "redis") == count, moment
