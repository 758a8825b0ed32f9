"""What is worth keeping from one stack to the next: programs' versions, prepared data folders.

Everything here can be removed at any time, and a cache that cannot be written is none.
"""

from __future__ import annotations

import os
from pathlib import Path

from mngdb import disk
from mngdb.errors import MngdbError
from mngdb.identity.home import SYSTEM
from mngdb.run import Account


def versions(account: Account | None) -> Path | None:
    """The file that remembers programs' versions."""
    folder = _folder(account)
    return folder and folder / "programs.json"


def copies(account: Account | None) -> Path | None:
    """The folder of prepared data folders, which is the servers' account's alone."""
    folder = _folder(account)
    if folder is None:
        return None
    try:
        return disk.private(folder / "prepared", owner=account)
    except (OSError, MngdbError):
        return None


def _folder(account: Account | None) -> Path | None:
    if account is not None:
        folder = SYSTEM
    else:
        home = os.environ.get("XDG_CACHE_HOME") or f"{os.environ.get('HOME', '')}/.cache"
        folder = Path(home) / "mngdb"
    if not folder.is_absolute():
        return None
    try:
        folder.mkdir(mode=0o755 if account else 0o700, parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None
