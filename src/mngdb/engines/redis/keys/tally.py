"""Counts what was seen of each key, and makes the report of it. Memory stays bounded."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count

from mngdb.engines.redis.keys.names import Names, shown
from mngdb.facts.keys import Amount, KeyPattern

#: Patterns that are kept while counting; then words in the same place are folded.
_MOST = 20_000
#: Different words in one place, tried in turn until the list is short enough.
_FAN_OUTS = (256, 64, 24)
#: Candidates for the biggest that are kept of each type.
CANDIDATES = 16
#: Half the width of a 95 % interval, in standard errors.
Z = 1.96


Part = list[int]
"""Count, bytes, and the sum of squared bytes."""


class Row:
    """What keys of one pattern and type have together; `squares` is the sum of squared bytes."""

    __slots__ = ("bytes", "count", "forever", "idle", "squares")

    def __init__(self) -> None:
        self.count = 0
        self.bytes = 0
        self.squares = 0
        self.forever: Part = [0, 0, 0]
        self.idle: Part = [0, 0, 0]

    def add(self, other: Row) -> None:
        """Have what the other has too."""
        self.count += other.count
        self.bytes += other.bytes
        self.squares += other.squares
        self.forever = [a + b for a, b in zip(self.forever, other.forever, strict=True)]
        self.idle = [a + b for a, b in zip(self.idle, other.idle, strict=True)]


@dataclass(order=True)
class Candidate:
    """A key that may be one of the biggest. `size` in bytes."""

    size: int
    order: int
    database: int = field(compare=False)
    key: bytes = field(compare=False)


class _Kind:
    """All of one type."""

    __slots__ = ("floor", "heap", "rows")

    def __init__(self) -> None:
        self.rows: dict[bytes, Row] = {}
        self.heap: list[Candidate] = []
        self.floor = -1


class Tally:
    """`idle_after` in seconds."""

    def __init__(self, idle_after: float) -> None:
        self.seen = 0
        self.gone = 0
        """Keys that were away before they were looked at."""
        self._idle_after = idle_after
        self._kinds: dict[bytes, _Kind] = {}
        self._names = Names()
        self._order = count()

    def add(
        self,
        database: int,
        keys: Sequence[bytes],
        kinds: Sequence[bytes],
        sizes: Sequence[int | None],
        lives: Sequence[int | None] | None,
        idles: Sequence[int | None] | None,
    ) -> None:
        """Keys with type, bytes, milliseconds to live (-1: for ever) and seconds without use."""
        found = self._kinds
        patterns = self._names.patterns(keys)
        nothing = (None,) * len(keys)
        idle_after = self._idle_after
        for key, pattern, name, size, life, idle in zip(
            keys, patterns, kinds, sizes, lives or nothing, idles or nothing, strict=True
        ):
            if size is None or life == -2:
                self.gone += 1
                continue
            kind = found.get(name)
            if kind is None:
                kind = found[name] = _Kind()
            row = kind.rows.get(pattern)
            if row is None:
                row = kind.rows[pattern] = Row()
            square = size * size
            row.count += 1
            row.bytes += size
            row.squares += square
            if life == -1:
                part = row.forever
                part[0] += 1
                part[1] += size
                part[2] += square
            if idle is not None and idle >= idle_after:
                part = row.idle
                part[0] += 1
                part[1] += size
                part[2] += square
            if size > kind.floor:
                self._consider(kind, size, database, key)
        self.seen += len(keys)
        if sum(len(kind.rows) for kind in found.values()) > _MOST:
            self._fold_all()

    def _consider(self, kind: _Kind, size: int, database: int, key: bytes) -> None:
        candidate = Candidate(size, -next(self._order), database, key)
        if len(kind.heap) < CANDIDATES:
            heapq.heappush(kind.heap, candidate)
        else:
            heapq.heapreplace(kind.heap, candidate)
        if len(kind.heap) == CANDIDATES:
            kind.floor = kind.heap[0].size

    def candidates(self) -> dict[str, list[Candidate]]:
        """The biggest of each type, the biggest first."""
        return {
            name.decode(): sorted(kind.heap, reverse=True) for name, kind in self._kinds.items()
        }

    def correct(self, kind: str, candidate: Candidate, size: int) -> None:
        """A candidate was measured again, better."""
        (pattern,) = self._names.patterns([candidate.key])
        row = self._kinds[kind.encode()].rows.setdefault(pattern, Row())
        before = candidate.size
        row.bytes += size - before
        row.squares += size * size - before * before
        candidate.size = size

    # --- what it comes to

    def _fold_all(self) -> None:
        """Fewer patterns, found by folding where there are most words."""
        for fan_out, depth in ((64, 1), (64, 0), (8, 0)):
            self._fold(fan_out, depth)
            if len({p for kind in self._kinds.values() for p in kind.rows}) <= _MOST // 4:
                break

    def _fold(self, fan_out: int, depth: int) -> None:
        every = {pattern for kind in self._kinds.values() for pattern in kind.rows}
        become = self._names.fold(every, fan_out, depth)
        for kind in self._kinds.values():
            rows: dict[bytes, Row] = {}
            for pattern, row in kind.rows.items():
                into = rows.setdefault(become[pattern], Row())
                into.add(row)
            kind.rows = rows

    def shorten(self, limit: int) -> None:
        """Fold until there are at most `limit` patterns, or nothing is left to fold sensibly."""
        # what folded while counting folds what came later too
        for fan_out in (1 << 30, *_FAN_OUTS):
            self._fold(fan_out, 1)
            if len({p for kind in self._kinds.values() for p in kind.rows}) <= limit:
                return
        self._fold(_FAN_OUTS[0], 0)

    def patterns(self, limit: int, scale: Scale) -> tuple[list[KeyPattern], tuple[int, Amount]]:
        """The `limit` patterns with most bytes, the biggest first, and what the others have."""
        by_pattern: dict[bytes, dict[str, Row]] = {}
        for name, kind in self._kinds.items():
            for pattern, row in kind.rows.items():
                by_pattern.setdefault(pattern, {})[name.decode()] = row
        summed = {pattern: _sum(rows.values()) for pattern, rows in by_pattern.items()}
        ranked = sorted(summed, key=lambda pattern: (-summed[pattern].bytes, pattern))
        whole = sum(row.bytes for row in summed.values()) or 1
        found = [
            KeyPattern(
                shown(pattern),
                scale.amount(row := summed[pattern]),
                row.bytes / whole,
                {kind: scale.count(one.count) for kind, one in by_pattern[pattern].items()},
                scale.part(row.forever) if scale.forever else None,
                scale.part(row.idle) if scale.idle else None,
            )
            for pattern in ranked[:limit]
        ]
        rest = _sum(summed[pattern] for pattern in ranked[limit:])
        return found, (max(0, len(ranked) - limit), scale.amount(rest))

    def types(self) -> dict[str, Row]:
        """What each type has, the biggest first."""
        found = {name.decode(): _sum(kind.rows.values()) for name, kind in self._kinds.items()}
        return dict(sorted(found.items(), key=lambda one: -one[1].bytes))

    def total(self) -> Row:
        """What all have."""
        return _sum(self.types().values())


def _sum(rows: Iterable[Row]) -> Row:
    found = Row()
    for row in rows:
        found.add(row)
    return found


@dataclass(frozen=True)
class Scale:
    """From what was seen to the whole. With all keys seen, there is nothing to estimate."""

    seen: int
    whole: int
    """Keys that there are; the same as `seen` where nothing is estimated."""
    forever: bool
    idle: bool

    @property
    def factor(self) -> float:
        """Keys that one seen key stands for."""
        return self.whole / self.seen if self.seen else 1.0

    def count(self, found: int) -> int:
        """An estimated number of keys."""
        return round(found * self.factor)

    def amount(self, row: Row) -> Amount:
        """An estimate with its errors."""
        return self.part((row.count, row.bytes, row.squares))

    def part(self, found: Sequence[int]) -> Amount:
        """The same for a count, its bytes, and the sum of their squares."""
        keys, size, squares = found
        if self.whole <= self.seen:
            return Amount(keys, size)
        n = self.seen
        # drawn without putting back: the last keys to be seen leave nothing to guess
        left = math.sqrt(1 - n / self.whole)
        # two more of each kind: also what was never seen has an error (Agresti and Coull)
        share = (keys + 2) / (n + 4)
        count_error = Z * self.whole * math.sqrt(share * (1 - share) / (n + 4)) * left
        mean = size / n
        variance = max(0.0, squares / n - mean * mean) * n / max(1, n - 1)
        bytes_error = Z * self.whole * math.sqrt(variance / n) * left
        return Amount(
            self.count(keys), round(size * self.factor), math.ceil(count_error),
            math.ceil(bytes_error),
        )  # fmt: skip
