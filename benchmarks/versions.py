"""This version of mngdb against an earlier one, on one running stack of three engines, in turns:

    scripts/in-memory .venv/bin/python -m benchmarks.versions COMMIT [COMMAND ...]

Both run with the same libraries. A machine that does something else makes single runs longer: then
the least that a command took says most, and `chrt --rr 1` before all of it gives both what they ask
for.
"""

from __future__ import annotations

import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import Cli

from benchmarks.cold_up import FILE
from benchmarks.common import stack

_COMMANDS = ("status", "plan", "up", "check", "doctor", "sessions")
_ROUNDS = 25
_FIGURES = ("median", "least", "processor time")
_HEAD = "| command | " + " | ".join(f"{one}, before | after | ratio" for one in _FIGURES) + " |\n"
_HEAD += "|---" * (1 + 3 * len(_FIGURES)) + "|\n"


@dataclass
class Taken:
    """What the runs of a command took: seconds from start to end, and of all processors."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def run(self, argv: list[str], cli: Cli, source: Path) -> None:
        """Run it once more, with the modules in `source`."""
        env = {**cli.environ(), "PYTHONPATH": str(source)}
        begun = time.perf_counter()
        process = subprocess.Popen(
            argv, cwd=cli.folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        self.wall.append(time.perf_counter() - begun)
        self.cpu.append(usage.ru_utime + usage.ru_stime)
        if os.waitstatus_to_exitcode(status) not in {0, 1}:  # 1: `check` found something
            raise RuntimeError(f"{argv} exited {os.waitstatus_to_exitcode(status)}")


def main(commit: str, commands: list[str]) -> None:
    """Print the table."""
    here = Path(__file__).parents[1]
    with tempfile.TemporaryDirectory() as folder, stack(FILE) as cli:
        archive = ["git", "-C", str(here), "archive", commit, "src"]
        before = subprocess.check_output(archive)
        subprocess.run(["tar", "-x", "-C", folder], input=before, check=True)
        cli.ok("up")
        print(_HEAD, end="", flush=True)
        for command in commands or _COMMANDS:
            print(_row(command, cli, Path(folder, "src"), here / "src"), flush=True)


def _row(command: str, cli: Cli, before: Path, after: Path) -> str:
    argv = cli.argv(*shlex.split(command))
    taken = {before: Taken(), after: Taken()}
    for number in range(_ROUNDS + 1):
        for source, one in taken.items() if number % 2 else reversed(taken.items()):
            # the first compiles the modules
            (one if number else Taken()).run(argv, cli, source)
    old, new = taken.values()
    pairs = (
        (statistics.median(old.wall), statistics.median(new.wall)),
        (min(old.wall), min(new.wall)),
        (statistics.median(old.cpu), statistics.median(new.cpu)),
    )
    cells = (f"{a * 1000:.0f} ms | {b * 1000:.0f} ms | {b / a:.2f}×" for a, b in pairs)
    return f"| `{command}` | {' | '.join(cells)} |"


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
