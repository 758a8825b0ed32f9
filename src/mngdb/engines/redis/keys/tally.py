"""Counts what was seen of each key, and makes the report of it. Memory stays bounded."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mngdb.engines.redis.keys.names import Names, shown
from mngdb.engines.redis.keys.row import Row
from mngdb.engines.redis.keys.scale import Scale
from mngdb.facts.keys import Amount, KeyPattern

#: Patterns that are kept while counting; then words in the same place are folded.
_MOST = 20_000
#: Different words in one place, tried in turn until the list is short enough.
_FAN_OUTS = (256, 64, 24)
#: Candidates for the biggest that are kept of each type.
CANDIDATES = 16
#: Keys that are counted at a time: with more, the server would wait for the next questions.
_AT_ONCE = 500

_Columns = tuple[
    list[bytes], list[bytes], list[int | None], list[bool | None], list[bool | None]
]  # fmt: skip


@dataclass(order=True)
class Candidate:
    """A key that may be one of the biggest. `size` in bytes; see Tally.add for the others."""

    size: int
    order: int
    database: int = field(compare=False)
    key: bytes = field(compare=False)
    forever: bool | None = field(compare=False)
    idle: bool | None = field(compare=False)


class _Kind:
    """All of one type."""

    __slots__ = ("floor", "heap", "rows")

    def __init__(self) -> None:
        self.rows: dict[bytes, Row] = {}
        self.heap: list[Candidate] = []
        self.floor = -1


class Tally:
    """What was seen of keys."""

    def __init__(self) -> None:
        self.seen = 0
        self.gone = 0
        """Keys that were away before they were looked at."""
        self.asked = 0
        """Keys of which it is known whether they live for ever or are idle."""
        self._kinds: dict[bytes, _Kind] = {}
        self._names = Names()
        self._order = 0
        self._database = 0
        self._waiting: _Columns = ([], [], [], [], [])

    def add(
        self,
        database: int,
        keys: Sequence[bytes],
        kinds: Sequence[bytes],
        sizes: Sequence[int | None],
        forever: Sequence[bool | None],
        idle: Sequence[bool | None],
    ) -> None:
        """Keys with type, bytes (None: it is gone), whether they live for ever and whether they
        are idle (None: not asked)."""
        if database != self._database or len(self._waiting[0]) >= _AT_ONCE:
            self.count()
            self._database = database
        waiting = self._waiting
        waiting[0].extend(keys)
        waiting[1].extend(kinds)
        waiting[2].extend(sizes)
        waiting[3].extend(forever)
        waiting[4].extend(idle)
        self.seen += len(keys)

    def count(self) -> None:
        """Count what is still waiting. Many keys are alike, and only what differs is looked at."""
        keys, kinds, sizes, forever, idle = self._waiting
        patterns = self._names.patterns(keys)
        found = Counter(zip(kinds, patterns, sizes, forever, idle, strict=True))
        big = set()
        for (name, pattern, size, lasting, unused), number in found.items():
            if size is None or name == b"none":
                self.gone += number
                continue
            kind = self._kinds.get(name)
            if kind is None:
                kind = self._kinds[name] = _Kind()
            row = kind.rows.get(pattern)
            if row is None:
                row = kind.rows[pattern] = Row()
            row.put(number, size, lasting, unused)
            if lasting is not None or unused is not None:
                self.asked += number
            if size > kind.floor:
                big.add((name, size))
        if big:
            for at, (name, size) in enumerate(zip(kinds, sizes, strict=True)):
                if size is not None and (name, size) in big:
                    self._consider(
                        self._kinds[name], size, self._database, keys[at], forever[at], idle[at]
                    )
        for column in self._waiting:
            column.clear()
        self._bound()

    def merge(self, other: Tally, database: int) -> None:
        """Have what another has too, all of it of that database."""
        other.count()
        self.seen += other.seen
        self.gone += other.gone
        self.asked += other.asked
        self._names.merge(other._names)
        for name, theirs in other._kinds.items():
            mine = self._kinds.setdefault(name, _Kind())
            for pattern, row in theirs.rows.items():
                mine.rows.setdefault(pattern, Row()).add(row)
            for one in sorted(theirs.heap, key=lambda one: -one.order):
                self._consider(mine, one.size, database, one.key, one.forever, one.idle)
        self._bound()

    def _consider(
        self, kind: _Kind, size: int, database: int, key: bytes, forever: bool | None,
        idle: bool | None,
    ) -> None:  # fmt: skip
        if size <= kind.floor:
            return
        self._order -= 1
        candidate = Candidate(size, self._order, database, key, forever, idle)
        if len(kind.heap) < CANDIDATES:
            heapq.heappush(kind.heap, candidate)
        else:
            heapq.heapreplace(kind.heap, candidate)
        if len(kind.heap) == CANDIDATES:
            kind.floor = kind.heap[0].size

    def candidates(self) -> dict[str, list[Candidate]]:
        """The biggest of each type, the biggest first."""
        self.count()
        return {
            name.decode(): sorted(kind.heap, reverse=True) for name, kind in self._kinds.items()
        }

    def settle(
        self, kind: str, candidate: Candidate, size: int, forever: bool | None, idle: bool | None
    ) -> None:
        """A candidate was measured again, better, and asked for what `forever` and `idle` tell: it
        stands for itself alone."""
        (pattern,) = self._names.patterns([candidate.key])
        row = self._kinds[kind.encode()].rows.setdefault(pattern, Row())
        row.put(-1, candidate.size, candidate.forever, candidate.idle)
        row.put_sure(size, forever, idle)
        candidate.size, candidate.forever, candidate.idle = size, forever, idle

    # --- what it comes to

    def _bound(self) -> None:
        """Fewer patterns where there are too many, found by folding where there are most words."""
        if sum(len(kind.rows) for kind in self._kinds.values()) <= _MOST:
            return
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
        ranked = sorted(summed, key=lambda pattern: (-summed[pattern].all[1], pattern))
        whole = sum(row.all[1] for row in summed.values()) or 1
        found = [
            KeyPattern(
                shown(pattern),
                scale.amount(row := summed[pattern]),
                row.all[1] / whole,
                {kind: scale.count(one.all[0]) for kind, one in by_pattern[pattern].items()},
                scale.forever_of(row),
                scale.idle_of(row),
            )
            for pattern in ranked[:limit]
        ]
        rest = _sum(summed[pattern] for pattern in ranked[limit:])
        return found, (max(0, len(ranked) - limit), scale.amount(rest))

    def types(self) -> dict[str, Row]:
        """What each type has, the biggest first."""
        found = {name.decode(): _sum(kind.rows.values()) for name, kind in self._kinds.items()}
        return dict(sorted(found.items(), key=lambda one: -one[1].all[1]))

    def total(self) -> Row:
        """What all have."""
        return _sum(self.types().values())


def _sum(rows: Iterable[Row]) -> Row:
    found = Row()
    for row in rows:
        found.add(row)
    return found
