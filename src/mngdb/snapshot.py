"""What a backup is to an engine: streams that it writes and reads, and what it says of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, Protocol

from msgspec import Struct

#: What a snapshot holds: everything by itself, what changed since its parent, or the content as
#: another server can read it.
Kind = Literal["full", "incremental", "logical"]


class Point(Struct, frozen=True):
    """A place in a server's log. `branch` is a name in a store's keys (letters, digits, `-`): where
    the server begins another history, it is another one. `position` grows with every write, below
    2**63."""

    branch: str
    position: int


class Taken(Struct, frozen=True, kw_only=True):
    """What an engine says of a snapshot that it took."""

    kind: Kind
    product: str
    version: str
    source: str
    """The server's own identity: a system identifier, a replication id, a replica set's id."""
    position: dict[str, str]
    """Where in the server's log it begins and ends, in the engine's terms."""
    counts: dict[str, int] = {}
    """How much of what it holds, by name: keys, documents."""
    content: dict[str, str] = {}
    """Digests of what it holds, by name, as a restored server gives them again."""
    notes: dict[str, Any] = {}
    """What the engine needs to know for a restore."""
    moment: float = 0.0
    """When it was as the snapshot shows it, by the server's clock; 0: nobody knows."""
    log: Point | None = None
    """From where the server's log leads on from it."""
    size: int = 0
    """Bytes that it takes on a disk once it is restored, about; 0: as many as its streams have."""
    missing: dict[str, str] = {}
    """What it lacks since it could not be read, and why: the rest is kept all the same."""


class Base(Struct, frozen=True):
    """The snapshot that an incremental one can build on."""

    taken: Taken
    kept: Path
    """A file of this machine: the stream that was kept of it (`Sink.stream`)."""


class Trial(Struct, frozen=True):
    """One thing that was tried on a restored server."""

    name: str
    passed: bool
    detail: str


class Writer(Protocol):
    """Takes the bytes of one stream."""

    def write(self, data: bytes | memoryview) -> int:
        """Take the next bytes. Raises MngdbError when the store does not."""
        ...


class Sink(Protocol):
    """Where an engine writes a snapshot."""

    @property
    def base(self) -> Base | None:
        """What an incremental snapshot has to build on; None: a full one is wanted."""
        ...

    def stream(self, name: str, *, keep: bool = False) -> AbstractContextManager[Writer]:
        """A stream: a file of this name, in the end. One at a time, or several threads each their
        own. It is part of the snapshot when the block ends without an error. With `keep`, it stays
        on this machine, too, for an incremental one that builds on this one: the store gives
        nothing back without the private key."""
        ...

    def tell(self, text: str) -> None:
        """Tell people of what was done otherwise than they may expect."""
        ...

    def expect(self, size: int) -> None:
        """Say how many bytes there will be about, for the progress."""
        ...


class Feed(Protocol):
    """Where an engine writes a server's log while it follows it. For one thread."""

    hurry: bool
    """Whether what is written is stored at once, as somebody waits for it."""

    moved: int
    """The handle of an eventfd(2) that counts each time that `stored` has grown."""

    def resume(self, branch: str) -> int | None:
        """Where the archive of a branch ends: what follows is asked of the server. None: it has
        none."""
        ...

    def begin(self, point: Point, since: float | None = None) -> None:
        """Say from where the log comes, before the first `write`, and again on another branch.
        Anything but `resume`'s answer leaves a gap: a new snapshot is then taken by itself.
        `since`: what came before this moment has no time of its own, so that no moment between the
        archive's last one and this one can be reached; None: the log itself tells times."""
        ...

    def write(self, data: bytes | memoryview, end: int, moment: float) -> None:
        """Take what the server wrote up to position `end`, which it was at `moment` (seconds since
        the epoch, by its clock). Waits where the store does not keep up."""
        ...

    def beat(self, moment: float) -> None:
        """Say that nothing more was written until then."""
        ...

    def diverged(self) -> None:
        """Say that the server has another history than the archive: no snapshot may build on one
        from before."""
        ...

    @property
    def stored(self) -> int:
        """The position up to which the store has everything, on its disk."""
        ...

    @property
    def over(self) -> bool:
        """Whether to end."""
        ...


class Held(Struct, frozen=True):
    """How a server's commits stand to the archive of its log."""

    holds: bool
    """Whether they wait for it."""
    other: str
    """What else they wait for, which is not ours; empty: nothing."""
    written: int
    """The position that the log has reached on the server's disk."""
    stored: int | None
    """The position up to which the store has it; None: nobody follows it."""
    waiting: int
    """Sessions that wait now."""


class Piece(Struct, frozen=True):
    """A part of a server's log as the store has it: what was written after position `begin` up to
    `end`. `stamps` are (bytes, moment): the first `bytes` of `data` were there at that moment, at
    least every 0.02 s while something was written."""

    begin: int
    end: int
    data: bytes
    stamps: tuple[tuple[int, float], ...]

    def there(self, size: int) -> float:
        """When its first `size` bytes were there, or a little later."""
        return next(moment for count, moment in self.stamps if count >= size)


class Removal(Struct, frozen=True):
    """A command in a server's log that removed much at once. Up to and at `position`, the log is
    that of a server that never got it. `moment` is when it did, by the server's clock; `commands`
    are the ways to write it, the usual one first."""

    position: int
    moment: float
    commands: tuple[str, ...]
    target: str = ""
    """What it removed, with a point between names: `shop.public.orders`. Empty: everything, or
    nobody knows."""
    unnamed: bool = False
    """Whether it removed something of which nobody knows the name, nor whether it was that much."""

    @property
    def text(self) -> str:
        """What it was, for people."""
        return f"{self.commands[0]} {self.target}".rstrip()


class Saved(Protocol):
    """A snapshot as an engine reads it, and the log since then."""

    @property
    def until(self) -> float | None:
        """The moment that the server is restored to, by its clock; None: the snapshot's own."""
        ...

    @property
    def stop(self) -> int | None:
        """With `until`: the position up to which the log is applied, all of it and no more,
        whatever its moments are; None: the moment counts."""
        ...

    def log(self) -> Iterator[Piece]:
        """With `until`: the log from the snapshot's `Taken.log` on, without a gap, as far as that
        moment needs. The first piece may begin before that position, and the last one goes on after
        the moment. Raises MngdbError."""
        ...

    @property
    def taken(self) -> Taken:
        """What the engine said of it."""
        ...

    @property
    def parents(self) -> Sequence[Saved]:
        """Those that an incremental one builds on, the full one first."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Its streams."""
        ...

    def read(self, name: str) -> Iterator[bytes]:
        """The content of a stream, which is as it was written, in pieces of up to 8 MB. Raises
        MngdbError for one that is damaged, once it is met."""
        ...
