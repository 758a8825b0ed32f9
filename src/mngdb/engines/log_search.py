"""Looks for lines in the end of a server's log, backwards, within a budget: a busy server writes
gigabytes in an hour."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple, TypeVar

from mngdb.facts.denied import RECENT

T = TypeVar("T")

#: Seconds of processor time and bytes that one search may take: `doctor` is to answer at once.
_SECONDS, _BYTES = 0.15, 64 << 20


class Line(NamedTuple):
    """A line of a piece of a log, from byte to byte."""

    start: int
    end: int
    text: str


def look_back(
    pieces: Iterable[bytes],
    read: Callable[[bytes], Sequence[T]],
    moment: Callable[[bytes], float | None],
) -> tuple[list[T], float | None]:
    """What `read` finds in pieces of a log, the newest first (`engines.protocol.Log`): the oldest
    first, and the seconds that were looked through where those are less than `RECENT`. `moment`
    tells when the first line of a piece was written, in seconds since the epoch."""
    begun, left, now = time.thread_time(), _BYTES, time.time()
    found: list[Sequence[T]] = []
    oldest, whole = now, True
    for piece in pieces:
        if not piece or left < 0 or time.thread_time() - begun > _SECONDS:
            whole = False
            break
        found.append(read(piece))
        oldest = moment(piece) or oldest
        left -= len(piece)
        if oldest < now - RECENT:
            break
    return [*chain.from_iterable(reversed(found))], None if whole else max(0.0, now - oldest)


def lines_with(
    piece: bytes, wanted: re.Pattern[bytes], among: Container[bytes] | None = None
) -> Iterator[Line]:
    """The lines of a piece that the pattern finds something in; with `among`, only where its group
    is one of these. One that begins with several plain bytes is searched for at the speed of
    `find`, once for all that may follow."""
    match = wanted.search(piece)
    while match is not None:
        end = match.end()
        if among is None or match[1] in among:
            start, end = piece.rfind(b"\n", 0, match.start()) + 1, piece.find(b"\n", match.start())
            end = len(piece) if end < 0 else end
            yield Line(start, end, piece[start:end].decode(errors="replace"))
        match = wanted.search(piece, end)
