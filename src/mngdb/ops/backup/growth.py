"""How large the stack's part of its store is, how that grows, and how long the store's disk lasts.

The agent looks once an hour; commands and metrics show what it noted.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from mngdb import disk
from mngdb.ops.backup import place
from mngdb.ops.context import Context

#: In the stack's own folder.
_FILE = "store-size.json"
#: Seconds between two looks, and for which they are kept.
_EVERY, _KEPT = 3600.0, 15 * 86_400.0
#: Seconds over which growth is told; less than a day of looks tells nothing.
_WEEK, _DAY = 7 * 86_400.0, 86_400.0


class Look(Struct, frozen=True):
    """What there was `at` a moment: bytes of the stack's, and free on the store's disk (None: it is
    a bucket)."""

    at: float
    stored: int
    free: int | None = None


class Growth(Struct, frozen=True):
    """The newest look, and how it came to that. `before`: bytes a week ago, once there were looks
    for another week before; `rate` in bytes per second; None: nobody knows yet."""

    newest: Look
    before: int | None
    rate: float | None

    @property
    def full(self) -> float | None:
        """Seconds until the store's disk is full, if this alone fills it and goes on growing so;
        None: it does not grow, or nobody knows."""
        if self.newest.free is None or not self.rate or self.rate < 0:
            return None
        return self.newest.free / self.rate

    def as_json(self) -> dict[str, Any]:
        """As `status --json` shows it."""
        return {
            "stored_bytes": self.newest.stored,
            "bytes_per_day": None if self.rate is None else round(self.rate * _DAY),
            "free_bytes": self.newest.free,
            "full_in_s": None if self.full is None else round(self.full),
        }


def look(context: Context) -> None:
    """Look, where the last one was long ago, or saw nothing yet. Raises StoreError, SecretError,
    UsageError, OSError."""
    state, now = context.stack.state, time.time()
    every = _read(state)
    if every and every[-1].stored and now - _EVERY < every[-1].at <= now:
        return
    root = place.directory(context)
    stored = place.catalog(context).stored()
    there = root if root is not None and disk.nearest(root) == root else None
    free = shutil.disk_usage(there).free if there is not None else None
    kept = [one for one in every if one.stored and now - _KEPT < one.at < now]
    text = msgspec.json.encode([*kept, Look(now, stored, free)]).decode()
    disk.write(state / _FILE, text + "\n", durable=False)


def growth(state: Path) -> Growth | None:
    """What was noted; None: nobody has looked yet, or there was nothing."""
    every = [one for one in _read(state) if one.stored]
    if not every:
        return None
    newest = every[-1]
    week = [one for one in every if one.at >= newest.at - _WEEK]
    span = newest.at - week[0].at
    rate = (newest.stored - week[0].stored) / span if span >= _DAY else None
    whole = every[0].at <= newest.at - 2 * _WEEK + _EVERY
    return Growth(newest, week[0].stored if whole else None, rate)


def _read(state: Path) -> list[Look]:
    return disk.noted(state / _FILE, list[Look], [])
