"""Files that are whole or not there, private from their first byte."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import time
from pathlib import Path

from mngdb.errors import MngdbError
from mngdb.run import Account


def write(
    path: Path,
    content: str,
    *,
    mode: int = 0o600,
    owner: Account | None = None,
    durable: bool = True,
) -> None:
    """Write a file under a temporary name, bring it to the disk, then rename it. What can be
    written anew at any time need not be `durable`.

    Raises OSError that names the file; the old one, if any, is then untouched and nothing is left
    beside it.
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
            if durable:
                os.fsync(handle)
        finally:
            os.close(handle)
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a full disk does not say which one
        raise


def private(path: Path, *, owner: Account | None = None) -> Path:
    """Make a folder that `owner` alone may enter. Raises MngdbError when there is something of
    somebody else's in its place, a link included: in /tmp anybody may have put it there."""
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except NotADirectoryError:
        raise MngdbError(f"{path} is no folder", "remove it") from None
    try:
        found = os.fstat(handle)
        wanted = owner.uid if owner else os.geteuid()
        if found.st_uid not in {wanted, os.geteuid()}:
            raise MngdbError(f"{path} belongs to somebody else", "remove it")
        if found.st_mode & 0o7777 != 0o700:
            os.fchmod(handle, 0o700)
        if owner is not None and found.st_uid != wanted:
            os.fchown(handle, owner.uid, owner.gid)
    finally:
        os.close(handle)
    return path


def remove(path: Path) -> None:
    """Remove a folder that a process which was just killed may still write to."""
    for _ in range(50):
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            if not path.exists():
                return
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
        else:
            return
        time.sleep(0.02)
    shutil.rmtree(path)


def sync(path: Path) -> None:
    """Bring a file, or a folder's names, to the disk. One that is gone needs nothing."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(path: Path) -> None:
    """Bring everything in a folder to the disk, while a server may already work in it."""
    for folder, _, names in os.walk(path):
        for name in names:
            file = Path(folder) / name
            if not file.is_symlink():
                sync(file)
        sync(Path(folder))


def folder(path: Path, *, mode: int = 0o700, owner: Account | None = None) -> Path:
    """Make a folder with its parents if it is missing, and set its mode and owner."""
    path.mkdir(mode=mode, parents=True, exist_ok=True)
    if path.stat().st_mode & 0o7777 != mode:
        path.chmod(mode)
    if owner is not None and path.stat().st_uid != owner.uid:
        os.chown(path, owner.uid, owner.gid, follow_symlinks=False)
    return path
