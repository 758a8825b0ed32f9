"""FLUSHALL and FLUSHDB in the log of a server.

Command after command is read: a value may look like one of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mngdb.errors import StepError
from mngdb.snapshot import Removal, Saved

#: How a command begins, and each of its words.
_COUNT, _SIZE = re.compile(rb"\*(\d{1,10})\r\n"), re.compile(rb"\$(\d{1,10})\r\n")
#: Bytes of which one of these takes less.
_HEAD = 16


def removals(saved: Saved) -> Iterator[Removal]:
    """Each of them, with the number of the database where that is known. Raises StepError for a
    log that has a gap, or is none."""
    point = saved.taken.log
    if point is None:
        return
    data, at, end = bytearray(), 0, point.position
    database = ""
    for piece in saved.log():
        if piece.begin > end:
            raise StepError(f"{piece.begin - end:,} bytes of the log are missing at {end}")
        del data[:at]
        at = 0
        data += memoryview(piece.data)[end - piece.begin :]
        end = max(end, piece.end)
        while (found := _command(data, at)) is not None:
            position = end - len(data) + at
            at, name, first = found
            if name == b"SELECT":
                database = first.decode(errors="replace")
            elif name in {b"FLUSHALL", b"FLUSHDB"}:
                moment = piece.there(len(piece.data) - len(data) + at)
                if name == b"FLUSHALL":
                    yield Removal(position, moment, ("FLUSHALL",))
                else:
                    yield Removal(position, moment, ("FLUSHDB", "FLUSHALL"), database)


def _command(data: bytearray, at: int) -> tuple[int, bytes, bytes] | None:
    """Where the command that begins there ends, its name in capitals, and its first argument; None:
    not all of it is there yet."""
    head = _COUNT.match(data, at)
    if head is None:
        if len(data) - at >= _HEAD:
            raise StepError("the log is damaged: it has bytes that are no command")
        return None
    name = first = b""
    end = head.end()
    for number in range(int(head[1])):
        size = _SIZE.match(data, end)
        if size is None:
            return None
        begin = size.end()
        end = begin + int(size[1]) + 2
        if number == 0:
            name = bytes(data[begin : end - 2]).upper()
        elif number == 1:
            first = bytes(data[begin : end - 2])
    return (end, name, first) if end <= len(data) else None
