"""Pieces of WAL as files of pg_wal, and whether all of it was replayed.

https://github.com/postgres/postgres/blob/REL_17_STABLE/src/include/access/xlog_internal.h
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from msgspec import Struct

from mngdb import disk
from mngdb.engines.postgres import replication
from mngdb.errors import MngdbError, of_system
from mngdb.run import Account
from mngdb.snapshot import Saved

_NAME = re.compile("[0-9A-F]{24}")
#: Bytes of the log's end that are kept, to tell its end from damage.
_TAIL = 32 << 20
#: Bytes of a page, of its header, and of the header of a segment's first page.
_PAGE, _HEADER, _FIRST = 8192, 24, 40


class Log(Struct):
    """The log up to a position: its last bytes, and the size of its segments. `there`: when all of
    it was there, or earlier where nobody knows (seconds since the epoch)."""

    end: int
    size: int
    tail: bytearray
    there: float = 0.0

    def take(self, data: memoryview) -> None:
        """Take the next bytes."""
        self.tail += data
        if len(self.tail) > 2 * _TAIL:
            del self.tail[:-_TAIL]
        self.end += len(data)

    def check(self, replayed: int) -> None:
        """Raise MngdbError where PostgreSQL ended its replay at `replayed` although more follows.
        The server may have been in the middle of a record when its log was read for the last
        time."""
        begin = self._past_header(replayed)
        found = bytes(self.tail[len(self.tail) - max(0, self.end - begin) :])
        if not any(found):
            return
        if replayed < self.end - len(self.tail) or self._record(begin, found) <= self.end:
            raise MngdbError(
                f"the log is damaged at {replication.text(replayed)}: "
                f"PostgreSQL cannot read the {self.end - replayed:,} bytes from there on"
            )

    def _past_header(self, position: int) -> int:
        if position % _PAGE:
            return position
        return position + (_HEADER if position % self.size else _FIRST)

    def _record(self, begin: int, found: bytes) -> int:
        """Where the record that begins there ends."""
        left, position = int.from_bytes(found[:4], "little"), begin
        while left > (room := _PAGE - position % _PAGE):
            left -= room
            position = self._past_header(position + room)
        return position + left


def lay(saved: Saved, folder: Path, account: Account | None) -> Log:
    """Write the log that leads on from a snapshot into its pg_wal, up to `Saved.stop` where that is
    given. Raises MngdbError."""
    point = saved.taken.log
    if point is None:
        raise MngdbError("the snapshot does not say where the log leads on from it")
    try:
        size = _size(folder, account)
        log = Log(point.position, size, bytearray())
        files = _Files(folder, replication.timeline(point.branch), size, account)
    except OSError as error:
        raise of_system(error) from None
    try:
        for piece in saved.log():
            if piece.begin > log.end:
                raise MngdbError(f"the log has a gap of {piece.begin - log.end:,} bytes")
            end = piece.end if saved.stop is None else min(piece.end, saved.stop)
            data = memoryview(piece.data)[log.end - piece.begin : max(0, end - piece.begin)]
            if data:
                log.there = piece.there(len(piece.data))
                files.write(log.end, data)
                log.take(data)
        files.end(log.end)
    except OSError as error:
        raise of_system(error) from None
    finally:
        files.close()
    return log


def _size(folder: Path, account: Account | None) -> int:
    """Of a segment, in bytes."""
    with disk.acting(account):
        sizes = (one.lstat().st_size for one in folder.iterdir() if _NAME.fullmatch(one.name))
        return next(filter(None, sizes), 16 << 20)


def cut(log: Log, branch: str, position: int, folder: Path, account: Account | None) -> None:
    """Have the log that was laid end earlier. Raises MngdbError."""
    files = _Files(folder, replication.timeline(branch), log.size, account)
    try:
        last = files.path(position // log.size).name
        with disk.acting(account):
            for path in folder.iterdir():
                if _NAME.fullmatch(path.name) and path.name > last:
                    path.unlink()
        files.end(position)
    except OSError as error:
        raise of_system(error) from None
    finally:
        files.close()
    del log.tail[max(0, len(log.tail) - (log.end - position)) :]
    log.end = position


class _Files:
    """The segments of a timeline, written from one position to the next."""

    def __init__(self, folder: Path, timeline: int, size: int, account: Account | None) -> None:
        self._folder, self._timeline, self._size = folder, timeline, size
        self._account = account
        self._number, self._handle = -1, -1

    def write(self, position: int, data: memoryview) -> None:
        """Raises OSError."""
        while data:
            self._open(position // self._size)
            at = position % self._size
            written = os.pwrite(self._handle, data[: self._size - at], at)
            data, position = data[written:], position + written

    def end(self, position: int) -> None:
        """Nothing follows: what the segment held there before is no part of the log. Raises
        OSError."""
        if position % self._size:
            self._open(position // self._size)
            os.ftruncate(self._handle, position % self._size)
            os.ftruncate(self._handle, self._size)

    def path(self, number: int) -> Path:
        """The file of a segment."""
        high, low = divmod(number, (1 << 32) // self._size)
        return self._folder / f"{self._timeline:08X}{high:08X}{low:08X}"

    def _open(self, number: int) -> None:
        if number == self._number:
            return
        self.close()
        with disk.acting(self._account):
            self._handle = disk.own(self.path(number), os.O_RDWR | os.O_CREAT, owners=None)
        os.ftruncate(self._handle, self._size)
        self._number = number

    def close(self) -> None:
        """Close the file that is open."""
        if self._handle >= 0:
            os.close(self._handle)
        self._number, self._handle = -1, -1
