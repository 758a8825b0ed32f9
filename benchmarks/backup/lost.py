"""A machine that is lost: what was written last, and how long until everything is back.

The recovery point: an app of each engine writes one number after the other; then every process of
the stack is killed at once, and the newest moment is restored from the store alone. What counts is
how long before the kill the first write was acknowledged that did not come back. The recovery time:
another folder, no state, the kit, the store and one command.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pymongo
import redis
from pymongo.errors import PyMongoError
from tests.conftest import Cli
from tests.live.scrapes import AGENT, pid_of, until

from benchmarks.backup import measured, mongodb, source
from benchmarks.backup import redis as redis_rows
from benchmarks.backup.measured import SIZE, TURNS, gigabytes, timed
from benchmarks.common import Row, median, stack

_FILE = """
postgres: {{port: PORT1, memory: 512mb}}
redis: {{port: PORT2, memory: {memory}}}
mongodb: {{port: PORT3, memory: 1gb}}
apps: {{shop: {{postgres: shop, redis: "shop:*", mongodb: shop}}}}
backup: {{store: {store}}}
"""
_PASSPHRASE = "five random words of mine"
#: Bytes, and the seconds that they may take to come back.
_ASKED, _LIMIT = 10e9, 900.0
#: Kills, and seconds of writes before each.
_KILLS, _WRITES = 3 * TURNS, (2.0, 5.0)
_UNITS = ("mng-agent", "mng-pg", "mng-redis", "mng-mongo")
#: What a driver raises when its server is gone.
_GONE = (psycopg.Error, redis.RedisError, PyMongoError)


def rows() -> Iterator[Row]:
    """Rows of the recovery point, then of the recovery time."""
    yield from _points()
    yield _time()


def _points() -> Iterator[Row]:
    lost: dict[str, list[float]] = {name: [] for name in _WRITERS}
    with (
        measured.folder() as folder,
        stack(_FILE.format(store=folder / "store", memory="64mb") + AGENT) as cli,
    ):
        cli.ok("up")
        for _ in range(_KILLS):
            until(lambda: _followed(cli), 120)
            for name, seconds in _killed(cli).items():
                lost[name].append(seconds)
            cli.ok("up", timeout=600)
    for name, found in lost.items():
        worst = max(found)
        what = f"recovery point of {name} when all is killed, the worst of {len(found)}"
        what += f" (median {median(found):.2f} s)"
        yield Row(what, worst, None, "", "≤ 1 s", worst <= 1)


def _followed(cli: Cli) -> bool:
    instances = cli.json("backups")["instances"]
    return all(one["reachable"] and one["rpo_s"] < 2 for one in instances)


def _killed(cli: Cli) -> dict[str, float]:
    """Seconds of acknowledged writes that each engine's newest restore lacks."""
    over = threading.Event()
    acknowledged: dict[str, list[float]] = {name: [] for name in _WRITERS}
    urls = {name: cli.ok("url", name, "shop").strip() for name in _WRITERS}
    writers = [
        threading.Thread(target=_write, args=(name, urls[name], acknowledged[name], over))
        for name in _WRITERS
    ]
    for one in writers:
        one.start()
    time.sleep(random.uniform(*_WRITES))
    victims = [psutil.Process(pid_of(cli, unit)) for unit in _UNITS]
    victims += [child for one in victims for child in one.children(recursive=True)]
    killed = time.monotonic()
    for process in victims:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    over.set()
    for writer in writers:
        writer.join()
    found = {}
    for name, moments in acknowledged.items():
        address = cli.json("restore", name, "--latest")["address"]
        there = _WRITERS[name][1](_at(urls[name], address))
        cli.ok("restore", "--forget", name)
        missing = moments[there:]
        found[name] = max(killed - missing[0], 0.0) if missing else 0.0
    return found


def _at(url: str, address: str) -> str:
    """A login's URL, for another server that has the same passwords."""
    login, _, rest = url.rpartition("@")
    return f"{login}@{address}/{rest.partition('/')[2]}"


def _write(name: str, url: str, moments: list[float], over: threading.Event) -> None:
    with contextlib.suppress(*_GONE):
        add = _WRITERS[name][0](url)
        while not over.is_set():
            add(len(moments))
            moments.append(time.monotonic())


def _into_postgres(url: str) -> Callable[[int], object]:
    connection = psycopg.connect(url, autocommit=True)
    connection.execute("DROP TABLE IF EXISTS numbers")
    connection.execute("CREATE TABLE numbers (n int)")
    return lambda number: connection.execute("INSERT INTO numbers VALUES (%s)", [number])


def _of_postgres(url: str) -> int:
    with psycopg.connect(url) as connection:
        ((count,),) = connection.execute("SELECT count(*) FROM numbers").fetchall()
        return int(count)


def _into_redis(url: str) -> Callable[[int], object]:
    client: Any = redis.Redis.from_url(url)
    client.delete("shop:numbers")
    return lambda number: client.rpush("shop:numbers", number)


def _of_redis(url: str) -> int:
    client: Any = redis.Redis.from_url(url)
    return int(client.llen("shop:numbers"))


def _into_mongodb(url: str) -> Callable[[int], object]:
    numbers = pymongo.MongoClient(url)["shop"]["numbers"]  # type: ignore[var-annotated]
    numbers.drop()
    return lambda number: numbers.insert_one({"n": number})


def _of_mongodb(url: str) -> int:
    with pymongo.MongoClient(url) as client:  # type: ignore[var-annotated]
        return int(client["shop"]["numbers"].count_documents({}))


#: By instance: what writes a number, and how many are there.
_WRITERS: dict[str, tuple[Callable[[str], Callable[[int], object]], Callable[[str], int]]] = {
    "postgres": (_into_postgres, _of_postgres),
    "redis": (_into_redis, _of_redis),
    "mongodb": (_into_mongodb, _of_mongodb),
}


def _time() -> Row:
    with measured.folder() as folder:
        kit = folder / "kit.age"
        memory = f"{SIZE * 3 >> 20}mb"
        with stack(_FILE.format(store=folder / "store", memory=memory) + "agent: false\n") as cli:
            cli.ok("up")
            source.of(cli).fill(SIZE)
            redis_rows.fill(cli)
            mongodb.fill(cli.ok("url", "mongodb").strip())
            cli.ok("backup", timeout=3600)
            cli.ok("backup", "kit", "--output", str(kit), stdin=_PASSPHRASE + "\n")
        return _back(folder, kit)


def _back(folder: Path, kit: Path) -> Row:
    project, home = folder / "project", folder / "state"
    home.mkdir(mode=0o711)
    environ = {"MNGDB_STATE_HOME": str(home), "PYTHONDONTWRITEBYTECODE": ""}
    beside, other = Cli(folder, environ), Cli(project, environ)
    words = ("backup", "kit", "--open", str(kit), "--into", str(project), "--restore")
    try:
        took = timed(lambda: beside.ok(*words, stdin=_PASSPHRASE + "\n", timeout=3600)).seconds
    finally:
        other.run("destroy", "--yes", "mng", timeout=600)
    scaled = took * _ASKED / (3 * SIZE)
    what = f"kit, store and one command: three engines with {gigabytes(3 * SIZE)} are back"
    what += f" (10 GB at this rate: {scaled / 60:.1f} min)"
    return Row(what, took, None, "", "10 GB ≤ 15 min", scaled <= _LIMIT)
