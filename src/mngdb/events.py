"""What travels from an instance's work to whoever shows it."""

from __future__ import annotations

from typing import Never

from msgspec import Struct

from mngdb.model import Notice, Step


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
