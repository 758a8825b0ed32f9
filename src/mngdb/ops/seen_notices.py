"""Which notices of servers an earlier `up` has shown."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from mngdb import disk
from mngdb.model import Notice

_FILE = "notices.json"


def before(state: Path, notices: Mapping[str, Sequence[Notice]]) -> list[Notice]:
    """Those of the notices, by instance, that the last `up` of that instance had too."""
    marks = _noted(state)
    return [
        one for name, found in notices.items() for one in found if _mark(one) in marks.get(name, ())
    ]


def keep(state: Path, notices: Mapping[str, Sequence[Notice]]) -> None:
    """Note that a person has seen these, by instance; what is noted of others stays. No stack is
    made for it."""
    noted = _noted(state)
    marks = noted | {name: sorted({_mark(one) for one in found}) for name, found in notices.items()}
    marks = {name: found for name, found in sorted(marks.items()) if found}
    if state.is_dir() and marks != noted:
        disk.write(state / _FILE, json.dumps(marks) + "\n", durable=False)


def _noted(state: Path) -> dict[str, list[str]]:
    """Marks by instance. A damaged note knows of none."""
    try:
        found = json.loads(disk.read_own(state / _FILE) or "{}")
        return {name: marks for name, marks in found.items() if isinstance(marks, list)}
    except (ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _mark(notice: Notice) -> str:
    return hashlib.sha256(notice.text.encode()).hexdigest()[:16]
