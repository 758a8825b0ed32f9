"""The accident, and the second before it: all three engines at once, with the agent and a store.

Writers go on all the time and note, after each write that was acknowledged, what is there.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pymongo
import pytest
from redis import Redis

from mngdb.stores.manifest import decode
from tests.conftest import EVERYTHING, Cli
from tests.live.clients import url
from tests.live.footprint import Footprint, footprint
from tests.live.guide import Guide
from tests.live.postgres import value
from tests.live.scrapes import until

pytestmark = pytest.mark.live

FILE = """
agent: {ports: {mngdb: PORT4, postgres: PORT5, redis: PORT6, mongodb: PORT7}}
postgres: {port: PORT1, memory: 128 MB}
redis: {port: PORT2, memory: 64 MB}
mongodb: {port: PORT3, memory: 512 MB}
apps: {shop: {postgres: shop, redis: "shop:*", mongodb: shop}}
backup: {store: STORE, at: "00:00", drill: {every: 365d}}
"""
#: Seconds: a moment is known to so much (Redis' log has no times of its own).
_NEAR = 0.03
#: Moments that are restored, as shares of what was written.
_SHARES = (0.3, 0.8) if EVERYTHING else (0.8,)
ENGINES = ("postgres", "redis", "mongodb")
#: Of drills: a thousand drills in all.
ROUNDS = 200 if EVERYTHING else 1


class Postgres:
    """Writes rows, and loses the table."""

    def __init__(self, address: str) -> None:
        self.client = psycopg.connect(address, autocommit=True)
        self.client.execute("CREATE TABLE IF NOT EXISTS item (n int PRIMARY KEY, t text)")

    def write(self, number: int) -> None:
        self.client.execute("INSERT INTO item VALUES (%s, %s)", (number, "x" * 100))

    def count(self) -> int:
        (found,) = self.client.execute("SELECT count(*) FROM item").fetchone() or (0,)
        return int(found)

    def accident(self) -> None:
        self.client.execute("DROP TABLE item")


class Rediss:
    """Writes keys, and removes them."""

    def __init__(self, address: str) -> None:
        self.client = Redis.from_url(address)

    def write(self, number: int) -> None:
        with self.client.pipeline(transaction=True) as pipe:
            pipe.set(f"shop:{number}", b"\0\r\n*1\r\n#TS:1\r\n" * 5)
            pipe.incr("shop:count")
            pipe.execute()

    def count(self) -> int:
        found = int(self.client.get("shop:count") or 0)
        keys = sum(1 for key in self.client.scan_iter("shop:*", count=10_000))
        assert keys == found + (found > 0)
        return found

    def accident(self) -> None:
        keys = list(self.client.scan_iter("shop:*", count=10_000))
        self.client.delete(*keys)


class Mongo:
    """Writes documents, and drops the collection."""

    def __init__(self, address: str) -> None:
        self.client: Any = pymongo.MongoClient(address)
        self.items = self.client.get_default_database()["item"]

    def write(self, number: int) -> None:
        self.items.insert_one({"_id": number, "t": "x" * 100})

    def count(self) -> int:
        return int(self.items.count_documents({}))

    def accident(self) -> None:
        self.items.drop()


OPENED: dict[str, Callable[[str], Any]] = {"postgres": Postgres, "redis": Rediss, "mongodb": Mongo}


class Writer(threading.Thread):
    """Writes numbers one after the other, and notes when how many there were."""

    def __init__(self, cli: Cli, engine: str) -> None:
        super().__init__(daemon=True)
        self.store = OPENED[engine](url(cli, engine, "shop"))
        self.engine = engine
        self.history: list[tuple[float, int]] = []
        self.over = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.over.wait(0.02):
            self.store.write(number)
            number += 1
            self.history.append((time.time(), number))

    def at(self, moment: float) -> int:
        """How many there were for certain."""
        return max((count for when, count in self.history if when <= moment), default=0)


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """A stack whose agent has taken the first snapshots by itself."""
    found = Cli(tmp_path_factory.mktemp("stack"))
    found.env["TMPDIR"] = str(tmp_path_factory.mktemp("temporary"))
    found.write(FILE.replace("STORE", str(tmp_path_factory.mktemp("store"))))
    try:
        found.ok("up")
        until(lambda: all(one["reachable"] for one in listed(found).values()), 90)
        yield found
    finally:
        found.run("restore", "--forget")
        found.ok("destroy", "--yes", "mng")


def listed(cli: Cli) -> dict[str, Any]:
    return {one["instance"]: one for one in cli.json("backups")["instances"]}


def archived(cli: Cli, instance: str) -> float:
    return float(json.loads((cli.state / "archive" / instance).read_text())["until"])


def said(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")


def restored(cli: Cli, engine: str, moment: float | str) -> int:
    """How many there are in a server that is restored to a moment."""
    to = moment if isinstance(moment, str) else said(moment)
    found = cli.json("restore", engine, "--to", to)
    live = url(cli, engine, "shop")
    host = live.rpartition("@")[2].partition("/")[0]
    store = OPENED[engine](live.replace(host, found["address"]))
    try:
        return int(store.count())
    finally:
        store.client.close()
        cli.ok("restore", "--forget", engine)


def between(cli: Cli, taken: Any, engine: str) -> float:
    """A moment at which the snapshot of an engine was being taken."""
    (one,) = [one["id"] for one in taken if one["instance"] == engine]
    store = Path(cli.json("backups")["store"])
    (path,) = store.glob(f"mngdb-1/*/{engine}/{one}/manifest.json")
    found = decode(path.read_bytes(), None, unsigned=True)
    return (found.started + found.moment) / 2


def test_the_second_before_the_accident_is_brought_back(cli: Cli) -> None:
    writers = [Writer(cli, engine) for engine in ENGINES]
    for writer in writers:
        writer.start()
    time.sleep(3)
    taken = cli.json("backup")["instances"]  # another snapshot, while it is written to
    time.sleep(3)
    for writer in writers:
        writer.over.set()
        writer.join()
    accident = time.time()
    time.sleep(1.1)
    for writer in writers:
        writer.store.accident()
    later = time.time()
    until(lambda: all(archived(cli, engine) > later for engine in ENGINES))
    for writer in writers:
        engine, written = writer.engine, writer.history[-1][1]
        assert restored(cli, engine, accident + 1) == written, engine
        meanwhile = between(cli, taken, engine)  # only the snapshot before leads there
        shares = (writer.history[int(len(writer.history) * share)][0] for share in _SHARES)
        for moment in (meanwhile, *shares):
            found = restored(cli, engine, moment + _NEAR)
            # what was acknowledged before is there, and nothing that began later
            assert writer.at(moment) <= found <= writer.at(moment + 2 * _NEAR) + 1, engine
        writer.store.client.close()
    kinds = [one["kind"] for one in listed(cli)["postgres"]["snapshots"]]
    assert kinds == ["full", "incremental"]
    assert cli.json("verify")["verdict"] == "pass"


def test_a_snapshot_keeps_to_its_rate_and_the_log_is_not_slowed(cli: Cli) -> None:
    file = cli.folder / "mngdb.yaml"
    before = file.read_text()
    late = []
    with Redis.from_url(url(cli, "redis", "shop")) as store, ThreadPoolExecutor(1) as pool:
        for number in range(6):
            store.set(f"shop:large:{number}", os.urandom(1 << 20))
        file.write_text(before.replace('at: "00:00"', 'at: "00:00", rate: 2mb/s'))
        try:
            backup = pool.submit(cli.json, "backup", "redis")
            while not backup.done():
                store.incr("shop:while")
                late.append(time.time() - archived(cli, "redis"))
                time.sleep(0.1)
        finally:
            file.write_text(before)
        store.delete("shop:while", *(f"shop:large:{number}" for number in range(6)))
    found = backup.result()
    (snapshot,) = found["instances"]
    (path,) = Path(found["store"]).glob(f"*/*/redis/{snapshot['id']}/manifest.json")
    manifest = json.loads(path.read_text())["manifest"]
    took, least = manifest["finished"] - manifest["started"], snapshot["bytes"] / (2 << 20)
    assert 0.95 * least < took < 1.2 * least + 2, "the server takes its time to save it, too"
    assert max(late) < 3


@pytest.mark.timeout(7200)
def test_drills_of_random_moments_pass_and_leave_nothing(cli: Cli) -> None:
    """All engines are written to between them, and there is a new snapshot now and then."""
    store, temporary = Path(cli.json("backups")["store"]), Path(cli.env["TMPDIR"])
    took: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    first = before = None

    def drilled() -> set[str]:
        return {one["instance"] for one in cli.json("drill", "--history")["drills"]}

    until(lambda: drilled() == set(ENGINES), 120)  # by the agent, which has no more to drill then
    for number in range(ROUNDS):
        write(cli, 2_000_000 + number)
        for engines in (ENGINES, *[ENGINES[1:]] * EVERYTHING):
            for drill in cli.json("drill", *engines)["drills"]:
                assert drill["verdict"] == "pass", drill["checks"]
                assert drill["rpo_s"] < 60
                took[drill["instance"]].append(drill["rto_s"])
        found = footprint(cli, store, temporary)
        assert (len(found.processes), found.temporary) == (4, ()), "three servers and the agent"
        assert not list((cli.state / "drills").glob("*/"))
        first, before = first or found, before or found
        assert (found.ports, found.files) == (before.ports, before.files)
        assert found.stored == before.stored
        if number % 50 == 49:
            told(took, found)
            cli.ok("backup")
            before = None
    assert first
    assert found.handles < first.handles + 8, "some are open for a moment"
    assert found.threads < first.threads + 8
    assert found.memory < first.memory + (16 << 20), "it has read the history, of 2 MB at most"
    assert value(cli, "SELECT count(*) FROM pg_replication_slots") == 1
    for engine in ENGINES:
        store = OPENED[engine](url(cli, engine, "shop"))
        store.accident()  # what comes next counts from nothing
        store.client.close()


def told(took: dict[str, list[float]], found: Footprint) -> None:
    """How long the restores took, and how much the agent takes: seen with `-s`."""
    for engine, every in took.items():
        ranked = sorted(every)
        print(
            f"{engine}: {len(every)} drills, median {ranked[len(every) // 2]:.2f} s, "
            f"p99 {ranked[len(every) * 99 // 100]:.2f} s, most {ranked[-1]:.2f} s; "
            f"agent {found.memory >> 20} MB, {found.handles} handles, {found.threads} threads",
            flush=True,
        )


def test_just_before_a_command(cli: Cli) -> None:
    """What is written at once before it is there, and nothing of what it did."""
    admins = {engine: url(cli, engine) for engine in ENGINES}
    redis, mongo = Redis.from_url(admins["redis"]), pymongo.MongoClient[Any](admins["mongodb"])
    stores = {engine: OPENED[engine](url(cli, engine, "shop")) for engine in ENGINES}
    with psycopg.connect(admins["postgres"], autocommit=True) as postgres:
        postgres.execute("CREATE DATABASE lost")
        for store in stores.values():
            store.write(0)
        cli.ok("backup")
        for store in stores.values():
            store.write(1)
        postgres.execute("CREATE TABLE younger (id int)")
        postgres.execute("DROP TABLE younger")
        redis.flushall()
        mongo.drop_database("shop")
        stores["postgres"].accident()
        postgres.execute("DROP DATABASE lost WITH (FORCE)")
    later = time.time()
    until(lambda: all(archived(cli, engine) > later for engine in ENGINES))
    for engine, command in (
        ("redis", "before-last-flushall"),
        ("mongodb", "before 'dropDatabase shop'"),
        ("postgres", "before 'drop table public.\"item\"'"),
    ):
        assert restored(cli, engine, command) == 2, engine
        stores[engine].client.close()
    found = cli.json("restore", "postgres", "--to", "before 'DROP DATABASE lost'")
    host = admins["postgres"].rpartition("@")[2].partition("/")[0]
    address = admins["postgres"].replace(host, found["address"]).rpartition("/")[0] + "/lost"
    with psycopg.connect(address) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    cli.ok("restore", "--forget", "postgres")
    for engine, command in (
        ("redis", "before 'FLUSHDB 5'"),
        ("mongodb", "before 'drop never.seen'"),
        ("postgres", "before 'DROP TABLE never_seen'"),
        ("postgres", "before 'DELETE FROM item'"),
    ):
        begun = time.monotonic()
        done = cli.run("restore", engine, "--to", command)
        assert (done.returncode, "the log of" in done.stderr) == (2, True), done.stderr
        assert time.monotonic() - begun < 5
        assert ("was dropped just after '20" in done.stderr) == ("DROP" in command), done.stderr
    redis.close()
    mongo.close()


def test_the_guide_in_the_store_leads_to_a_moment_without_mngdb(cli: Cli) -> None:
    """The commands are run as they stand there."""
    stores = {engine: OPENED[engine](url(cli, engine, "shop")) for engine in ENGINES}
    for number in range(100):
        for store in stores.values():
            store.write(number)
    cli.ok("backup", *stores)
    for number in range(100, 150):
        for store in stores.values():
            store.write(number)
    time.sleep(1.5)
    moment = time.time()
    time.sleep(0.2)
    counts = {engine: store.count() for engine, store in stores.items()}
    for store in stores.values():
        store.accident()
        store.client.close()
    later = time.time()
    until(lambda: all(archived(cli, engine) > later for engine in stores))
    with Guide(cli, "postgres") as guide:
        assert guide.postgres(moment) == counts["postgres"]
    with Guide(cli, "redis") as guide:
        assert guide.redis(moment) == counts["redis"]
    with Guide(cli, "mongodb") as guide:
        assert guide.mongodb(moment) == counts["mongodb"]
    again = OPENED["postgres"](url(cli, "postgres", "shop"))
    again.write(1)
    again.client.close()
    cli.ok("backup", "--logical", "postgres")
    with Guide(cli, "postgres") as guide:
        assert guide.logical() == 1


def write(cli: Cli, number: int) -> None:
    """To all engines."""
    for engine in ENGINES:
        store = OPENED[engine](url(cli, engine, "shop"))
        store.write(number)
        store.client.close()


def test_in_place_the_log_goes_on_with_a_new_snapshot(cli: Cli) -> None:
    """What comes after a replacement is another history: the agent begins it by itself. Both can
    be restored."""
    before = time.time()
    until(lambda: all(archived(cli, engine) > before for engine in ENGINES))
    for engine in ENGINES:
        done = cli.json("restore", engine, "--latest", "--replace", "--yes")
        assert done["replaced"], engine
    write(cli, 1_000_000)
    moment = time.time()

    def led() -> bool:
        found = listed(cli)
        return all(
            any(
                datetime.fromisoformat(span["from"]).timestamp() < moment + 600
                and datetime.fromisoformat(span["to"]).timestamp() > moment
                for span in found[engine]["reachable"]
            )
            for engine in ENGINES
        )

    until(led, 90)
    write(cli, 1_000_001)
    time.sleep(_NEAR)
    after = time.time()
    until(lambda: all(archived(cli, engine) > after for engine in ENGINES))
    for engine in ENGINES:
        assert restored(cli, engine, after) == restored(cli, engine, before) + 2, engine
    assert cli.json("verify")["verdict"] == "pass"
