"""Files that are whole or not there, private from their first byte."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from mngdb.run import Account


def write(path: Path, content: str, *, mode: int = 0o600, owner: Account | None = None) -> None:
    """Write a file under a temporary name, bring it to the disk, then rename it.

    Raises OSError; the old file, if any, is then untouched and nothing is left beside it.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        try:
            if owner is not None:
                os.fchown(handle, owner.uid, owner.gid)
            os.fchmod(handle, mode)
            data = content.encode()
            while data:
                data = data[os.write(handle, data) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def folder(path: Path, *, mode: int = 0o700, owner: Account | None = None) -> Path:
    """Make a folder with its parents if it is missing, and set its mode and owner."""
    path.mkdir(mode=mode, parents=True, exist_ok=True)
    if path.stat().st_mode & 0o7777 != mode:
        path.chmod(mode)
    if owner is not None and path.stat().st_uid != owner.uid:
        os.chown(path, owner.uid, owner.gid, follow_symlinks=False)
    return path
