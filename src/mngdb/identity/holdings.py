"""What data each unit of a stack has: data that was there and is not any more is told apart from
data that never was. STATE/units/UNIT.json, beside nothing that goes with the data.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from mngdb import disk
from mngdb.errors import MngdbError
from mngdb.identity.record import now

_FOLDER = "units"
#: The digits of a time to the hour: it is noted no more often.
_HOUR = 13


class Holding(Struct, frozen=True):
    """A unit's data: when it was made and seen last (UTC, ISO 8601), and the patterns of files that
    it had then."""

    since: str
    seen: str
    holds: tuple[str, ...] = ()

    def told(self, what: str) -> str:
        """`what` is missing, for people."""
        return f"its data of {self.since} is missing: {what} (last seen {self.seen})"


def made(state: Path, unit: str) -> None:
    """Note that a unit has got its data folder."""
    _write(state, unit, Holding(now(), now()))


def seen(state: Path, unit: str, holds: tuple[str, ...] = ()) -> None:
    """Note that a unit runs, and what its data has."""
    before, at = read(state, unit), now()
    if before is None or before.holds != holds or before.seen[:_HOUR] != at[:_HOUR]:
        _write(state, unit, Holding(before.since if before else at, at, holds))


def held(data: Path, patterns: Sequence[str]) -> tuple[str, ...]:
    """Those of the `patterns` that a data folder has files of."""
    return tuple(pattern for pattern in patterns if _there(data, pattern))


def missing(state: Path, unit: str, data: Path) -> str:
    """What is missing of a unit's data folder, for people; empty: nothing is."""
    found = read(state, unit)
    if found is None:
        return ""
    if not data.is_dir():
        return found.told(f"{data} does not exist")
    lost = [pattern for pattern in found.holds if _there(data, pattern) is False]
    return found.told(f"{data} has no {lost[0]}") if lost else ""


def forget(state: Path, unit: str) -> None:
    """The unit's data is not waited for any longer."""
    (state / _FOLDER / f"{unit}.json").unlink(missing_ok=True)


def units(state: Path) -> list[str]:
    """The units that have, or had, data."""
    # those in containers are noted apart: an instance may have data in both places
    folders = (state / _FOLDER, state / "compose" / _FOLDER)
    return sorted({path.stem for folder in folders for path in folder.glob("*.json")})


def read(state: Path, unit: str) -> Holding | None:
    """What a unit had. Raises MngdbError for a note that is damaged."""
    path = state / _FOLDER / f"{unit}.json"
    text = disk.read_own(path)
    if text is None:
        return None
    try:
        found = json.loads(text)
        return Holding(found["since"], found["seen"], tuple(found["holds"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        raise MngdbError(
            f"{path} is damaged", "remove it; 'mngdb up' rewrites it while the server runs"
        ) from None


def _write(state: Path, unit: str, holding: Holding) -> None:
    note = {"since": holding.since, "seen": holding.seen, "holds": list(holding.holds)}
    disk.folder(state / _FOLDER)
    disk.write(state / _FOLDER / f"{unit}.json", json.dumps(note) + "\n", durable=False)


def _there(data: Path, pattern: str) -> bool | None:
    """Whether a data folder has a file of that pattern; None: we may not look. A folder whose mode
    keeps its owner out is not an empty one, and gets its mode back when the server starts."""
    folder, _, name = pattern.rpartition("/")
    try:
        return any(one.match(name) for one in (data / folder).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:
        return None
