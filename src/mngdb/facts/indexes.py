"""Indexes that cost without use, and those that are missing."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, to_builtins

Kind = Literal["unused", "duplicate", "invalid", "missing"]
#: Begins the note of an answer without missing indexes; the reason follows.
NOT_TOLD = "missing indexes are unknown"
ORDER: tuple[Kind, ...] = ("missing", "invalid", "duplicate", "unused")


class IndexAdvice(Struct, frozen=True):
    """One thing to do about one index. `size` in bytes: what it takes, or would take."""

    kind: Kind
    database: str
    table: str
    index: str
    """Its name; of a missing one, its columns."""
    size: int
    reason: str
    statement: str
    """What to run."""
    cost: str
    """What that takes."""
    planner_before: float | None = None
    """The planner's cost of the statement that lacks it; None: not tried (hypopg)."""
    planner_after: float | None = None
    """The same with the index."""
    since: float | None = None
    """When the count of its uses began, in seconds since 1970; None: it does not matter."""
    mark: str = ""
    """Tells it from one of the same name that was made later, where the server does not say when
    an index was made; else empty, and it is not younger than `since`."""

    def as_json(self) -> dict[str, Any]:
        """As `indexes --json` shows it."""
        shown: dict[str, Any] = to_builtins(self)
        del shown["mark"]
        return shown


class Advice(Struct, frozen=True):
    """All of one server, and what has to be known to read it."""

    indexes: tuple[IndexAdvice, ...]
    note: str = ""
