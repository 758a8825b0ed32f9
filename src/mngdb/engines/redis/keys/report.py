"""The report of what was read, from a server or from a file."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from mngdb.engines.redis.keys.scale import Scale
from mngdb.engines.redis.keys.tally import Tally
from mngdb.facts.keys import BigKey, KeysReport, Wanted


def report(
    source: str, wanted: Wanted, tally: Tally, scale: Scale, big: list[BigKey], **more: Any
) -> KeysReport:
    """The report of a tally; `more` are further fields of it."""
    tally.shorten(wanted.patterns)
    patterns, rest = tally.patterns(wanted.patterns, scale)
    total = tally.total()
    return KeysReport(
        source=source,
        # how many there are is known; what is estimated of them is their bytes
        total=replace(scale.amount(total), count_error=0),
        seen=tally.seen,
        types={name: scale.amount(row) for name, row in tally.types().items()},
        patterns=tuple(patterns),
        rest=rest,
        biggest=tuple(big),
        forever=scale.forever_of(total),
        idle=scale.idle_of(total),
        idle_after=wanted.idle_after,
        **more,
    )
