"""Instances that the last `up` could not bring to what the file says, and why.

Written under the stack's lock alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from mngdb import disk
from mngdb.errors import MngdbError

#: Characters of an error that are kept.
_WIDE = 500


def read(state: Path) -> dict[str, str]:
    """Instance to what the last `up` of it ended with. A damaged note is none."""
    return disk.noted(_note(state), dict[str, str], {})


def note(state: Path, names: Iterable[str], errors: Mapping[str, MngdbError]) -> None:
    """How an `up` of these ended."""
    before = read(state)
    tried = set(names)
    found = {name: text for name, text in before.items() if name not in tried}
    found |= {name: errors[name].message[:_WIDE] for name in tried & errors.keys()}
    if found != before:
        disk.write(_note(state), json.dumps(found) + "\n", durable=False)


def _note(state: Path) -> Path:
    return state / "unfinished.json"
