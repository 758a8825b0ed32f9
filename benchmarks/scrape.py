"""Scrapes of the agent against the exporters that people use, at the same server, in turns.

Wall time as a client sees it; processor time by the clock of the exporter's process. What a server
pays is the processor time of all its processes, over scrapes that come every 15 seconds; 0.0 ms is
less than what a server's own work varies by. The exporters are Debian trixie's, and Percona's
0.43.1; both sides log in as `monitor`. MongoDB has two files for each collection: with 10,000 of
them, filling and removing it took longer than all else.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from tests.conftest import Cli
from tests.live import exporters
from tests.live.exporters import Running
from tests.live.scrapes import AGENT, ENGINES, fetch, pid_of, url

from benchmarks.common import Row, call, median, python, seconds, stack

#: See clock_getcpuclockid(3): what makes a clock's number of a process's.
_CLOCK_OF_PROCESS = 2
_ROUNDS = 150
_BIG_ROUNDS = 20
#: Seconds between scrapes, as usual, and scrapes for what the server pays: enough for the questions
#: that are asked only now and then.
_PACE = 15.0
_PACED = {"postgres": 20, "redis": 4, "mongodb": 8}
_IDLE = 60.0
_UNITS = {"postgres": "mng-pg", "redis": "mng-redis", "mongodb": "mng-mongo"}
_PEERS: dict[str, tuple[str, Callable[[Cli], AbstractContextManager[Running]]]] = {
    "redis": ("redis_exporter", exporters.redis),
    "postgres": ("postgres_exporter", lambda cli: exporters.postgres(cli, "shop")),
    "mongodb": ("mongodb_exporter", exporters.mongodb),
}
_FILL = {
    "postgres": """
import os, psycopg
with psycopg.connect(os.environ["ADMIN_URL"], autocommit=True) as connection:
    for n in range(500):
        connection.execute(f"CREATE DATABASE bench{n} STRATEGY file_copy")
with psycopg.connect(os.environ["ADMIN_URL"], dbname="shop", autocommit=True) as connection:
    connection.execute("SET ROLE shop")
    for start in range(0, 10_000, 100):
        table = "CREATE TABLE bench{} (id int PRIMARY KEY, name text)"
        connection.execute(";".join(map(table.format, range(start, start + 100))))
""",
    "redis": """
import os, redis, time
client = redis.Redis.from_url(os.environ["ADMIN_URL"])
for start in range(0, 1_000_000, 20_000):
    pipe = client.pipeline(transaction=False)
    for n in range(start, start + 20_000):
        pipe.set(f"shop:{n}", "x" * 16)
    pipe.execute()
# what a million new keys make it write comes now, not while it is measured
client.execute_command("BGREWRITEAOF")
while client.info("persistence")["aof_rewrite_in_progress"]:
    time.sleep(0.1)
while client.info("persistence")["rdb_bgsave_in_progress"]:
    time.sleep(0.1)
client.save()
client.close()
""",
    "mongodb": """
import os, pymongo
client = pymongo.MongoClient(os.environ["ADMIN_URL"])
for n in range(2_000):
    client[f"bench{n % 200}"][f"items{n // 200}"].insert_one({"n": n})
