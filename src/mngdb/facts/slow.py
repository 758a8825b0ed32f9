"""What takes the servers' time, in one form for the three engines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from msgspec import Struct, to_builtins


class Count(NamedTuple):
    """What one statement has cost so far. PostgreSQL's numbers of user, database and statement."""

    user: int
    database: int
    query: int
    top: bool
    calls: int
    total_ms: float
    rows: int
    temporary: int
    """Blocks written to temporary files."""


class Snapshot(Struct, frozen=True):
    """The sums of a server's statements at one moment. Numbers alone: no text, no value."""

    at: float
    """Seconds since 1970, by the server's clock."""
    reset: float
    """When the sums began, as `at`."""
    dropped: int
    """Times so far that the server dropped its rarest statements to make room."""
    counts: tuple[Count, ...]
    least_ms: float = 0.0
    """Statements that are not among `counts` had cost at most so much."""


#: The last snapshot that is not younger than a moment (seconds since 1970); None with the reason.
Before = Callable[[float], tuple[Snapshot | None, str]]


def _nothing(_: float) -> tuple[Snapshot | None, str]:
    return None, "its statements are not recorded"


class Span(Struct, frozen=True):
    """Which statements are asked for."""

    since: float | None = None
    """Seconds before now; None: as far back as the server tells."""
    most: int = 20
    """So many, where the server ranks them itself."""
    before: Before = _nothing
    """What an agent keeps of a server that tells only sums."""


class Missing(Struct, frozen=True):
    """Columns that a statement looks for without an index. `rows` is what it reads instead;
    `table` is quoted where it must be."""

    database: str
    table: str
    columns: tuple[str, ...]
    rows: float
    before: float | None = None
    """The planner's cost of the statement as it is; None: nobody tried."""
    after: float | None = None
    """The same with the index."""
    size: int | None = None
    """Bytes that the index would take, as tried."""
    equal: int = 0
    """So many of the first columns are compared for equality: their order does not matter."""

    def served(self, keys: Sequence[str]) -> bool:
        """Whether an index of these keys serves as well."""
        length, equal = len(self.columns), self.equal
        same = set(keys[:equal]) == set(self.columns[:equal])
        return same and tuple(keys[equal:length]) == self.columns[equal:]


class Statement(Struct, frozen=True):
    """One normalised statement with what it cost. Times in milliseconds."""

    database: str
    app: str
    """The login; for Redis the app whose keys these are."""
    text: str
    calls: int
    total_ms: float
    mean_ms: float
    max_ms: float | None
    """None: the worst one of this span is not known."""
    rows: float
    """Rows, or documents, that one call returns on average."""
    why: tuple[str, ...] = ()
    """Why it is slow, where that can be told."""
    missing: tuple[Missing, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As `slow --json` shows it."""
        shown = to_builtins(self)
        del shown["missing"]
        for key in ("total_ms", "mean_ms", "max_ms", "rows"):
            shown[key] = None if shown[key] is None else round(shown[key], 3)
        return {**shown, "why": list(self.why)}


class Slow(Struct, frozen=True):
    """Statements of one server, and what has to be known to read them."""

    statements: tuple[Statement, ...]
    note: str = ""
