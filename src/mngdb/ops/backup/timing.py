"""How long a restore takes, as earlier ones took: drills, and restores of servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, linear_regression

import msgspec
from msgspec import Struct

from mngdb import disk
from mngdb.ops.backup.history import history

#: In the stack's own folder: the restores that were made, besides drills.
_FILE = "restores.json"
#: Of each kind and instance, so many are looked at; so many of all are kept.
_RECENT, _KEPT = 10, 100
#: Phases that take the longer, the more there is.
_MOVING = ("copy", "recovery", "load")
#: Bytes below which one of these says more of how long a server starts than of how fast data moves;
#: and bytes per second that then move.
_LITTLE, _USUAL = 64 << 20, 150e6
#: From sizes that differ by a tenth of what is asked, nobody knows how it goes on.
_APART = 10


class Measured(Struct, frozen=True):
    """A restore of `size` bytes, about. `moving`: of its `seconds`, those that grow with them."""

    instance: str
    size: int
    seconds: float
    moving: float


def measured(
    instance: str, size: int, seconds: float, phases: Mapping[str, float]
) -> Measured | None:
    """A restore that was made; None where nobody knows how large it was."""
    moving = sum(float(phases.get(name, 0.0)) for name in _MOVING)
    return Measured(instance, size, seconds, moving) if size > 0 else None


def keep(state: Path, found: Measured | None) -> None:
    """Keep what was measured. Raises OSError."""
    if found is not None:
        every = [*_kept(state), found][-_KEPT:]
        disk.write(state / _FILE, msgspec.json.encode(every).decode() + "\n")


def _kept(state: Path) -> list[Measured]:
    return disk.noted(state / _FILE, list[Measured], [])


def _drilled(state: Path) -> list[Measured]:
    found = (
        measured(
            str(one["instance"]),
            int(one.get("size", 0)),
            float(one["rto"]),
            one.get("phases", {}),
        )
        for one in history(state)
        if one["verdict"] == "pass"
    )
    return [one for one in found if one is not None]


def estimate(state: Path, instance: str, size: int) -> float | None:
    """Seconds that a restore of so many bytes takes, about. None: there was none of the
    instance."""
    mine: list[Measured] = []
    for every in (_drilled(state), _kept(state)):
        mine += [one for one in every if one.instance == instance][-_RECENT:]
    return _fitted(mine, size) if mine else None


def _fitted(every: Sequence[Measured], size: int) -> float:
    """A fixed part, and one by size."""
    sizes, times = [one.size for one in every], [one.seconds for one in every]
    least, most = min(sizes), max(sizes)
    if most >= 2 * least and (most - least) * _APART >= size:
        line = linear_regression(sizes, times)
        if line.slope > 0:
            return max(min(times), line.intercept + line.slope * size)
        return fmean(times)
    near = [one for one in every if 2 * one.size >= most]
    there, took = fmean(one.size for one in near), fmean(one.seconds for one in near)
    moving = fmean(one.moving for one in near) / there
    if there < _LITTLE:
        moving = min(moving, 1 / _USUAL)
    return took + moving * (size - there)
