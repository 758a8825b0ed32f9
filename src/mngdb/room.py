"""Why nothing can be written to a file system, as whoever wants to write is not told."""

from __future__ import annotations

import os
import shutil

READ_ONLY, NO_INODES = "is read-only", "has no free inodes"
#: Inodes that may be free where none was: a server that fails removes what it had begun.
_LEFT = 16
#: So many bytes of a disk are the servers': no copy of a log takes them.
_SPARE = 64 << 20


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


def for_copies(folder: str | os.PathLike[str]) -> int:
    """How many bytes a copy of a log may have there. Raises OSError."""
    return max(0, shutil.disk_usage(folder).free - _SPARE)
