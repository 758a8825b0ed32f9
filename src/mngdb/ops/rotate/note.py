"""Rotations that were begun and are not over, in STATE/rotation.json: names and phases, no secrets.

| phase         | the vault has                 | logs in              |
|---------------|-------------------------------|----------------------|
| `opening`     | current, pending              | current, then both   |
| `publishing`  | the pending becomes current   | both                 |
| `waiting`     | current, previous             | both                 |
| `withdrawing` | current, then nothing else    | both, then current   |

The logins of the administrator and the monitor have one password: it changes on the server while
`publishing`, and until that is over either may be the right one.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from mngdb import disk
from mngdb.errors import UsageError
from mngdb.spec.agent import MONITOR

Phase = Literal["opening", "publishing", "waiting", "withdrawing"]
ADMIN = "admin"


class Entry(Struct, frozen=True):
    """One login's rotation. Moments are seconds since the epoch, `grace` is in seconds."""

    secret: str
    """The vault's name of it."""
    instance: str
    login: str
    """An app, `admin` or `monitor`."""
    phase: Phase
    begun: float
    grace: float
    """How long sessions of the old password may go on."""
    published: float | None = None
    back: bool = False
    """Whether it goes back to the password of before."""
    until: float | None = None
    """Of one that goes back, when that password had been replaced: what was opened before is its
    own."""
    now: bool = False
    """The old password has leaked: nothing that it opened is waited for."""
    together: str = ""
    """`together` of all that the command rotates which began it: given again it finishes them, and
    begins nothing anew."""

    @property
    def single(self) -> bool:
        """Whether the login has one password at a time, and no other login beside it."""
        return self.login in {ADMIN, MONITOR}

    def passed(self) -> float:
        """Seconds since its password was published. A clock that was set back counts as none."""
        return max(0.0, time.time() - (self.published or 0.0))


def together(names: Iterable[str]) -> str:
    """What tells these of the vault's names, in any order, from others: a list of all of them with
    each would be too much for the note."""
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:16]


def entries(state: Path) -> dict[str, Entry]:
    """What goes on, by the vault's names. Raises UsageError for a damaged note."""
    path = state / "rotation.json"
    try:
        found = disk.read_note(path, list[Entry]) or []
    except ValueError:
        raise UsageError(
            f"{path} is damaged",
            "remove it, then run 'mngdb up': the vault's current passwords stay valid, others end",
        ) from None
    return {one.secret: one for one in found}


def keep(state: Path, found: Iterable[Entry]) -> None:
    """Write the note. Raises OSError."""
    disk.write(state / "rotation.json", msgspec.json.encode(list(found)).decode() + "\n")
