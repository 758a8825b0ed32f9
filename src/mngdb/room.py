"""Why nothing can be written to a file system, as whoever wants to write is not told."""

from __future__ import annotations

import os

READ_ONLY, NO_INODES = "is read-only", "has no free inodes"
#: Inodes that may be free where none was: a server that fails removes what it had begun.
_LEFT = 16


def closed(found: os.statvfs_result) -> str:
    """Why a file system that may have space takes no new file; empty: it takes one."""
    if found.f_flag & os.ST_RDONLY:
        return READ_ONLY
    return NO_INODES if found.f_files and found.f_favail < _LEFT else ""


def lacking(path: str | os.PathLike[str]) -> str:
    """What a folder's file system lacks for writing; empty: nothing, or it cannot be asked."""
    try:
        found = os.statvfs(path)
    except OSError:
        return ""
    if why := closed(found):
        return f"the file system of {path} {why}"
    return "" if found.f_bavail else f"the disk under {path} is full"
