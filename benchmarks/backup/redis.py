"""Redis: what its archive costs it, and a restore beside the server's own load of the file."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import redis
from tests.conftest import Cli, free_port
from tests.debian import redis_folder
from tests.live.clients import redis_as
from tests.live.scrapes import AGENT, pid_of, until

from benchmarks.backup import measured
from benchmarks.backup.bare import Bare
from benchmarks.backup.measured import (
    SIZE,
    TURNS,
    VALUE,
    Ran,
    Work,
    gigabytes,
    memory,
    mngdb,
    peak,
    row,
    timed,
    turns,
    values,
)
from benchmarks.cold_up import program
from benchmarks.common import Row, median, stack

_FILE = """
redis: {{port: PORT2, memory: {memory}}}
apps: {{shop: {{redis: "shop:*"}}}}
backup: {{store: {store}, keep: {{point_in_time: {keep}}}}}
"""
#: Whoever says this name may do everything: a password would stand in redis-benchmark's arguments.
_USER = "bench"
#: Commands in a pipeline, to how many of them a run has.
_RUNS = {1: 200_000, 16: 1_500_000}
#: Runs of each side, and seconds in between: what is archived late is of the run before.
_PAIRS, _PAUSE = 3 * TURNS, 1.5
_BATCH = 1000
#: RDB files of the same values, and whether those are compressed: as in a snapshot, and by default.
_FILES = {"plain.rdb": "no", "dump.rdb": "yes"}


def rows() -> Iterator[Row]:
    """Rows of the archive, then of the restore."""
    yield from _archive()
    yield from _restore()


def _archive() -> Iterator[Row]:
    with (
        measured.folder() as folder,
        stack(_file(folder / "on", "24h", "1gb") + AGENT) as on,
        stack(_file(folder / "off", "0s", "1gb") + AGENT) as off,
    ):
        for cli in (on, off):
            cli.ok("up")
            with redis_as(cli) as client:
                client.execute_command("ACL", "SETUSER", _USER, "on", "nopass", "~*", "+@all")
        until(lambda: on.json("backups")["instances"][0]["reachable"])
        for pipeline, count in _RUNS.items():
            pairs = []
            _sets(on, pipeline, count), _sets(off, pipeline, count)
            for turn in range(_PAIRS):
                first, second = (on, off) if turn % 2 else (off, on)
                found = {id(cli): _sets(cli, pipeline, count) for cli in (first, second)}
                pairs.append((found[id(on)], found[id(off)]))
            ratio = median([mine / other for mine, other in pairs])
            yield Row(
                f"Redis' log archived: SET a second, 50 clients, {pipeline} in a pipeline",
                median([mine for mine, _ in pairs]), median([other for _, other in pairs]),
                "without the archive", "≥ 0.95×", ratio >= 0.95, unit="rate", ratio=ratio,
            )  # fmt: skip
        most = peak(pid_of(on, "mng-agent"))
        yield Row(
            "memory of the agent with that", most, None, "", "≤ 120 MB", most <= 120e6, unit="bytes"
        )


def _file(store: Path, keep: str, memory: str) -> str:
    return _FILE.format(store=store, keep=keep, memory=memory)


def _sets(cli: Cli, pipeline: int, count: int) -> float:
    """Commands a second."""
    time.sleep(_PAUSE)
    root = redis_folder() / "root"
    libraries = next(iter(root.glob("usr/lib/*/libjemalloc.so.*"))).parent
    said = subprocess.check_output(
        [
            str(root / "usr/bin/redis-benchmark"), "-p", str(cli.port(2)), "--user", _USER,
            "-a", "any", "-t", "set", "-n", str(count), "-r", "100000", "-d", "100", "-c", "50",
            "-P", str(pipeline), "--csv",
        ],
        env={"LD_LIBRARY_PATH": str(libraries)}, text=True,
    )  # fmt: skip
    return float(said.splitlines()[-1].split(",")[1].strip('"'))


# --- restore


def _restore() -> Iterator[Row]:
    with (
        measured.folder() as folder,
        stack(_file(folder / "store", "0s", f"{SIZE * 3 >> 20}mb")) as cli,
    ):
        cli.ok("up")
        fill(cli)
        found = turns({"mngdb": lambda: mngdb(cli, "backup")}, 1)
        yield memory("mngdb backup", "Redis", found)
        data, loads = cli.state / "servers/mng-redis/data/dump.rdb", dict[str, Work]()
        with redis_as(cli) as client:
            for name, compressed in _FILES.items():
                client.config_set("rdbcompression", compressed)
                client.save()
                shutil.copy(data, folder / name)
                loads[name] = partial(_loaded, folder, name)
            client.config_set("rdbcompression", "yes")
        found = turns({"mngdb": lambda: _restored(cli), **loads})
        what = f"restore of Redis with {gigabytes(SIZE)} of values"
        yield row(what, found, "plain.rdb", "redis-server's own load of the same RDB file", 1.3)
        yield row("the same", found, "dump.rdb", "its load of one that it wrote by itself", 1.3)
        yield memory("mngdb restore", "Redis", found)


def _loaded(folder: Path, name: str) -> Ran:
    port = free_port()
    server = Bare(
        [program("redis").server, "--port", str(port), "--bind", "127.0.0.1", "--save", "",
         "--dir", str(folder), "--dbfilename", name],
        folder, None, lambda: _answers(port),
    )  # fmt: skip
    try:
        return timed(server.start)
    finally:
        server.stop()


def _restored(cli: Cli) -> Ran:
    found = mngdb(cli, "restore", "redis", "--latest")
    cli.ok("restore", "--forget")
    return found


def _answers(port: int) -> bool:
    with suppress(redis.ConnectionError), redis.Redis(port=port) as client:  # or it still loads
        return bool(client.ping())
    return False


def fill(cli: Cli) -> None:
    """About `SIZE` bytes of values."""
    made = values(SIZE // VALUE)
    with redis_as(cli) as client:
        for begin in range(0, SIZE // VALUE, _BATCH):
            some = enumerate(itertools.islice(made, _BATCH), begin)
            client.mset({f"shop:{number}": text.encode() + noise for number, (text, noise) in some})
