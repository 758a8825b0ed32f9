"""From what was seen of keys to all of them, with the errors of that."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from mngdb.engines.redis.keys.row import Part, Row
from mngdb.facts.keys import Amount

#: Half the width of a 95 % interval, in standard errors.
_Z = 1.96


class Scale(Struct, frozen=True):
    """From what was seen to the whole. With all keys seen, there is nothing to estimate but what
    some of them only were asked for."""

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
        return self._amount(row.all)

    def forever_of(self, row: Row) -> Amount | None:
        """Those that live for ever; None: none was asked."""
        return self._within(row, row.forever, row.sure_forever) if self.forever else None

    def idle_of(self, row: Row) -> Amount | None:
        """Those that are idle; None: none was asked."""
        return self._within(row, row.idle, row.sure_idle) if self.idle else None

    def _amount(self, found: Sequence[float]) -> Amount:
        """For a count, its bytes, and the sum of their squares."""
        keys, size, squares = found
        if self.whole <= self.seen:
            return Amount(round(keys), round(size))
        n = self.seen
        # drawn without putting back: the last keys to be seen leave nothing to guess
        left = math.sqrt(1 - n / self.whole)
        # two more of each kind: also what was never seen has an error (Agresti and Coull)
        share = (keys + 2) / (n + 4)
        count_error = _Z * self.whole * math.sqrt(share * (1 - share) / (n + 4)) * left
        mean = size / n
        variance = max(0.0, squares / n - mean * mean) * n / max(1, n - 1)
        bytes_error = _Z * self.whole * math.sqrt(variance / n) * left
        return Amount(
            round(keys * self.factor), round(size * self.factor), math.ceil(count_error),
            math.ceil(bytes_error),
        )  # fmt: skip

    def _within(self, row: Row, part: Part, sure: Part) -> Amount | None:
        """A part of a row's keys, from those of them that were asked."""
        keys, size = row.all[0] - row.sure[0], row.all[1] - row.sure[1]
        asked = row.asked[0]
        if asked >= keys:
            return self._amount([a + b for a, b in zip(part, sure, strict=True)])
        if not asked:
            return None
        left = math.sqrt(1 - asked / keys)
        # as above: two more of each kind, of the usual size
        mean = row.asked[1] / asked
        n = asked + 4
        share = (part[0] + 2) / n
        count_error = _Z * keys * math.sqrt(share * (1 - share) / n) * left
        # the bytes of all are known, so what is estimated is the part's share of them
        ratio = (part[1] + 2 * mean) / (row.asked[1] + 4 * mean) if mean else 0.0
        squares, others = part[2] + 2 * mean**2, row.asked[2] - part[2] + 2 * mean**2
        spread = (1 - ratio) ** 2 * squares + ratio**2 * others
        bytes_error = _Z * keys * math.sqrt(spread / n / (n - 1)) * left
        grown = keys / asked
        base = self._amount((
            part[0] * grown + sure[0],
            (part[1] / row.asked[1] * size if row.asked[1] else 0.0) + sure[1],
            part[2] * grown + sure[2],
        ))  # fmt: skip
        return Amount(
            base.count,
            base.bytes,
            math.ceil(math.hypot(base.count_error, count_error * self.factor)),
            math.ceil(math.hypot(base.bytes_error, bytes_error * self.factor)),
        )
