"""The records in a write-ahead log, one after the other.

Pages of the log have headers, by which a record is cut that goes on over the end of one: here they
are taken out.
https://github.com/postgres/postgres/blob/REL_17_STABLE/src/include/access/xlogrecord.h
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from mngdb.errors import MngdbError
from mngdb.snapshot import Piece

#: Bytes of a page, of its header, and of the header of a segment's first page.
PAGE, HEADER, FIRST = 8192, 24, 40
#: A page's flags: its header is that of a segment's first one; the record that it should go on with
#: was never finished, for the server had crashed.
_LONG, _GIVEN_UP = 0x2, 0x8
_FLAGS = struct.Struct("<2xH")
#: A record's head: its length with this, transaction, the record before, what it is, whose.
_RECORD = struct.Struct("<IIQBB6x")
#: Of the log itself: the rest of the segment is empty.
_XLOG, _SWITCH = 0, 0x40


class Record(NamedTuple):
    """What is known of each record. `at` and `length` are of use to `Walk` alone."""

    at: int
    length: int
    transaction: int
    info: int
    manager: int


class Walk:
    """Reads a log from a position on, at which a record begins."""

    def __init__(self, position: int) -> None:
        self._end = position
        #: Of a page's header, what has come.
        self._header = b""
        #: The content of pages, beginning at a multiple of 8 in the log.
        self._data = bytearray()
        #: Where in it the content of a page begins, and which position that is.
        self._places = [(0, position)]
        #: Where in it a segment begins, and what follows a record that was given up.
        self._segments: list[int] = []
        self._given_up: list[int] = []
        #: Where in it the next record begins, and whether that is in the next segment.
        self._at, self._switched = 0, False

    def records(self, piece: Piece) -> Iterator[Record]:
        """Those that end in the next piece of the log, each until the next one is asked for. Raises
        MngdbError for a log with a gap, or that is damaged."""
        if piece.begin > self._end:
            raise MngdbError(f"the log has a gap of {piece.begin - self._end:,} bytes")
        self._take(piece.data[self._end - piece.begin :])
        while (found := self._next()) is not None:
            yield found
            self._at = found.at + found.length + -found.length % 8
            self._switched = found.manager == _XLOG and found.info & 0xF0 == _SWITCH
        self._forget()

    def position(self, at: int) -> int:
        """Which position in the log that is."""
        start, position = self._places[bisect_right(self._places, (at, self._end)) - 1]
        return position + at - start

    def content(self, record: Record) -> bytes:
        """A record without its head."""
        return bytes(self._data[record.at + _RECORD.size : record.at + record.length])

    def _next(self) -> Record | None:
        """The next record; None: not all of it is there."""
        data = self._data
        if self._switched:
            later = [one for one in self._segments if one >= self._at]
            self._at = later[0] if later else len(data) + -len(data) % 8
            self._switched = not later
        while not self._switched:
            at, length = self._at, _RECORD.size
            again = min((one for one in self._given_up if one > at), default=len(data))
            found = None
            if at + length <= again:
                length, transaction, _, info, manager = _RECORD.unpack_from(data, at)
                if length < _RECORD.size:
                    raise MngdbError(f"the log is damaged at {self.position(at):X}")
                found = Record(at, length, transaction, info, manager)
            if at + length <= again:
                return found
            if again == len(data):
                return None
            self._at = again
        return None

    def _take(self, new: bytes) -> None:
        """Add what follows, without the headers of pages."""
        raw, at = self._header + new, 0
        position = self._end - len(self._header)
        while at < len(raw):
            size = min(PAGE - position % PAGE, len(raw) - at)
            if position % PAGE == 0:
                if len(raw) - at < FIRST:
                    break
                (flags,) = _FLAGS.unpack_from(raw, at)
                size = FIRST if flags & _LONG else HEADER
                start = len(self._data)
                self._places.append((start, position + size))
                if flags & _LONG:
                    self._segments.append(start)
                if flags & _GIVEN_UP:
                    self._given_up.append(start)
            else:
                self._data += raw[at : at + size]
            at, position = at + size, position + size
        self._header, self._end = raw[at:], self._end + len(new)

    def _forget(self) -> None:
        """Let go of what was read."""
        gone = min(self._at, len(self._data) & ~7)
        self._places = [
            (0, self.position(gone)),
            *((at - gone, position) for at, position in self._places if at > gone),
        ]
        self._segments = [at - gone for at in self._segments if at >= gone]
        self._given_up = [at - gone for at in self._given_up if at >= gone]
        del self._data[:gone]
        self._at -= gone
