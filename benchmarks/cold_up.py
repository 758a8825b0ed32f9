"""Cold `up` of three engines against their own bare start, run in parallel by a plain script:
`initdb`, start and first answer, without users, rights or a replica set.

A cold `up` copies what initdb made for an earlier stack; the very first one on a machine runs it
itself. `just bench` as root has both on a file system in memory: a disk that was written to a
minute before is slower by more than what they differ in.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import free_port

from benchmarks.common import Row, median, seconds, stack
from mngdb.identity.home import SYSTEM
from mngdb.model import Program
from mngdb.targets.local import copied, programs
from mngdb.targets.process import machine

FILE = """
postgres: {port: PORT1}
redis: {port: PORT2}
mongodb: {port: PORT3}
apps:
  shop: {postgres: shop, redis: "shop:*", mongodb: shop}
"""
#: initdb, start and a first answer of each server; no users, no rights, no replica set.
BARE = """
set -e
ping() (
  exec 3<>/dev/tcp/127.0.0.1/$1
  printf 'PING\\r\\n' >&3
  read -r answer <&3
  [ "$answer" = $'+PONG\\r' ]
)
( "$PG/initdb" -D "$DIR/pg" -U postgres -A trust >/dev/null
  "$PG/postgres" -D "$DIR/pg" -p $P1 -c listen_addresses=127.0.0.1 -k "$DIR" >"$DIR/pg.log" 2>&1 &
  echo $! >"$DIR/1.pid"
  until "$PG/pg_isready" -q -h 127.0.0.1 -p $P1; do sleep 0.01; done ) &
( "$REDIS" --port $P2 --bind 127.0.0.1 --dir "$DIR" --appendonly yes >"$DIR/redis.log" 2>&1 &
  echo $! >"$DIR/2.pid"
  until ping $P2 2>/dev/null; do sleep 0.01; done ) &
( mkdir "$DIR/mongo"
  "$MONGO" --port $P3 --bind_ip 127.0.0.1 --dbpath "$DIR/mongo" >"$DIR/mongo.log" 2>&1 &
  echo $! >"$DIR/3.pid"
  until grep -q 'Waiting for connections' "$DIR/mongo.log"; do sleep 0.01; done ) &
wait
"""


def rows(rounds: int = 5) -> Iterator[Row]:
    """The row of the cold start; the two take turns, so that both meet the same noise."""
    ours, bare = [], []
    found = {engine: program(engine) for engine in ("postgres", "redis", "mongodb")}
    for _ in range(rounds):
        bare.append(_bare(found))
        with stack(FILE) as cli:
            ours.append(seconds(lambda cli=cli: cli.ok("up")))  # type: ignore[misc]
    ratio = median(ours) / median(bare)
    yield Row(
        "cold `up` of PostgreSQL + Redis + MongoDB, hardened, with an app",
        median(ours),
        median(bare),
        "bare start by a shell script",
        "≤ 1.3× or 0.5 s above",
        ratio <= 1.3 or median(ours) - median(bare) <= 0.5,
    )


def program(engine: str) -> Program:
    """What `up` would start, where the servers' account may go."""
    account = machine.account(None)
    found = programs.find(
        engine,
        None if engine == "mongodb" else {"postgres": "17", "redis": "8"}[engine],
        None,
        None,
    )
    if account is None:
        return found
    return copied.reachable(found, account.uid, SYSTEM / "programs", alone=engine != "postgres")


def _bare(found: dict[str, Program]) -> float:
    folder = Path(tempfile.mkdtemp(prefix="mngdb-bare-"))
    account = machine.account(None)
    try:
        env = {
            "PATH": "/usr/bin:/bin",
            "LC_ALL": "C.UTF-8",
            "DIR": str(folder),
            "PG": found["postgres"].folder,
            "REDIS": found["redis"].server,
            "MONGO": found["mongodb"].server,
            **{f"P{number}": str(free_port()) for number in (1, 2, 3)},
        }
        if account is not None:
            shutil.chown(folder, account.uid, account.gid)
        took = seconds(
            lambda: subprocess.run(
                ["/bin/bash", "-c", BARE],
                env=env,
                check=True,
                cwd=folder,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        )
    finally:
        for pidfile in folder.glob("?.pid"):
            subprocess.run(["kill", "-INT", pidfile.read_text().strip()], check=False)
        for pidfile in folder.glob("?.pid"):
            gone = ["tail", f"--pid={pidfile.read_text().strip()}", "-f", "/dev/null"]
            subprocess.run(gone, check=False, timeout=60)
        shutil.rmtree(folder, ignore_errors=True)
    return took
