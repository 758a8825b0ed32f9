"""Whether an instance's backups are worth anything: a drill has restored one, and not long ago.

Sources: requirements A10, B7 and B8; the guide's chapter "MongoDB 4".
"""

from __future__ import annotations

from collections.abc import Mapping

from mngdb.checks.catalogue import checks
from mngdb.facts.backups import Proved
from mngdb.findings import Check, Judgement, judged

_DAY = 86_400.0


def _proved(found: Proved) -> Judgement:
    if found.failed:
        return judged(False, f"the last drill failed: {found.failed}")
    if found.age is None:
        return judged(False, "no backup was ever restored")
    days, limit = found.age / _DAY, found.every / _DAY
    text = f"a drill restored one {days:.0f} days ago in {found.rto:.0f} s"
    if found.rto > found.limit:
        return judged(False, f"{text}; the file allows {found.limit:.0f} s")
    return judged(days <= limit, text)


#: Engine to its check.
PROVED: Mapping[str, Check[Proved]] = {
    one.engine: one
    for one in checks(
        __file__,
        {f"{engine}.backup-proved": _proved for engine in ("postgres", "redis", "mongodb")},
    )
}
