"""Where an engine writes the log of its server: cut into segments, sealed and stored as it comes.

A segment is stored a second after its first byte at the latest; at once, with what has come while
the one before was stored, where somebody waits. Those that are small are written once more, as one,
and removed: a server that writes a little all day leaves a segment every five minutes.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from mngdb.errors import MngdbError
from mngdb.ops.backup.archived import Archived
from mngdb.snapshot import Piece, Point
from mngdb.stores.archive import KEPT, Archive, Segment, unbroken
from mngdb.stores.sealing import Sealer

#: Seconds from the first byte of a segment until it is stored.
_SOON = 0.8
#: Bytes of a segment after which it is stored at once, and that wait for the store at most.
_LARGE, _MOST = 8 << 20, 32 << 20
#: Seconds between two segments of a server that writes nothing: until when that is so.
_IDLE = 60.0
#: Bytes, and seconds, after which small segments become one.
_MERGED, _MERGE = 8 << 20, 300.0
#: Segments in a row, each stored at once as somebody waits, after which they become one.
_MANY = 128
#: Seconds between two stamps of a segment.
_STAMP = 0.02
#: Seconds between two notes of what is stored while somebody waits for each segment.
_NOTED = 0.2
#: Seconds between two looks whether a segment is due.
_LOOK = 0.1
#: Seconds between two attempts to store, and that the last one may take at the end.
_AGAIN, _LAST = (1.0, 2.0, 5.0, 10.0, 30.0), 5.0


class _Block(Struct):
    """A segment that is being made."""

    branch: str
    begin: int
    end: int
    since: float | None
    opens: bool
    data: bytearray
    stamps: list[tuple[int, float]]
    born: float = 0.0
    closed: bool = False

    def stamp(self, moment: float) -> None:
        """Say that what there is was there at a moment; moments go forward only."""
        last = self.stamps[-1] if self.stamps else None
        moment = max(moment, last[1] if last else self.since or moment)
        if last and (last[0] == len(self.data) or moment - self._kept() < _STAMP):
            self.stamps.pop()
        self.stamps.append((len(self.data), moment))

    def _kept(self) -> float:
        """The moment of the stamp before the last one."""
        return self.stamps[-2][1] if len(self.stamps) > 1 else float("-inf")

    def piece(self) -> Piece:
        """What it holds."""
        return Piece(self.begin, self.end, bytes(self.data), tuple(self.stamps))


class StoreFeed:
    """A Feed of one instance into an archive. Used as a context: stores what is left at its end.
    `note` is told of every change of what is archived."""

    def __init__(
        self,
        archive: Archive,
        sealer: Sealer,
        note: Callable[[Archived], None],
        over: threading.Event,
        earlier: float = 0.0,
        diverged: Callable[[], None] = lambda: None,
    ) -> None:
        """`earlier`: as of Archived. `diverged`: called where the server has another history."""
        self.diverged = diverged
        self.hurry = False
        """Whether every write is stored at once."""
        self.moved = -1
        self._archive = archive
        self._sealer = sealer
        self._note = note
        self._over = over
        self._earlier = earlier
        self._closing = threading.Event()
        self._run = secrets.token_hex(4)
        self._blocks: deque[_Block] = deque()
        self._changed = threading.Condition()
        self._archived = Archived()
        self._small: list[tuple[Segment, Piece]] = []
        self._gone: deque[tuple[float, list[Segment]]] = deque()
        self._single = 0
        self._noted = 0.0
        self._merged = time.monotonic()
        self._thread = threading.Thread(target=self._work, name="mngdb-archive", daemon=True)

    # --- for the engine

    def resume(self, branch: str) -> int | None:
        """Where the archive of a branch ends. Raises StoreError."""
        with self._changed:
            if self._blocks and self._blocks[-1].branch == branch:
                return self._blocks[-1].end
        found = self._unbroken(branch)
        return found[1] if found else None

    def _unbroken(self, branch: str) -> tuple[int, int, float] | None:
        """What other keys open does not lead on to what these do."""
        return unbroken(self._archive.segments(self._sealer.fingerprint), branch)

    def begin(self, point: Point, since: float | None = None) -> None:
        """Say from where the log comes. Raises StoreError."""
        with self._changed:
            last = self._blocks[-1] if self._blocks else None
            if last is not None and (last.branch, last.end) == (point.branch, point.position):
                opens = last.opens and not last.stamps
                begin = self._archived.begin
                before = last.stamps[-1][1] if last.stamps else last.since
                stored = self._archived.stored
            else:
                found = self._unbroken(point.branch)
                opens = found is None or found[1] != point.position
                begin = point.position if found is None or opens else found[0]
                before = None if found is None or opens else found[2]
                stored = point.position
            if last is not None:
                last.closed = True
            until = before or self._archived.until
            self._tell(
                Archived(
                    branch=point.branch,
                    begin=begin,
                    stored=stored,
                    until=until,
                    keys=self._sealer.fingerprint,
                    earlier=self._earlier,
                )
            )
            self._blocks.append(self._block(point, since or before, opens=opens))
            self._changed.notify_all()

    def _block(self, point: Point, since: float | None, *, opens: bool = False) -> _Block:
        at = point.position
        return _Block(point.branch, at, at, since, opens, bytearray(), [], time.monotonic())

    def write(self, data: bytes | memoryview, end: int, moment: float) -> None:
        """Take what the server wrote. Waits for a store that does not keep up."""
        with self._changed:
            while self._waiting() > _MOST and not self.over:
                self._changed.wait(0.5)
            block = self._blocks[-1]
            if len(block.data) > _LARGE:
                block.closed = True
                point = Point(block.branch, block.end)
                block = self._block(point, block.stamps[-1][1])
                self._blocks.append(block)
            if not block.data:
                block.born = time.monotonic()
            block.since = moment if block.since is None else block.since
            block.data += data
            block.end = end
            block.stamp(moment)
            if self.hurry or len(block.data) > _LARGE:
                self._changed.notify_all()

    def beat(self, moment: float) -> None:
        """Nothing more was written until then."""
        with self._changed:
            block = self._blocks[-1]
            block.since = moment if block.since is None else block.since
            block.stamp(moment)
            if len(self._blocks) == 1 and not block.data:
                self._tell(replace(self._archived, until=block.stamps[-1][1], error=""))

    @property
    def stored(self) -> int:
        """The position up to which the store has everything."""
        return self._archived.stored

    @property
    def over(self) -> bool:
        """Whether to end."""
        return self._over.is_set()

    def _waiting(self) -> int:
        return sum(len(one.data) for one in self._blocks)

    # --- for the store

    def __enter__(self) -> StoreFeed:
        self.moved = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(_LAST)
        with self._changed:
            moved, self.moved = self.moved, -1
            os.close(moved)
            if self._archived.branch:  # a server that did not answer leaves what was noted before
                self._note(self._archived)

    def _work(self) -> None:
        while True:
            block = self._due()
            if block is not None:
                self._store(block)
            elif self._closing.is_set():
                return
            else:
                self._merge()
                self._tidy()
                with self._changed:
                    self._changed.wait(_LOOK)

    def _due(self) -> _Block | None:
        """The next block that is to be stored; nothing is added to it any more."""
        now = time.monotonic()
        with self._changed:
            while self._blocks and self._blocks[0].closed and not self._blocks[0].stamps:
                self._blocks.popleft()  # nobody has written anything
            block = self._blocks[0] if self._blocks else None
            if block is None or not block.stamps:
                return None
            age = now - block.born
            closing = self._closing.is_set()
            idle = not block.data and (closing or age >= _IDLE)
            hurry = self.hurry or closing or len(block.data) > _LARGE
            soon = bool(block.data) and (hurry or age >= _SOON)
            if not (block.closed or idle or soon):
                return None
            if not block.closed:
                block.closed = True
                point = Point(block.branch, block.end)
                self._blocks.append(self._block(point, block.stamps[-1][1]))
            return block

    def _store(self, block: _Block) -> None:
        piece = block.piece()
        since = block.since if block.since is not None else block.stamps[0][1]
        attempt = 0
        while True:
            try:
                segment = self._archive.put(
                    *(self._sealer, self._run, block.branch, piece, since), opens=block.opens
                )
                break
            except (MngdbError, OSError) as error:
                self._failed(str(error))
                pause = _AGAIN[0 if self.hurry else min(attempt, len(_AGAIN) - 1)]
                attempt += 1
                if self._closing.wait(pause) and attempt > 1:
                    with self._changed:
                        self._blocks.clear()  # the server still has it, or there is a gap
                    return
        with self._changed:
            self._blocks.popleft()
            if block.branch == self._archived.branch:
                found = replace(self._archived, stored=block.end, until=segment.until, error="")
                self._tell(found)
                if self.moved >= 0:  # the last one may come late
                    os.eventfd_write(self.moved, 1)
            self._changed.notify_all()
        self._collect(segment, piece)
        self._tidy()

    def _failed(self, error: str) -> None:
        with self._changed:
            self._tell(replace(self._archived, error=error))

    def _tell(self, archived: Archived) -> None:
        """Say how far it is; of many segments a second, a few times. The server is at rest, or its
        feed ends, before anybody would miss the last one."""
        before, self._archived = self._archived, archived
        more = replace(before, stored=archived.stored, until=archived.until) == archived
        if self.hurry and more and time.monotonic() < self._noted + _NOTED:
            return
        self._noted = time.monotonic()
        self._note(archived)

    # --- small segments

    def _collect(self, segment: Segment, piece: Piece) -> None:
        last = self._small[-1][0] if self._small else None
        apart = last is not None and (last.branch, last.end) != (segment.branch, segment.begin)
        if apart or (last is not None and segment.since > last.until):
            self._small.clear()  # in between there is a gap, or nobody knows when
            self._single = 0
        if len(piece.data) > _MERGED // 2:
            self._merge(now=True)
            return
        self._small.append((segment, piece))
        self._single += 1
        if self._single >= _MANY:
            first = len(self._small) - self._single
            self._small[first:] = self._joined(self._small[first:])
            self._single = 0
        self._merge()

    def _merge(self, *, now: bool = False) -> None:
        """Write small segments once more, as one."""
        size = sum(len(piece.data) for _, piece in self._small)
        due = size >= _MERGED or time.monotonic() >= self._merged + _MERGE
        if now or due:
            small, self._small, self._single = self._small, [], 0
            self._merged = time.monotonic()
            self._joined(small)

    def _joined(self, small: list[tuple[Segment, Piece]]) -> list[tuple[Segment, Piece]]:
        """What there is instead of these. What fails leaves them as they are."""
        if len(small) < 2:
            return small
        first = small[0][0]
        piece = joined([one for _, one in small])
        try:
            found = self._archive.put(
                *(self._sealer, self._run, first.branch, piece, first.since), opens=first.opens
            )
        except (MngdbError, OSError) as error:
            self._failed(str(error))
            return small
        self._gone.append((time.monotonic() + KEPT, [segment for segment, _ in small]))
        return [(found, piece)]

    def _tidy(self) -> None:
        """Remove what was written once more a while ago. What stays, `prune` removes."""
        while self._gone and self._gone[0][0] <= time.monotonic():
            _, segments = self._gone.popleft()
            try:
                self._archive.remove(segments)
            except (MngdbError, OSError) as error:
                self._failed(str(error))


def joined(pieces: Sequence[Piece]) -> Piece:
    """Pieces that follow one another, as one."""
    stamps: list[tuple[int, float]] = []
    before = 0
    for piece in pieces:
        stamps += [(before + size, moment) for size, moment in piece.stamps]
        before += len(piece.data)
    return Piece(
        pieces[0].begin, pieces[-1].end, b"".join(one.data for one in pieces), tuple(stamps)
    )
