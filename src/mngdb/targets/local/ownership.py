"""Whose a unit's files are, where root starts servers: each engine's servers have an account of
their own, so that a hole in one opens no files of the others."""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from mngdb.run import Account


def owner(folder: Path) -> Account | None:
    """The account that a folder of root's making was given to; None: there is none, or it was not
    given away."""
    try:
        found = folder.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if found.st_uid == 0:
        return None
    return Account(_name(found.st_uid), found.st_uid, found.st_gid)


@cache
def _name(uid: int) -> str:
    """An account's name, looked up once: every look at a unit asks whose it is."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the user id {uid}"


def leads_out(data: Path) -> bool:
    """Whether data lies elsewhere by links that a server made (tablespaces): root does not follow
    them, so those files cannot be given to another account."""
    if data.is_symlink():
        return True
    if not data.is_dir():
        return False
    tops = list(os.scandir(data))
    below = [Path(entry.path) for entry in tops if entry.is_dir(follow_symlinks=False)]
    found = [*tops, *(entry for folder in below for entry in os.scandir(folder))]
    return any(entry.is_symlink() for entry in found)


def hand_over(folders: Iterable[Path], before: Account, account: Account) -> None:
    """Give what is in the folders, and is of the account `before`, to another. Of a server that
    does not run. The last folder's own change comes last of all: until then it can be done again.
    Links are not followed, and what belongs to anybody else stays so."""
    for top in folders:
        if not top.is_dir() or top.is_symlink():
            continue
        for _, names, files, handle in os.fwalk(top, topdown=False):
            for name in (*names, *files):
                found = os.stat(name, dir_fd=handle, follow_symlinks=False)
                if found.st_uid == before.uid:
                    os.chown(name, account.uid, account.gid, dir_fd=handle, follow_symlinks=False)
        if top.lstat().st_uid == before.uid:
            os.chown(top, account.uid, account.gid, follow_symlinks=False)


def reclaim(folders: Iterable[Path], account: Account, *, folders_too: bool = True) -> None:
    """Give what root has in the folders of a unit to its account: data that was copied back by root
    (`cp -r`) is of no use to a server. Of one that does not run. Links are not followed, and a file
    of two names stays as it is: the other one may be elsewhere."""
    for top in folders:
        usual = not top.is_dir() or top.is_symlink() or not _roots(top, itself=folders_too)
        if usual:
            continue  # without a walk
        for _, _, files, folder in os.fwalk(top, topdown=False):
            for name in files:
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                with contextlib.suppress(OSError):
                    handle = os.open(name, flags, dir_fd=folder)
                    try:
                        _give(handle, account)
                    finally:
                        os.close(handle)
            if folders_too:
                _give(folder, account)


def _roots(folder: Path, *, itself: bool) -> bool:
    """Whether root has something right in the folder, or the folder `itself`."""
    with os.scandir(folder) as found:
        owners = {one.stat(follow_symlinks=False).st_uid for one in found}
    return 0 in owners or (itself and folder.lstat().st_uid == 0)


def _give(handle: int, account: Account) -> None:
    found = os.fstat(handle)
    whole = stat.S_ISDIR(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_nlink == 1)
    if found.st_uid == 0 and whole:
        os.fchown(handle, account.uid, account.gid)


def close(data: Path) -> None:
    """Take a data folder from everybody but its owner and, to read, its group: PostgreSQL does not
    start in another one. The owner gets it whole."""
    mode = stat.S_IMODE(data.stat().st_mode)
    if mode != (closed := mode & ~0o027 | 0o700):
        data.chmod(closed)


def stranger(data: Path, account: Account) -> str:
    """The first thing in a data folder that is not its account's, for people; empty: all is."""
    for folder, names, files in os.walk(data):
        for path in (Path(folder), *(Path(folder, name) for name in sorted((*names, *files)))):
            with contextlib.suppress(FileNotFoundError):
                uid = path.lstat().st_uid
                if uid != account.uid:
                    return f"{path} belongs to {_name(uid)}, and the server runs as {account.name}"
    return ""
