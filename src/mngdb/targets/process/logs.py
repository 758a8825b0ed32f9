"""A server's log as a file: its end, its lines as they come, what was set aside of it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from mngdb import disk, room
from mngdb.errors import MngdbError
from mngdb.run import NOTHING
from mngdb.targets.process.log_messages import cause

#: A log larger than this many bytes is set aside: as many of its last ones are kept in one old log.
LOG_MAX = 32 << 20
_POLL = 0.2
#: Bytes that are read at once, and of a line without an end before it is given up.
_PIECE, _LINE_MAX = 1 << 20, 8 << 20
#: Bytes that are read of what is new, and by which a place is known again.
_FRESH_MAX, _KNOWN = 8 << 20, 40


class Started(Struct, frozen=True):
    """A program that we started, and where in the log it began to speak."""

    process: subprocess.Popen[bytes]
    log: Path
    offset: int

    def said(self) -> str:
        """Why it ended, in its own words; where it could not write them, in ours."""
        found, why = cause(tail(self.log, since=self.offset)), room.lacking(self.log.parent)
        return f"{found}; {why}" if why and found != NOTHING else why or found


@contextmanager
def appending(path: Path) -> Iterator[tuple[int, int]]:
    """A log's handle, to write at its end, and where that is."""
    handle = disk.own(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.set_blocking(handle, True)  # for the program that gets it
        yield handle, os.fstat(handle).st_size
    finally:
        os.close(handle)


def _opened(path: Path) -> BinaryIO:
    return os.fdopen(disk.own(path, os.O_RDONLY), "rb")


def tail(path: Path, size: int = 1 << 16, since: int = 0) -> str:
    """The last `size` bytes of a log, nothing before `since`."""
    try:
        with _opened(path) as handle:
            end = handle.seek(0, 2)
            handle.seek(max(0, since if since <= end else 0, end - size))
            return handle.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


class LogFile(Struct, frozen=True):
    """The log of a unit that writes to a file of ours (`targets.log.Log`)."""

    path: Path
    pid: int | None
    """Of the process that writes it, if it runs."""

    def lost(self) -> str:
        """Why what the unit writes is not in it; empty: it is, as far as anybody may look."""
        if self.pid is None:
            return ""
        try:
            written = Path(f"/proc/{self.pid}/fd/2").stat()
        except OSError:
            return ""  # it has ended, or is not ours to look at
        with contextlib.suppress(FileNotFoundError):
            there = self.path.stat()
            if (written.st_dev, written.st_ino) == (there.st_dev, there.st_ino):
                return ""
        return f"{self.path} was moved or removed while its process has it open"

    def last(self, count: int) -> list[str]:
        """Its last lines, also from what was set aside of it."""
        found = last(self.path, count)
        return [*last(self._aside, count - len(found)), *found]

    def follow(self, count: int) -> Iterator[str]:
        """Its last lines, then others as they come, without end; a log that was set aside is
        followed into the new one."""
        return follow(self.path, count)

    def back(self) -> Iterator[bytes]:
        """All of it backwards, and what was set aside of it: before that there may have been more,
        which was cut off, replaced or compressed."""
        for one in (self.path, self._aside):
            with contextlib.suppress(FileNotFoundError), _opened(one) as handle:
                yield from pieces(handle, handle.seek(0, os.SEEK_END))
        if self._aside.exists() or any(self.path.parent.glob(f"{self.path.name}.*.gz")):
            yield b""

    def since(self, mark: str) -> tuple[bytes, str]:
        """What it wrote since then. A log that was set aside in between is read to its end."""
        try:
            with _opened(self.path) as handle:
                end = handle.seek(0, os.SEEK_END)
                said, _, there = mark.partition(" ")
                begin = int(said or max(0, end - _PIECE))
                before = b""
                if mark and _mark(handle, begin) != there:
                    begin, before = 0, self._rest(begin, there)
                handle.seek(max(begin, end - _FRESH_MAX))
                found = before + handle.read(end - handle.tell())
                whole = found.rfind(b"\n") + 1
                place = max(0, end - len(found) + whole)
                return found[:whole], f"{place} {_mark(handle, place)}"
        except FileNotFoundError:
            return b"", ""

    @property
    def _aside(self) -> Path:
        """What was set aside of it last, until it is compressed."""
        return self.path.with_name(f"{self.path.name}.1")

    def _rest(self, begin: int, there: str) -> bytes:
        """What follows a place in the log that was set aside."""
        with contextlib.suppress(OSError, MngdbError), _opened(self._aside) as handle:
            if _mark(handle, begin) == there:
                handle.seek(max(begin, handle.seek(0, os.SEEK_END) - _FRESH_MAX))
                return handle.read(_FRESH_MAX)
        return b""


def _mark(handle: BinaryIO, place: int) -> str:
    """By what a place in a log is known again: the bytes before it."""
    handle.seek(max(0, place - _KNOWN))
    return handle.read(min(place, _KNOWN)).hex()


def last(path: Path, count: int) -> list[str]:
    """The last `count` lines of a log, each of them whole."""
    try:
        with _opened(path) as handle:
            end = handle.seek(0, os.SEEK_END)
            return _last(handle, end, count).decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []


def _last(handle: BinaryIO, end: int, count: int) -> bytes:
    """The last `count` lines before `end`, as far as they can be had."""
    found: list[bytes] = []
    missing = count
    for piece in pieces(handle, end) if count > 0 else ():
        # the last byte of all ends the last line, and is none between two
        place = len(piece) - 1
        lines = piece.count(b"\n", 0, place) + 1
        if lines >= missing or not piece:
            for _ in range(min(lines, missing)):
                place = piece.rfind(b"\n", 0, max(0, place))
            found.append(piece[place + 1 :])
            break
        found.append(piece)
        missing -= lines
    return b"".join(reversed(found))


def pieces(handle: BinaryIO, end: int) -> Iterator[bytes]:
    """A log before `end`, backwards (`facts.denied.Pieces`). It is given up where so many bytes
    have no end of a line: a hole after a power failure."""
    at, rest = end, b""
    while at > 0:
        before, at = at, max(0, at - _PIECE)
        handle.seek(at)
        block = handle.read(before - at)
        cut = block.find(b"\n") + 1 if at else 0
        if at and not cut:
            rest = block + rest
            if len(rest) > _LINE_MAX:
                yield b""
                return
            continue
        if len(block) > cut or rest:
            yield block[cut:] + rest
        rest = block[:cut]


def follow(path: Path, count: int) -> Iterator[str]:
    """The last `count` lines, then others as they come, without end; a log that was set aside is
    followed into the new one."""
    position, rest = 0, b""
    with contextlib.suppress(FileNotFoundError), _opened(path) as handle:
        position = handle.seek(0, os.SEEK_END)
        *whole, rest = _last(handle, position, count).split(b"\n")
        yield from _texts(whole)
    while True:
        size = path.stat().st_size if path.exists() else 0
        if size < position:
            position = 0
        while position < size:
            with _opened(path) as handle:
                handle.seek(position)
                read = handle.read(_PIECE)
            if not read:
                break  # it was just emptied
            position += len(read)
            *whole, rest = (rest + read).split(b"\n")
            yield from _texts(whole)
            rest = rest[-_LINE_MAX:]
        time.sleep(_POLL)


def _texts(lines: Iterable[bytes]) -> Iterator[str]:
    return (line.decode(errors="replace") for line in lines)
