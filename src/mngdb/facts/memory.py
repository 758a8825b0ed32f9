"""Where a server's memory goes and who holds it, and what was looked at. Sizes are in bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, to_builtins

from mngdb.findings import Seen

# --- what was looked at


class Footprint(Struct, frozen=True):
    """What the kernel says of a server's processes; memory that they share is counted once."""

    total: int
    swapped: int = 0
    own: Mapping[int, int] | None = None
    """Process to what is its alone; None: single processes are out of sight."""
    shared: int = 0
    """What they made and share; in `total`, as are their programs' files."""


class Around(Struct, frozen=True):
    """What is seen from outside the server."""

    footprint: Seen[Footprint]
    there_is: Seen[int]
    """Memory for it: the machine's, the control group's, or its container's limit."""
    machine: tuple[tuple[str, str], ...] = ()
    """What is wrong with the machine for this server, and what mends it."""


class MemoryFacts:
    """What a server tells of its memory, as its engine does; `checks.memory` judges it."""


# --- the answer


class Part(Struct, frozen=True):
    """A part of the whole. Below 0: so much of the others is not in memory."""

    name: str
    size: int


class Holder(Struct, frozen=True):
    """Somebody who holds memory. `size` is None where the server does not tell."""

    app: str
    what: str
    size: int | None


class Content(Struct, frozen=True):
    """Something in a cache. `size` is None where only its share of the use is known (0 to 1)."""

    name: str
    size: int | None
    share: float
    note: str = ""


class Advice(Struct, frozen=True):
    """What was found, in a sentence, and what to change."""

    text: str
    change: str = ""


class Memory(Struct, frozen=True):
    """The answer for one server. The parts add up to `total`."""

    total: int
    limit: int | None
    """What it may take; None: nothing limits it, or nobody tells."""
    limited_by: str
    parts: tuple[Part, ...]
    holders: tuple[Holder, ...]
    contents: tuple[Content, ...]
    advice: tuple[Advice, ...]
    unseen: tuple[str, ...]
    """What could not be looked at, and why."""
    figures: Mapping[str, float]
    """Ratios and sizes that the advice rests on, by name."""

    def as_json(self) -> dict[str, Any]:
        """As `memory --json` shows it."""
        shown: dict[str, Any] = to_builtins(self)
        return shown
