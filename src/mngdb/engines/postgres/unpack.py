"""An archive into an empty data folder."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from mngdb import disk
from mngdb.errors import MngdbError, of_system
from mngdb.run import Account

#: An archive's unit: a header, or what a file is filled up to.
_BLOCK = tarfile.BLOCKSIZE


class _Source:
    """Pieces as bytes that are read once. None is copied: tarfile's own stream does so several
    times, which takes longer than to write them."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._piece = memoryview(b"")

    def take(self, most: int) -> memoryview:
        """The next bytes, up to `most`; none at the end."""
        if not self._piece:
            self._piece = memoryview(next(self._pieces, b""))
        found, self._piece = self._piece[:most], self._piece[most:]
        return found

    def block(self, size: int = _BLOCK) -> bytes:
        """The next `size` bytes, fewer at the end."""
        found = b""
        while len(found) < size and (more := self.take(size - len(found))):
            found += more
        return found


def tar(pieces: Iterator[bytes], into: Path, account: Account | None) -> None:
    """Write an archive's files below `into`, owned by `account`. They are brought to the disk by
    the server: its recovery begins with that. Raises MngdbError for what does not belong into a
    data folder, or is no archive."""
    source = _Source(pieces)
    try:
        while (head := source.block()).strip(b"\0"):
            member = tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
            _member(source, member, into, account)
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
                disk.append(target, piece)
    except OSError as error:
        raise of_system(error) from None


def folder(path: Path, account: Account | None) -> None:
    """Make a folder of `account`'s in another one of its own, unless it is there."""
    with disk.acting(account):
        path.mkdir(mode=0o700, exist_ok=True)


def disarm(into: Path, account: Account | None) -> None:
    """Let nothing in a data folder tell the server what to run or whom to follow: that is for the
    settings that we give it. What `ALTER SYSTEM` had set is kept beside. Raises MngdbError."""
    try:
        settings = into / "postgresql.auto.conf"
        with disk.acting(account):
            for name in ("standby.signal", "recovery.signal"):
                (into / name).unlink(missing_ok=True)
            if os.path.lexists(settings):
                settings.rename(into / "postgresql.auto.conf.restored")
        file(iter(()), settings, account)
    except OSError as error:
        raise of_system(error) from None


def _member(source: _Source, member: tarfile.TarInfo, into: Path, account: Account | None) -> None:
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
    with _made(path, account) as target:
        left = member.size
        while left:
            data = source.take(left)
            if not data:
                raise MngdbError(f"the archive ends within {member.name}")
            disk.append(target, data)
            left -= len(data)
    source.block(-member.size % _BLOCK)


@contextmanager
def _made(path: Path, account: Account | None) -> Iterator[int]:
    with disk.acting(account):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)
