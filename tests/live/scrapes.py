"""A stack with an agent, scrapes of it, and the text that they are made of, read back."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.conftest import ROOT, Cli

#: Ports 4 to 7 of the fixture are the agent's.
AGENT = "agent: {ports: {postgres: PORT4, redis: PORT5, mongodb: PORT6, mngdb: PORT7}}\n"
ENGINES = """
postgres: {port: PORT1, memory: 64mb}
redis: {port: PORT2, memory: 64mb}
mongodb: {port: PORT3, memory: 256mb}
apps:
  shop: {postgres: shop, redis: "shop:*", mongodb: shop}
"""
#: What says that a server answers.
UP = {"postgres": "pg_up", "redis": "redis_up", "mongodb": "mongodb_up"}
PORTS = {"postgres": 4, "redis": 5, "mongodb": 6, "mngdb": 7}

Labels = frozenset[tuple[str, str]]


@dataclass
class Scrape:
    """A page: metric to type, sample to value."""

    types: dict[str, str] = field(default_factory=dict)
    values: dict[tuple[str, Labels], float] = field(default_factory=dict)
    seconds: float = 0.0

    def __getitem__(self, name: str) -> float:
        """The one value of a metric."""
        found = [value for (metric, _), value in self.values.items() if metric == name]
        assert len(found) == 1, f"{name}: {found}"
        return found[0]

    def of(self, name: str, **labels: str) -> float:
        """The value of the one sample with these labels, among others."""
        found = self.get(name, **labels)
        assert found is not None, f"{name} {labels} is not there"
        return found

    def get(self, name: str, **labels: str) -> float | None:
        """As `of`; None where there is none: a page of a server that is down has only that."""
        wanted = set(labels.items())
        found = [v for (metric, has), v in self.values.items() if metric == name and wanted <= has]
        assert len(found) < 2, f"{name} {labels}: {found}"
        return found[0] if found else None

    @property
    def names(self) -> set[str]:
        return set(self.types)


def read(text: str) -> Scrape:
    """A page in Prometheus' text format."""
    found = Scrape()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in found.types, f"{name} stands twice"
            found.types[name] = kind
        elif line and not line.startswith("#"):
            match = re.fullmatch(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)", line)
            assert match, line
            labels = re.findall(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"', match[2] or "")
            key = match[1], frozenset(labels)
            assert key not in found.values, f"{key} stands twice"
            found.values[key] = float(match[3])
    return found


def fetch(url: str, timeout: float = 60.0, headers: Mapping[str, str] | None = None) -> str:
    """A page as text. Raises urllib.error.HTTPError."""
    request = urllib.request.Request(url, headers=dict(headers or {}))
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        text: str = answer.read().decode()
    return text


def url(cli: Cli, engine: str, path: str = "/metrics") -> str:
    """Where the agent serves an engine's metrics."""
    return f"http://127.0.0.1:{cli.port(PORTS[engine])}{path}"


def scrape(cli: Cli, engine: str, path: str = "/metrics") -> Scrape:
    """One scrape of the agent."""
    begun = time.monotonic()
    found = read(fetch(url(cli, engine, path)))
    found.seconds = time.monotonic() - begun
    return found


def pid_of(cli: Cli, unit: str) -> int:
    """The process of a unit."""
    where = "agent/agent.pid" if unit.endswith("-agent") else f"servers/{unit}/run/server.pid"
    path = cli.state / where
    deadline = time.monotonic() + 30
    while not (words := path.read_text().split()):  # it is just being written
        assert time.monotonic() < deadline, path
        time.sleep(0.005)
    return int(words[0])


def whole(cli: Cli, engine: str, path: str = "/metrics") -> Scrape:
    """A scrape of a server that is up. On a busy machine one may take longer than a page may."""
    found = Scrape()

    def up() -> bool:
        nonlocal found
        found = scrape(cli, engine, path)
        return found.get(UP[engine]) == 1

    until(up)
    return found


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        with open(f"/proc/{pid}/stat") as handle:  # noqa: PTH123
            return handle.read().rsplit(")", 1)[1].split()[0] in {"Z", "X"}
    except FileNotFoundError:
        return True


@contextmanager
def halted(pid: int) -> Iterator[None]:
    """A process and its children, stopped for a while."""
    group = [pid]
    try:
        os.kill(pid, signal.SIGSTOP)  # and it has no more children than these
        with open(f"/proc/{pid}/task/{pid}/children") as handle:  # noqa: PTH123
            group += map(int, handle.read().split())
        for one in group[1:]:
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGSTOP)
        yield
    finally:
        for one in group:
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGCONT)


def in_time(stack: Cli, engine: str) -> float:
    """Seconds until Prometheus, which waits for five, is told that a server is down."""
    begun = time.monotonic()
    page = fetch(url(stack, engine), 60, {"X-Prometheus-Scrape-Timeout-Seconds": "5"})
    took = time.monotonic() - begun
    assert read(page)[UP[engine]] == 0
    return took


def until(happens: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until `happens()` is true."""
    begun = looked = time.monotonic()
    while not happens():
        now = time.monotonic()
        assert now - begun < seconds, "did not happen in time"
        # a look may be a command, and what is waited for needs the processor, too
        time.sleep(max(min(0.05 + (now - begun) / 10, 0.25), now - looked))
        looked = time.monotonic()


@contextmanager
def quick_agent(cli: Cli) -> Iterator[None]:
    """In the place of the one that `up` has started."""
    pidfile = cli.state / "agent" / "agent.pid"
    os.kill(int(pidfile.read_text().split()[0]), signal.SIGTERM)
    until(lambda: not pidfile.exists())
    env = cli.environ() | {"PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-m", "tests.quick", *cli.argv("agent")[3:]]
    with subprocess.Popen(argv, cwd=cli.folder, env=env, stderr=subprocess.DEVNULL) as agent:
        try:
            until(pidfile.exists)
            yield
        finally:
            agent.terminate()
