"""What `keys` finds in a Redis server or in an RDB file: memory by pattern, and the biggest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from msgspec import Struct, field


class Wanted(Struct, frozen=True):
    """What was asked for."""

    database: int | None = None
    sample: int | float | None = None
    """Keys, or (a float) a share of them; None: all."""
    budget: float | None = None
    """Share of the server's time, 0 to 1; None: as fast as can be."""
    lives: int | None = 200_000
    """Of how many keys expiry and idle time are asked, where all are read; None: of each."""
    idle_after: float = 7 * 86400.0
    """Seconds."""
    top: int = 5
    patterns: int = 40


#: Told now and then: keys seen, keys there are, seconds since the beginning.
Progress = Callable[[int, int, float], None]

#: While it is open, an interruption is noted, and the function given says whether there was one.
Interruptible = Callable[[], AbstractContextManager[Callable[[], bool]]]


class Amount(Struct, frozen=True):
    """Keys and the bytes of memory that they take. Of a sample: estimates of the whole, with the
    half width of their 95 % interval."""

    count: int
    bytes: int
    count_error: int = 0
    bytes_error: int = 0

    def as_json(self) -> dict[str, int]:
        return {
            "count": self.count,
            "count_error": self.count_error,
            "bytes": self.bytes,
            "bytes_error": self.bytes_error,
        }


class KeyPattern(Struct, frozen=True):
    """All keys whose names differ in what stands for `*` only."""

    pattern: str
    all: Amount
    share: float
    """Of the bytes of all keys, 0 to 1."""
    types: Mapping[str, int]
    """Type to number of keys."""
    forever: Amount | None
    """Those without expiry; None: not asked."""
    idle: Amount | None
    """Those that nobody has touched for long; None: not asked, or the server does not know."""

    def as_json(self) -> dict[str, Any]:
        return {
            "pattern": self.pattern,
            **self.all.as_json(),
            "share": round(self.share, 6),
            "mean": round(self.all.bytes / self.all.count, 1) if self.all.count else 0,
            "types": dict(self.types),
            "without_expiry": self.forever.as_json() if self.forever else None,
            "idle": self.idle.as_json() if self.idle else None,
        }


class BigKey(Struct, frozen=True):
    """One of the biggest of its type. `bytes_error` is 0 when all its elements were counted."""

    type: str
    database: int
    key: str
    bytes: int
    bytes_error: int
    elements: int | None
    """None for a string."""

    def as_json(self) -> dict[str, Any]:
        return {
            "type": self.type,
            "database": self.database,
            "key": self.key,
            "bytes": self.bytes,
            "bytes_error": self.bytes_error,
            "elements": self.elements,
        }


class KeysReport(Struct, frozen=True):
    """Where the memory of a server's keys goes."""

    source: str
    """The instance's name, or the file's."""
    total: Amount
    seen: int
    """Keys that were looked at."""
    expected: int
    """Keys that there were when it began."""
    sampled: bool
    complete: bool
    """False: it was interrupted, and tells what was seen so far."""
    databases: Mapping[int, int]
    """Number of a database to its keys."""
    types: Mapping[str, Amount]
    patterns: tuple[KeyPattern, ...]
    """The biggest first."""
    rest: tuple[int, Amount]
    """How many patterns are not listed, and what they have together."""
    biggest: tuple[BigKey, ...]
    forever: Amount | None
    idle: Amount | None
    idle_after: float
    """Seconds without use that make a key idle."""
    used_memory: int | None
    """Bytes that the whole server uses; None: not told, or a file."""
    seconds: float
    server_seconds: float | None
    """Seconds that the server worked for this, at most; None: a file, or no budget was kept."""
    notices: tuple[str, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """The report as `keys --json` prints it."""
        count, rest = self.rest
        return {
            "source": self.source,
            "complete": self.complete,
            "sampled": self.sampled,
            "seen": self.seen,
            "expected": self.expected,
            "total": self.total.as_json(),
            "used_memory": self.used_memory,
            "databases": [{"database": n, "keys": keys} for n, keys in self.databases.items()],
            "types": [{"type": name, **found.as_json()} for name, found in self.types.items()],
            "without_expiry": self.forever.as_json() if self.forever else None,
            "idle": self.idle.as_json() if self.idle else None,
            "idle_after": self.idle_after,
            "patterns": [one.as_json() for one in self.patterns],
            "more_patterns": {"patterns": count, **rest.as_json()},
            "biggest": [one.as_json() for one in self.biggest],
            "seconds": round(self.seconds, 3),
            "server_seconds": None
            if self.server_seconds is None
            else round(self.server_seconds, 3),
            "remarks": list(self.notices),
        }
