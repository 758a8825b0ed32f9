"""Which notices of servers an earlier `up` has shown."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from mngdb import disk
from mngdb.model import Notice

_FILE = "notices.json"


def before(state: Path, notices: Sequence[Notice]) -> list[Notice]:
    """Those of the notices that the last `up` had too. A damaged note knows of none."""
    try:
        found = json.loads(disk.read_own(state / _FILE) or "[]")
        return [one for one in notices if _mark(one) in found]
    except (ValueError, TypeError, RecursionError):
        return []


def keep(state: Path, notices: Sequence[Notice]) -> None:
    """Note that a person has seen these. No stack is made for it."""
    marks = json.dumps(sorted({_mark(one) for one in notices})) + "\n"
    if state.is_dir() and marks != (disk.read_own(state / _FILE) or "[]\n"):
        disk.write(state / _FILE, marks, durable=False)


def _mark(notice: Notice) -> str:
    return hashlib.sha256(repr((notice.instance, notice.text)).encode()).hexdigest()[:16]
