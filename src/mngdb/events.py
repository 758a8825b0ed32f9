"""What travels from an instance's work to whoever shows it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Never

from msgspec import Struct

from mngdb.model import Notice, Step

#: Seconds between two events of progress, and after which a rate is known.
_EVERY, _KNOWN = 0.5, 1.0


class Progress(Struct, frozen=True):
    """An event: what a unit is doing, for people."""

    unit: str
    text: str


class Waiting(Progress, frozen=True):
    """An event: a unit that does not answer yet."""

    shown: bool
    """Whether it is time to tell people; else it is only for when they end the wait."""
    state: str
    """What the server says of itself."""


class Copying(Struct, frozen=True):
    """An event: how far a backup or a restore of an instance is, in bytes of the content. `total`
    is about what there will be; 0: nobody knows. `rate` in bytes per second; 0: not known yet;
    `limit` is what it may be, for all instances together; 0: there is none."""

    instance: str
    done: int
    stored: int
    total: int
    rate: float
    limit: int = 0


class Meter:
    """Counts bytes, of several threads, and tells of them twice a second."""

    def __init__(
        self, instance: str, tell: Callable[[Copying], None], total: int = 0, limit: int = 0
    ) -> None:
        self.total = total
        self._limit = limit
        self._instance = instance
        self._tell = tell
        self._done = self._stored = 0
        self._begun: float | None = None
        self._told = time.monotonic()

    def __call__(self, size: int, stored: int) -> None:
        """So many bytes of the content were done, which take `stored` bytes in the store."""
        self._done, self._stored = self._done + size, self._stored + stored
        now = time.monotonic()
        if self._begun is None:
            self._begun = now  # before that, the server was preparing it
        if now > self._told + _EVERY:
            self._told = now
            passed = now - self._begun
            rate = self._done / passed if passed >= _KNOWN else 0.0
            progress = self._done, self._stored, self.total, rate, self._limit
            self._tell(Copying(self._instance, *progress))


class Stopped(Struct, frozen=True):
    """An event: Ctrl-C came between a unit's stop and its new start."""

    unit: str


class Done(Struct, frozen=True):
    """An event: a step was done (or, with `error`, was tried)."""

    step: Step[Never]
    error: str = ""
    fresh: bool = False
    """Whether the unit was made by this very command."""


class Survey(Struct, frozen=True):
    """What `plan` shows of one instance, and what `up` could not do."""

    steps: tuple[Step[Never], ...] = ()
    notices: tuple[Notice, ...] = ()
    seconds: float = 0.0
    unmarked: frozenset[str] = frozenset()
    """Objects for `Context.record`."""
