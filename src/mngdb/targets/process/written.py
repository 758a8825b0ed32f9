"""Which server wrote the data that is there, and whether another one can read it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from mngdb import disk
from mngdb.errors import MngdbError
from mngdb.model import Unit
from mngdb.release import HEAD, Release


def heads(folder: Path, patterns: Sequence[str]) -> list[bytes]:
    """The beginnings of the files that tell. Raises OSError."""
    found = []
    for path in sorted(one for pattern in patterns for one in folder.glob(pattern)):
        # the server's account may have put anything in its place
        with os.fdopen(disk.own(path, os.O_RDONLY, owners=None), "rb") as file:
            found.append(file.read(HEAD))
    return found


def judge(
    unit: Unit, found: Sequence[bytes], last: Release | None, program: Release, where: str
) -> None:
    """Raises MngdbError with who wrote the data `where`, when `program` cannot read it."""
    wrong = unit.data.judge(found, last) if unit.data else None
    if wrong is not None:
        raise MngdbError(
            f"{unit.name}: the data {where} was written by {wrong.wrote}, and {program} cannot "
            "read it",
            wrong.hint,
        )


def render(release: Release) -> str:
    """What is kept beside the data."""
    return json.dumps(
        {"product": release.product, "version": release.version, "data": release.data}
    )


def parse(text: str) -> Release | None:
    """What `render` wrote; None for anything else: then the data alone tells."""
    try:
        return Release(**json.loads(text))
    except (ValueError, TypeError, RecursionError):
        return None
