"""What the three engines' judgements share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mngdb.facts.memory import Advice, Around, Part
from mngdb.findings import Seen

MB = 1 << 20
#: The kernel begins to swap, or to kill, near the end.
_FULL = 0.9


def ladder(steps: Iterable[tuple[str, int]], total: int, rest: str) -> list[Part]:
    """Parts between levels that contain each other, the last being `total`. Levels that were
    measured a moment apart may overlap: a part is never below 0, but the last one."""
    found, reached = [], 0
    for name, level in steps:
        found.append(Part(name, max(0, level - reached)))
        reached = max(reached, level)
    last = Part(rest if total >= reached else "not in memory: in swap, or never touched", 0)
    return [*found, Part(last.name, total - reached)]


def shown(parts: Iterable[Part], least: int = 4096) -> tuple[Part, ...]:
    """The parts, the largest first, without those that are next to nothing; these are one part, so
    that the sum stays."""
    everything = sorted(parts, key=lambda part: -part.size)
    large = [part for part in everything if abs(part.size) >= least]
    small = sum(part.size for part in everything) - sum(part.size for part in large)
    return (*large, *([Part("the rest", small)] if small else []))


def unseen(*seen: tuple[str, Seen[Any]]) -> list[str]:
    """What is missing, each with its reason."""
    return [f"{what}: {one.missing}" for what, one in seen if one.missing is not None]


def whole(around: Around, total: int) -> list[Advice]:
    """What is wrong for the server as a whole: swap, the end of the memory, the machine."""
    said = []
    if around.footprint.found is not None and around.footprint.found.swapped >= MB:
        swapped = around.footprint.found.swapped // MB
        said.append(
            Advice(
                f"{swapped} MB of it are in swap: each access there waits for the disk",
                "less 'memory' for the servers of this machine, or more memory",
            )
        )
    if around.there_is.found and total > _FULL * around.there_is.found:
        said.append(
            Advice(
                f"it has {total // MB} of the {around.there_is.found // MB} MB that there are: the "
                "kernel kills it when there is no more",
                "less 'memory' in the file, or more memory",
            )
        )
    return [*said, *(Advice(text, change) for text, change in around.machine)]


def size(count: float) -> str:
    """Megabytes, or kilobytes below one."""
    return f"{count / MB:.0f} MB" if abs(count) >= MB else f"{count / 1024:.0f} kB"


def key(instance: str, text: str) -> str:
    """A key of the file: `redis: {memory: 2gb}`."""
    return f"{instance}: {{{text}}}, then 'mngdb up'"