client.admin.command("fsync")
client.close()
""",
}
_BIG = {
    "postgres": "PostgreSQL with 500 databases and 10,000 tables",
    "redis": "Redis with 1,000,000 keys",
    "mongodb": "MongoDB with 200 databases and 2,000 collections",
}


def rows() -> Iterator[Row]:
    """Wall and processor time of a scrape of each engine, as it is and filled."""
    titles = {"redis": "Redis", "postgres": "PostgreSQL", "mongodb": "MongoDB"}
    with stack(ENGINES + AGENT) as cli:
        cli.ok("up")
        for engine in _PEERS:
            yield from _pair(cli, engine, titles[engine], _ROUNDS)
        yield _resident(cli, "three engines")
    for engine, what in _BIG.items():
        with stack(ENGINES + AGENT) as cli:
            cli.ok("up")
            cli.env["ADMIN_URL"] = cli.ok("url", engine).strip()
            call(python(_FILL[engine]), cli)
            yield _first(cli, engine, what)
            rounds = _ROUNDS if engine == "redis" else _BIG_ROUNDS
            yield from _pair(cli, engine, what, rounds)
            yield _resident(cli, what)
            yield _paid(cli, engine, what)


def _pair(cli: Cli, engine: str, what: str, rounds: int) -> Iterator[Row]:
    name, start = _PEERS[engine]
    with start(cli) as peer:
        pages = (url(cli, engine), f"http://127.0.0.1:{peer.port}/metrics")
        pids = (pid_of(cli, "mng-agent"), peer.pid)
        for page in pages * 3:
            fetch(page)
        walls: tuple[list[float], list[float]] = ([], [])
        used = [0.0, 0.0]
        for _ in range(rounds):
            for side, page in enumerate(pages):
                before = _cpu(pids[side])
                walls[side].append(seconds(lambda: fetch(page)))  # noqa: B023
                used[side] += _cpu(pids[side]) - before
    ours, theirs = median(walls[0]), median(walls[1])
    limit = "≤ 1.0×"
    yield Row(f"scrape of {what}, p50", ours, theirs, name, limit, ours <= theirs)
    mine, other = used[0] / rounds, used[1] / rounds
    yield Row("the same, processor time", mine, other, name, limit, mine <= other)


def _first(cli: Cli, engine: str, what: str) -> Row:
    """The first scrape of a new agent, and of a new exporter, has everything to ask."""
    name, start = _PEERS[engine]
    os.kill(pid_of(cli, "mng-agent"), signal.SIGKILL)
    cli.ok("up")
    found = seconds(lambda: fetch(url(cli, engine)))
    with start(cli) as peer:
        other = seconds(lambda: fetch(f"http://127.0.0.1:{peer.port}/metrics"))
    return Row(f"first scrape of {what}", found, other, name, "≤ 1.0×", found <= other)


def _resident(cli: Cli, what: str) -> Row:
    """The most memory that the agent has between scrapes of all engines."""
    found = 0
    for _ in range(5):
        for engine in _PEERS:
            fetch(url(cli, engine))
            status = Path(f"/proc/{pid_of(cli, 'mng-agent')}/status").read_text().splitlines()
            line = next(line for line in status if line.startswith("VmRSS"))
            found = max(found, int(line.split()[1]) << 10)
    asked = 85e6
    return Row(
        f"memory of the agent with {what}", found, None, "", "≤ 85 MB", found <= asked, unit="bytes"
    )


def _paid(cli: Cli, engine: str, what: str) -> Row:
    """Processor time that the server spends when a scrape comes every 15 seconds, the agent's own
    round for its alerts included, beyond what it spends when nobody looks."""
    pid, agent = pid_of(cli, _UNITS[engine]), pid_of(cli, "mng-agent")
    os.kill(agent, signal.SIGSTOP)
    before = _spent(pid)
    time.sleep(_IDLE)
    idle = (_spent(pid) - before) / _IDLE
    os.kill(agent, signal.SIGCONT)
    begun, before = time.monotonic(), _spent(pid)
    for _ in range(_PACED[engine]):
        fetch(url(cli, engine))
        time.sleep(_PACE)
    busy = (_spent(pid) - before) / (time.monotonic() - begun)
    used = max(0.0, busy - idle) * _PACE
    share = used / _PACE
    return Row(
        f"what {what} pays in 15 s for being watched",
        used,
        None,
        f"{share:.2%} of a core",
        "≤ 1 %",
        share <= 0.01,
    )


def _spent(pid: int) -> float:
    """Processor time in seconds of a server, of its children, and of those that have ended."""
    ticks = 0
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for one in (pid, *map(int, children)):
        words = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        # utime and stime; of the server itself also cutime and cstime
        ticks += sum(map(int, words[11:15] if one == pid else words[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _cpu(pid: int) -> float:
    """Processor time of a process in seconds, as clock_gettime(2) tells it of its clock."""
    return time.clock_gettime((~pid << 3) | _CLOCK_OF_PROCESS)
