"""Timing, stacks of their own, and the rows of the table."""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.conftest import Cli


@dataclass(frozen=True)
class Row:
    """A line of the table: seconds (or bytes) of ours and of the peer, medians, and what was asked
    for."""

    what: str
    ours: float
    peer: float | None
    peer_name: str
    asked: str
    met: bool
    unit: Literal["seconds", "bytes", "rate"] = "seconds"
    """What the figures are; a rate is so many a second."""
    ratio: float | None = None
    """Of ours to the peer's, where it is not that of the medians."""

    def markdown(self) -> str:
        """The row as Markdown."""
        shown = {"seconds": _shown, "bytes": _megabytes, "rate": _rate}[self.unit]
        peer = shown(self.peer) if self.peer is not None else "–"
        ratio = f"{self.ratio or self.ours / self.peer:.2f}×" if self.peer else "–"
        sign = "yes" if self.met else "**no**"
        return (
            f"| {self.what} | {shown(self.ours)} | {peer} ({self.peer_name}) | {ratio} "
            f"| {self.asked} | {sign} |"
        )


def _shown(value: float) -> str:
    return f"{value:.2f} s" if value >= 0.05 else f"{value * 1000:.1f} ms"


def _megabytes(value: float) -> str:
    return f"{value / 1e6:.0f} MB"


def _rate(value: float) -> str:
    return f"{value:,.0f}"


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def median(samples: list[float]) -> float:
    """The middle one: a busy machine's outliers do not count."""
    return statistics.median(samples)


@contextmanager
def stack(text: str) -> Iterator[Cli]:
    """A folder with a file; what comes up there is destroyed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="mngdb-bench-"))
    # a user's machine has the compiled modules; without them every start compiles anew
    cli = Cli(folder, {"PYTHONDONTWRITEBYTECODE": ""})
    try:
        cli.write(text)
        yield cli
    finally:
        cli.run("destroy", "--yes", "mng", timeout=600)
        shutil.rmtree(folder)


def call(argv: list[str], cli: Cli) -> None:
    """Run a command that has to succeed, as the stack's user would."""
    done = subprocess.run(
        argv, cwd=cli.folder, env=cli.environ(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{argv} exited {done.returncode}: {done.stderr}")


def python(code: str, *arguments: str) -> list[str]:
    """A Python script as a command line."""
    return [sys.executable, "-c", code, *arguments]


def machine() -> str:
    """What the figures were taken on."""
    model = "unknown CPU"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return (
        f"{os.cpu_count()} cores ({model}), {memory} GiB, Python {platform.python_version()}, "
        f"uid {os.geteuid()}, niceness {os.nice(0)}"
    )
