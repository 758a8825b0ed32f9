"""The log of one instance in a store: segments, which follow one another without a gap.

    mngdb-1/STACK/INSTANCE.log/BRANCH/BEGIN-END-SINCE-UNTIL-HOW-RUN-KEYS-DIGEST-HMAC.zst.age

BEGIN and END are the positions, SINCE and UNTIL the moments in milliseconds, both hexadecimal; HOW
is `n` for one that follows another, `b` for one that begins anew; RUN is who wrote it, KEYS a
fingerprint of the public keys that it is encrypted for, DIGEST the SHA-256 of the object, HMAC the
first half of the HMAC-SHA256 of its key up to there. A list of the names tells what can be reached,
and what others have put there: no object is read for it. The content begins with a frame that zstd
skips: JSON with the size, and when how much of it was there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from mngdb.snapshot import Piece, Point
from mngdb.stores import MissingError, Store
from mngdb.stores.sealing import Opener, Sealer, UnreadableError, digest
from mngdb.stores.signing import NOT_OURS, Signer
from mngdb.stores.streams import patiently

#: What a segment's name ends with.
_END = ".zst.age"
_NAME = re.compile(
    r"([0-9a-f]{16})-([0-9a-f]{16})-([0-9a-f]{11})-([0-9a-f]{11})-([nb])-([0-9a-f]{8})"
    r"-([0-9a-f]{8})-([0-9a-f]{32,64})(?:-([0-9a-f]{32}))?"
)
#: Seconds for which segments stay that were written once more, as one: who listed them reads them.
KEPT = 900.0
#: Hexadecimal digits of a name's signature.
_DIGITS = 32
#: Bytes of an object at most; a segment has 8 MB, and what came meanwhile.
_LARGEST = 256 << 20
#: Seconds between two segments that are no gap.
_NEAR = 0.5
_BRANCH = re.compile(r"[0-9A-Za-z-]+")


class Segment(Struct, frozen=True, kw_only=True):
    """One object: what was written after position `begin` up to `end`, between two moments (seconds
    since the epoch, by the server's clock). `begin` and `end` are one where nothing was."""

    branch: str
    begin: int
    end: int
    since: float
    until: float
    opens: bool
    """Whether there is nothing before it, for the log could not be followed without a gap."""
    run: str
    keys: str
    """Of the public keys that it is encrypted for, the `sealing.fingerprint`."""
    digest: str
    signature: str = ""
    stored: int = 0

    @property
    def empty(self) -> bool:
        """Whether it only says that nothing was written."""
        return self.begin == self.end

    @property
    def name(self) -> str:
        """The last part of its key."""
        signature = f"-{self.signature}" if self.signature else ""
        return f"{self.described}{signature}{_END}"

    @property
    def described(self) -> str:
        """What is signed of its name."""
        moments = f"{_milli(self.since):011x}-{_milli(self.until):011x}"
        how = f"{'b' if self.opens else 'n'}-{self.run}-{self.keys}"
        return f"{self.begin:016x}-{self.end:016x}-{moments}-{how}-{self.digest}"


class _Head(Struct, frozen=True):
    """What a segment says of its content."""

    size: int
    stamps: tuple[tuple[int, float], ...]


def _head(data: bytes) -> _Head:
    try:
        return msgspec.json.decode(data, type=_Head)
    except msgspec.DecodeError:
        raise UnreadableError("has a damaged head") from None


def _milli(moment: float) -> int:
    return round(moment * 1000)


def parse(branch: str, name: str, stored: int) -> Segment | None:
    """A segment by the last part of its key; None for another object."""
    found = _NAME.fullmatch(name.removesuffix(_END))
    if found is None or not name.endswith(_END):
        return None
    begin, end, since, until = (int(text, 16) for text in found.groups()[:4])
    return Segment(
        branch=branch,
        begin=begin,
        end=end,
        since=since / 1000,
        until=until / 1000,
        opens=found[5] == "b",
        run=found[6],
        keys=found[7],
        digest=found[8],
        signature=found[9] or "",
        stored=stored,
    )


class Archive:
    """All segments of one instance. All raise StoreError."""

    def __init__(
        self, store: Store, prefix: str, signer: Signer | None, *, unsigned: bool = False
    ) -> None:
        """What `signer` has not signed does not count, unless `unsigned`."""
        self.store = store
        self._prefix = prefix
        self._signer = signer
        self._unsigned = unsigned

    def segments(self, keys: str | None = None) -> list[Segment]:
        """Every one, or those that are encrypted for the same public keys, in the order of branches
        and positions."""
        return [one for one in self.sifted()[0] if keys in (None, one.keys)]

    def sifted(self) -> tuple[list[Segment], list[Segment]]:
        """The segments in the order of branches and positions, and those that do not count, since
        they have no valid signature."""
        found: list[Segment] = []
        foreign: list[Segment] = []
        for entry in self.store.entries(self._prefix):
            folder, _, name = entry.key.rpartition("/")
            segment = parse(folder.rpartition("/")[2], name, entry.size)
            if segment is not None and self.key(segment) == entry.key:
                (found if self._counts(segment) else foreign).append(segment)
        return sorted(found, key=lambda one: (one.branch, one.begin, one.end, one.until)), foreign

    def told(self, foreign: Sequence[Segment]) -> str:
        """Of segments that do not count, in a sentence."""
        keys = sorted(map(self.key, foreign))
        more = f", and {len(keys) - 1} others of this log" if keys[1:] else ""
        said = "was" if not more else "were"
        return f"{self.store.place}/{keys[0]}{more} {said} {NOT_OURS}"

    def _counts(self, segment: Segment) -> bool:
        if self._unsigned or self._signer is None:
            return self._unsigned
        return self._signer.signed(self._signed(segment), segment.signature, _DIGITS)

    def _signed(self, segment: Segment) -> bytes:
        return f"{self._prefix}/{segment.branch}/{segment.described}".encode()

    def put(
        self,
        sealer: Sealer,
        run: str,
        branch: str,
        piece: Piece,
        since: float,
        *,
        opens: bool = False,
    ) -> Segment:
        """Write a segment once; a store that is away is for the caller. `since`: when its first
        byte was not there yet."""
        head = msgspec.json.encode(_Head(len(piece.data), piece.stamps))
        sealed = sealer.seal(piece.data, head)
        segment = Segment(
            branch=_named(branch),
            begin=piece.begin,
            end=piece.end,
            since=since,
            until=piece.stamps[-1][1],
            opens=opens,
            run=run,
            keys=sealer.fingerprint,
            digest=digest(sealed),
            stored=len(sealed),
        )
        if self._signer is None:
            raise ValueError("there is no secret to sign with")
        signature = self._signer.sign(self._signed(segment), _DIGITS)
        segment = replace(segment, signature=signature)
        self.store.put(self.key(segment), sealed)
        return segment

    def key(self, segment: Segment) -> str:
        """The key of its object."""
        return f"{self._prefix}/{segment.branch}/{segment.name}"

    def read(self, opener: Opener, segment: Segment) -> Piece:
        """What a segment holds. Raises UnreadableError."""
        data = self._fetched(segment)
        try:
            head, content = opener.open_headed(data, lambda found: _head(found).size)
        except UnreadableError as error:
            where = f"{self.store.place}/{self.key(segment)}"
            raise UnreadableError(f"{where} {error.message}") from None
        return Piece(segment.begin, segment.end, content, _head(head).stamps)

    def check(self, segment: Segment) -> None:
        """Compare an object with its name. Raises UnreadableError."""
        self._fetched(segment)

    def _fetched(self, segment: Segment) -> bytes:
        key = self.key(segment)
        try:
            data = patiently(self.store.place, lambda: self.store.get(key, _LARGEST))
        except MissingError:
            raise UnreadableError(f"{self.store.place}/{key} is missing") from None
        if digest(data)[: len(segment.digest)] != segment.digest:
            raise UnreadableError(
                f"{self.store.place}/{key} is damaged: its SHA-256 does not match"
            )
        return data

    def remove(self, segments: Iterable[Segment]) -> None:
        """Remove segments. Those that others have, too, stay for `KEPT`: a restore may have listed
        them."""
        self.store.delete([self.key(one) for one in segments])


def _named(branch: str) -> str:
    if not _BRANCH.fullmatch(branch):
        raise ValueError(f"{branch!r} is no name of a branch")
    return branch


def unbroken(segments: Iterable[Segment], branch: str) -> tuple[int, int, float] | None:
    """Where the last part of a branch that has no gap begins and ends, and the moment that it
    reaches. `segments` in the order of their positions."""
    found: tuple[int, int, float] | None = None
    for one in segments:
        if one.branch != branch:
            continue
        if found is None or one.begin > found[1]:
            found = one.begin, one.end, one.until
        else:
            found = found[0], max(found[1], one.end), max(found[2], one.until)
    return found


def covered(segments: Iterable[Segment], now: float) -> list[Segment]:
    """Segments of which another one has all, for so long that nobody reads them any more."""
    found: list[Segment] = []
    wide: dict[tuple[str, str], Segment] = {}
    for one in sorted(segments, key=lambda one: (one.begin, -one.end, one.since, -one.until)):
        other = wide.get((one.branch, one.keys))
        inside = other and one.end <= other.end and one.until <= other.until
        if other and inside and one.since >= other.since:
            if other.until < now - KEPT:
                found.append(one)
        elif not other or one.end >= other.end:
            wide[one.branch, one.keys] = one
    return found


def chain(segments: Sequence[Segment], point: Point) -> list[Segment]:
    """The segments that lead on from a point, each one where the one before ends: of several, that
    which goes on for longest, after those that say of a moment that nothing more was written. Empty
    where the next one is missing."""
    mine = [one for one in segments if one.branch == point.branch]
    found: list[Segment] = []
    position, at = point.position, 0
    reached = float("-inf")
    while True:
        best = None
        while at < len(mine) and mine[at].begin <= position:
            one = mine[at]
            at += 1
            if one.end == position and one.until > reached:
                found.append(one)  # empty, or merged of some that end with an empty one
                reached = one.until
            elif one.end > position and (not best or (one.end, one.until) > (best.end, best.until)):
                best = one
        if best is None:
            return found
        found.append(best)
        position, reached = best.end, max(reached, best.until)


def spans(
    moment: float, segments: Iterable[Segment], near: float = _NEAR
) -> list[tuple[float, float]]:
    """The moments that a snapshot of `moment` reaches by the segments that lead on from it. Where
    nobody knows for more than `near` seconds when something was written, one span ends and the next
    begins."""
    found = [(moment, moment)]
    for one in segments:
        begin, end = found[-1]
        if one.since > end + near:
            found.append((one.since, one.until))
        else:
            found[-1] = (begin, max(end, one.until))
    # what came late has one moment for all of it, at which not all of it was there
    return [found[0], *(one for one in found[1:] if one[0] < one[1])]
