"""The exporters that people use today, logged in as `monitor`: for tests and benchmarks."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import golang, trixie
from tests.conftest import Cli, free_port


@dataclass(frozen=True)
class Running:
    """An exporter that runs."""

    port: int
    pid: int


@contextmanager
def _running(argv: list[str], env: dict[str, str], port: int, log: Path) -> Iterator[Running]:
    with log.open("wb") as sink:
        process = subprocess.Popen(argv, env={**os.environ, **env}, stdout=sink, stderr=sink)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1.0).close()
                break  # not yet asked: its first scrape is for whoever measures it
            except OSError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
        yield Running(port, process.pid)
    finally:
        process.terminate()
        process.wait(60)


def _secret(cli: Cli, engine: str) -> str:
    return (cli.state / f"secrets/{engine}_monitor").read_text().strip()


def redis(cli: Cli) -> AbstractContextManager[Running]:
    """redis_exporter at the stack's Redis, on port 2 of the fixture."""
    port = free_port()
    argv = [
        str(trixie.program("prometheus-redis-exporter")),
        f"-redis.addr=redis://127.0.0.1:{cli.port(2)}",
        f"-web.listen-address=127.0.0.1:{port}",
    ]
    env = {"REDIS_USER": "monitor", "REDIS_PASSWORD": _secret(cli, "redis")}
    return _running(argv, env, port, cli.folder / "redis_exporter.log")


def postgres(cli: Cli, database: str) -> AbstractContextManager[Running]:
    """postgres_exporter at the stack's PostgreSQL, on port 1; it counts the tables of the database
    that it is connected to."""
    port = free_port()
    argv = [
        str(trixie.program("prometheus-postgres-exporter")),
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    env = {
        "DATA_SOURCE_URI": f"127.0.0.1:{cli.port(1)}/{database}?sslmode=disable",
        "DATA_SOURCE_USER": "monitor",
        "DATA_SOURCE_PASS": _secret(cli, "postgres"),
    }
    return _running(argv, env, port, cli.folder / "postgres_exporter.log")


#: With the older names, and figures of collections.
COMPATIBLE = (
    "--compatible-mode",
    "--collector.fcv",
    "--collector.collstats",
    "--discovering-mode",
)


def mongodb(cli: Cli, *more: str) -> AbstractContextManager[Running]:
    """mongodb_exporter at the stack's MongoDB, with the collectors that ours stands for; `more`
    switches others on."""
    port = free_port()
    argv = [
        str(golang.program("mongodb_exporter")),
        f"--web.listen-address=127.0.0.1:{port}",
        "--collector.diagnosticdata",
        "--collector.dbstats",
        "--collector.topmetrics",
        *more,
    ]
    env = {"MONGODB_URI": cli.ok("url", "mongodb", "monitor").strip()}
    return _running(argv, env, port, cli.folder / "mongodb_exporter.log")
