"""How long an index has been seen without a use: one that is young has not shown what it is for.

PostgreSQL does not tell when an index was made: the first time that it was seen unused is kept in
the stack's state.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from msgspec.structs import replace

from mngdb import disk
from mngdb.errors import MngdbError
from mngdb.facts.indexes import Advice, IndexAdvice

_FILE = "indexes.json"
#: Bytes: thousands of indexes.
_MOST = 4 << 20
_DAY = 86_400.0
#: Indexes that a note names.
_NAMED = 5


def judged(folder: Path, instance: str, found: Advice, least: float, now: float) -> Advice:
    """Without the unused ones that were seen for less than `least` seconds; the note names them.
    `now` in seconds since 1970. What is new is kept in the stack's state in `folder`."""
    kept = _read(folder)
    before, seen = kept.get(instance, {}), dict[str, float]()
    stays: list[IndexAdvice] = []
    young: list[IndexAdvice] = []
    for one in found.indexes:
        if one.since is None:
            stays.append(one)
            continue
        since = one.since
        if one.mark:
            name = f"{one.database} {one.table} {one.index} {one.mark}"
            seen[name] = min(now, before.get(name, now))
            since = max(since, seen[name])
        (stays if now - since >= least else young).append(one)
    if seen != before:
        kept[instance] = seen
        # a folder of others, or a full disk: it is seen for the first time the next time, too
        with suppress(OSError, MngdbError):
            disk.write(folder / _FILE, json.dumps(kept, ensure_ascii=False) + "\n", durable=False)
    notes = [found.note, _note(young, least)] if young else [found.note]
    return replace(found, indexes=tuple(stays), note="; ".join(filter(None, notes)))


def _note(young: list[IndexAdvice], least: float) -> str:
    names = ", ".join(f"{one.table} {one.index}" for one in young[:_NAMED])
    more = f" and {len(young) - _NAMED} more" if len(young) > _NAMED else ""
    days = f"less than {least / _DAY:g} days"
    return f"not judged yet, seen without a use for {days}: {names}{more}"


def _read(folder: Path) -> dict[str, dict[str, float]]:
    """What was seen so far; nothing where that cannot be read."""
    try:
        text = disk.read_own(folder / _FILE, limit=_MOST)
        found = json.loads(text or "{}")
        return {
            str(instance): {str(name): float(at) for name, at in seen.items()}
            for instance, seen in found.items()
        }
    except (OSError, MngdbError, ValueError, AttributeError, TypeError):
        return {}
