"""What the rows of all engines share: data, commands timed until all is on the disk, turns."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import Cli

from benchmarks.common import Row, median

#: Bytes of data of each engine, and how often each way is measured.
SIZE = int(float(os.environ.get("MNGDB_BENCH_GB", "2")) * 1e9)
TURNS = int(os.environ.get("MNGDB_BENCH_TURNS", "3"))
#: Bytes of a value: text, whose words are as frequent as in a language, and noise.
TEXT, NOISE = 850, 150
VALUE = TEXT + NOISE
#: Characters that texts are cut from: more than zstd looks back.
_POOL = 8_000_000
_LOOK = 0.02


@dataclass(frozen=True)
class Ran:
    """Seconds until all was on the disk, and the most bytes that the program itself had in
    memory."""

    seconds: float
    memory: int = 0


#: Does the work once.
Work = Callable[[], Ran]
#: The ways, each in its turn.
Found = Mapping[str, Sequence[Ran]]


def values(count: int) -> Iterator[tuple[str, bytes]]:
    """A text and some noise each, the same every time."""
    rnd = random.Random(1)
    words = ["".join(rnd.choices("etaoinshrdlucm", k=rnd.randint(2, 10))) for _ in range(4000)]
    often = [1 / rank for rank in range(1, len(words) + 1)]
    pool = " ".join(rnd.choices(words, often, k=_POOL // 7))
    last = len(pool) - TEXT
    for _ in range(count):
        at = rnd.randrange(last)
        yield pool[at : at + TEXT], rnd.randbytes(NOISE)


def timed(*works: Callable[[], object]) -> Ran:
    """Do one thing after the other, and wait for the disk."""
    os.sync()
    begun = time.perf_counter()
    for work in works:
        work()
    os.sync()
    return Ran(time.perf_counter() - begun)


def mngdb(cli: Cli, *arguments: str) -> Ran:
    """Run one of ours."""
    memory: list[int] = []
    found = timed(lambda: memory.append(run(cli.argv(*arguments), cli.folder, cli.environ())))
    return Ran(found.seconds, memory[0])


def run(argv: Sequence[str], folder: Path, env: Mapping[str, str]) -> int:
    """Run a command that has to succeed. Returns the most bytes that it had in memory."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            argv, cwd=folder, env=dict(env), stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
        memory = 0
        while process.poll() is None:
            memory = max(memory, peak(process.pid))
            with suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK)
        if process.returncode != 0:
            said.seek(0)
            told = said.read().decode(errors="replace")
            raise RuntimeError(f"{argv[:3]} exited {process.returncode}: {told}")
        return memory


def peak(pid: int) -> int:
    """The most bytes that a process had in memory; 0 where it has gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def turns(
    works: Mapping[str, Work], count: int = TURNS, before: Callable[[int], None] = lambda _: None
) -> dict[str, list[Ran]]:
    """Each way, again and again, the first one another each time: what else the machine does falls
    on all of them. `before` is done at the beginning of each turn."""
    found: dict[str, list[Ran]] = {name: [] for name in works}
    names = list(works)
    for turn in range(count):
        before(turn)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            found[name].append(works[name]())
    return found


def row(what: str, found: Found, peer: str, name: str, limit: float | None = None) -> Row:
    """A row of ours beside a peer's; the ratio is the median of those of each turn."""
    ratios = [a.seconds / b.seconds for a, b in zip(found["mngdb"], found[peer], strict=True)]
    ratio = median(ratios)
    return Row(
        what,
        median([one.seconds for one in found["mngdb"]]),
        median([one.seconds for one in found[peer]]),
        name,
        f"≤ {limit}×" if limit else "–",
        limit is None or ratio <= limit,
        ratio=ratio,
    )


def memory(command: str, engine: str, found: Found, limit: int = 200_000_000) -> Row:
    """The most that a command of ours had."""
    most = max(one.memory for one in found["mngdb"])
    text = f"memory of `{command}`, {engine}"
    return Row(text, most, None, "", f"≤ {limit / 1e6:.0f} MB", most <= limit, unit="bytes")


def gigabytes(size: float) -> str:
    """A size for people."""
    return f"{size / 1e9:.1f} GB"


@contextmanager
def folder() -> Iterator[Path]:
    """A place where servers' accounts may go, until the end of the block."""
    found = Path(tempfile.mkdtemp(prefix="mngdb-bench-"))
    found.chmod(0o711)
    try:
        yield found
    finally:
        shutil.rmtree(found)
