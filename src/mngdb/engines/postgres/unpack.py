"""An archive into an empty data folder."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from mngdb.errors import MngdbError, of_system
from mngdb.run import Account

#: Bytes that the archive is read by.
_READ = 1 << 20


class _File:
    """Pieces as a file that is read once."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._piece = memoryview(b"")

    def read(self, size: int) -> bytes:
        found = []
        while size > 0:
            if not self._piece:
                self._piece = memoryview(next(self._pieces, b""))
                if not self._piece:
                    break
            found.append(self._piece[:size])
            self._piece = self._piece[size:]
            size -= len(found[-1])
        return b"".join(found)


def tar(pieces: Iterator[bytes], into: Path, account: Account | None) -> None:
    """Write an archive's files below `into`, owned by `account`, and bring them to the disk. Raises
    MngdbError for what does not belong into a data folder, or is no archive."""
    try:
        with tarfile.open(fileobj=_File(pieces), mode="r|", bufsize=_READ) as archive:  # type: ignore[call-overload]
            for member in archive:
                _member(archive, member, into, account)
        for _ in pieces:
            pass  # what is damaged after the archive's end is damaged all the same
    except tarfile.TarError as error:
        raise MngdbError(f"the archive cannot be unpacked: {error}") from None
    except OSError as error:
        raise of_system(error) from None


def file(pieces: Iterator[bytes], path: Path, account: Account | None) -> None:
    """Write a file of `account`'s. Raises MngdbError."""
    try:
        with _made(path, account) as target:
            for piece in pieces:
                target.write(piece)
    except OSError as error:
        raise of_system(error) from None


def folder(path: Path, account: Account | None) -> None:
    """Make a folder of `account`'s, unless it is there."""
    path.mkdir(mode=0o700, exist_ok=True)
    if account is not None:
        os.chown(path, account.uid, account.gid)


def _member(
    archive: tarfile.TarFile, member: tarfile.TarInfo, into: Path, account: Account | None
) -> None:
    if not (member.isreg() or member.isdir()):
        raise MngdbError(f"the archive holds {member.name}, which is neither file nor directory")
    # not tarfile's own filter: Debian 12's Python 3.11.2 has none
    inside = PurePosixPath(member.name)
    if inside.is_absolute() or ".." in inside.parts:
        raise MngdbError(f"the archive holds {member.name}, which is outside of the data folder")
    path = into / inside
    if member.isdir():
        folder(path, account)
        return
    source = archive.extractfile(member)
    if source is None:
        raise MngdbError(f"the archive holds nothing for {member.name}")
    with _made(path, account) as target:
        left = member.size
        while left:
            data = source.read(min(left, _READ))
            if not data:
                raise MngdbError(f"the archive ends within {member.name}")
            left -= target.write(data)


def _made(path: Path, account: Account | None) -> BinaryIO:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    if account is not None:
        os.fchown(handle, account.uid, account.gid)
    return os.fdopen(handle, "wb")
