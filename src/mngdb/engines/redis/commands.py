"""The commands in a server's log, one after the other: a value may look like one of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from mngdb.errors import StepError

#: How a command begins, and each of its words.
_COUNT, _SIZE = re.compile(rb"\*(\d{1,10})\r\n"), re.compile(rb"\$(\d{1,10})\r\n")
#: Bytes of which one of these takes less.
_HEAD = 16


def command(data: bytearray, at: int) -> tuple[int, bytes, bytes] | None:
    """Where the command that begins there ends, its name in capitals, and its first argument; None:
    not all of it is there yet. Raises StepError for bytes that are none."""
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


def complete(pieces: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """The same log without what is cut off at its end: a command, or a transaction."""
    data = bytearray()
    at = sure = 0
    inside = False
    for piece in pieces:
        data += piece
        while (found := command(data, at)) is not None:
            at, name, _ = found
            inside = name == b"MULTI" or (inside and name != b"EXEC")
            sure = sure if inside else at
        yield bytes(data[:sure])
        del data[:sure]
        at, sure = at - sure, 0
