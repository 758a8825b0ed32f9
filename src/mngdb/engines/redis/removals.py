"""FLUSHALL and FLUSHDB in the log of a server."""

from __future__ import annotations

from collections.abc import Iterator

from mngdb.engines.redis.commands import command
from mngdb.errors import StepError
from mngdb.snapshot import Removal, Saved


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
        while (found := command(data, at)) is not None:
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
