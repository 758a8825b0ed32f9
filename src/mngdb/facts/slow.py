"""What takes the servers' time, in one form for the three engines."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Missing:
    """Columns that a statement looks for without an index. `rows` is what it reads instead."""

    database: str
    table: str
    columns: tuple[str, ...]
    rows: float


@dataclass(frozen=True)
class Statement:
    """One normalised statement with what it cost. Times in milliseconds."""

    database: str
    app: str
    """The login; for Redis the app whose keys these are."""
    text: str
    calls: int
    total_ms: float
    mean_ms: float
    max_ms: float
    rows: float
    """Rows, or documents, that one call returns on average."""
    why: tuple[str, ...] = ()
    """Why it is slow, where that can be told."""
    missing: tuple[Missing, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As `slow --json` shows it."""
        shown = asdict(self)
        del shown["missing"]
        for key in ("total_ms", "mean_ms", "max_ms", "rows"):
            shown[key] = round(shown[key], 3)
        return {**shown, "why": list(self.why)}


@dataclass(frozen=True)
class Slow:
    """Statements of one server, and what has to be known to read them."""

    statements: tuple[Statement, ...]
    note: str = ""
