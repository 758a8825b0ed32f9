"""When the agent restarted servers that had crashed, since they were last looked at: `up` and
`restart` of a server by its name forget it, those of the whole stack only what is long past.

Written under the stack's lock alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mngdb import disk
from mngdb.identity.record import now

#: Of each server so many times are kept.
_KEPT = 100
_RECENT = timedelta(hours=1)


def since_up(state: Path) -> dict[str, tuple[str, ...]]:
    """Unit to times (UTC, ISO 8601), the last one last. A damaged note is none."""
    return disk.noted(_note(state), dict[str, tuple[str, ...]], {})


def note(state: Path, unit: str) -> None:
    """It was restarted just now."""
    found = since_up(state)
    _write(state, found | {unit: (*found.get(unit, ()), now())[-_KEPT:]})


def forget(state: Path, units: Iterable[str] | None = None) -> None:
    """Somebody looks at these units; None: at the stack as a whole, as people do in the middle of
    trouble, too: then a unit is forgotten that has not crashed within the last hour."""
    found = since_up(state)
    if units is None:
        recent = (datetime.now(UTC) - _RECENT).isoformat(timespec="seconds")
        gone = {unit for unit, times in found.items() if not times or times[-1] < recent}
    else:
        gone = set(units) & set(found)
    if gone:
        _write(state, {unit: times for unit, times in found.items() if unit not in gone})


def _write(state: Path, found: dict[str, tuple[str, ...]]) -> None:
    disk.write(_note(state), json.dumps(found) + "\n", durable=False)


def _note(state: Path) -> Path:
    return state / "crashes.json"
