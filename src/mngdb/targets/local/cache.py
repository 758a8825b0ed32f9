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


def versions(*, others: bool) -> Path | None:
    """The file that remembers programs' versions. `others`: servers run as other accounts."""
    folder = _folder(others=others)
    return folder and folder / "programs.json"


def copies(account: Account | None) -> Path | None:
    """The folder of prepared data folders, which is the servers' account's alone."""
    folder = _folder(others=account is not None)
    if folder is None:
        return None
    name = f"prepared-{account.name}" if account else "prepared"
    try:
        return disk.private(folder / name, owner=account)
    except (OSError, MngdbError):
        return None


def _folder(*, others: bool) -> Path | None:
    if others:
        folder = SYSTEM
    else:
        home = os.environ.get("XDG_CACHE_HOME") or f"{os.environ.get('HOME', '')}/.cache"
        folder = Path(home) / "mngdb"
    if not folder.is_absolute():
        return None
    try:
        folder.mkdir(mode=0o755 if others else 0o700, parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None
