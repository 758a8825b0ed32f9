"""Space that is taken and holds nothing."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.structs import asdict


class Bloat(Struct, frozen=True):
    """A table, an index or a collection. Sizes in bytes; `wasted` is an estimate."""

    database: str
    name: str
    kind: str
    """table, index, collection."""
    size: int
    wasted: int
    dead: int
    """Rows that are dead and not yet cleaned."""
    reason: str
    """Why it is not cleaned; empty when it is."""
    statement: str
    """What gives the space back."""

    def as_json(self) -> dict[str, Any]:
        """As `bloat --json` shows it."""
        return asdict(self)


class Bloated(Struct, frozen=True):
    """All of one server, the worst first, and what has to be known to read it."""

    objects: tuple[Bloat, ...]
    note: str = ""
