"""Looks for lines in the end of a server's log, backwards, within a budget: a busy server writes
gigabytes in an hour."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
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


def lines_with(piece: bytes, words: Sequence[bytes]) -> Iterator[Line]:
    """The lines of a piece that have one of the words."""
    places = dict[int, int]()
    for word in words:
        at = piece.find(word)
        while at >= 0:
            end = _end(piece, at)
            places[piece.rfind(b"\n", 0, at) + 1] = end
            at = piece.find(word, end)
    for start, end in sorted(places.items()):
        yield Line(start, end, piece[start:end].decode(errors="replace"))


def _end(piece: bytes, at: int) -> int:
    found = piece.find(b"\n", at)
    return len(piece) if found < 0 else found
