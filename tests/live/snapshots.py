"""A snapshot in memory, and an engine that takes and reads it as `backup` and `restore` do."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mngdb.ops.backup import place
from mngdb.ops.context import Context
from mngdb.snapshot import Base, Piece, Point, Saved, Taken, Trial
from mngdb.spec.load import load
from tests.conftest import Cli


class _Writer:
    def __init__(self, wrote: Callable[[], None]) -> None:
        self.data = bytearray()
        self._wrote = wrote

    def write(self, data: bytes | memoryview) -> int:
        self.data += data
        self._wrote()
        return len(data)


class MemoryFeed:
    """A Feed, whose pieces a test reads: a piece a write, each of them at once in the store."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self.begun: list[Point] = []
        self.beats: list[float] = []
        self.other = False
        self.over = False
        self.hurry = False
        self.moved = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def resume(self, branch: str) -> int | None:
        """Where the archive ends."""
        return self.stored if self.begun and self.begun[-1].branch == branch else None

    def diverged(self) -> None:
        """Nothing may build on what was before."""
        self.other = True

    def begin(self, point: Point, since: float | None = None) -> None:
        self.begun.append(point)

    def write(self, data: bytes | memoryview, end: int, moment: float) -> None:
        data = bytes(data)
        self.pieces.append(Piece(self.stored, end, data, ((len(data), moment),)))

    def beat(self, moment: float) -> None:
        self.beats.append(moment)

    @property
    def stored(self) -> int:
        return self.pieces[-1].end if self.pieces else self.begun[-1].position


class Logged:
    """What leads on from a snapshot: with `feed` and `until`, to that moment."""

    taken: Any
    feed: MemoryFeed | None = None
    until: float | None = None
    beyond: float = 0.0
    """Seconds for which the log goes on after it."""
    stop: int | None = None
    base: Base | None = None
    parents: Sequence[Saved] = ()
    told: Sequence[str] = ()

    def tell(self, text: str) -> None:
        self.told = [*self.told, text]

    def log(self) -> Iterator[Piece]:
        """The pieces that the moment needs."""
        assert self.feed is not None
        assert self.until is not None
        for piece in self.feed.pieces:
            if piece.end > self.taken.log.position:
                yield piece
                if piece.stamps[-1][1] > self.until + self.beyond:
                    return


class Memory(Logged):
    """A Sink, and then a Saved."""

    def __init__(self) -> None:
        self.streams: dict[str, bytes] = {}
        self.expected = 0
        self.taken = None

    @contextlib.contextmanager
    def stream(self, name: str, *, keep: bool = False) -> Iterator[_Writer]:
        """A stream, which is there when its block ends well."""
        writer = _Writer(lambda: self.wrote(name))
        yield writer
        assert name not in self.streams, f"{name} was written twice"
        self.streams[name] = bytes(writer.data)

    def wrote(self, name: str) -> None:
        """Called after each piece of a stream: what a test does meanwhile."""

    def expect(self, size: int) -> None:
        self.expected += size

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.streams)

    def read(self, name: str) -> Iterator[bytes]:
        """In pieces of which no document knows."""
        data = self.streams[name]
        for at in range(0, len(data), 1_000_003):
            yield data[at : at + 1_000_003]

    def unpack(self, folder: Path) -> None:
        """As files."""
        for name, data in self.streams.items():
            at = folder / name
            at.parent.mkdir(parents=True, exist_ok=True)
            at.write_bytes(data)


@contextlib.contextmanager
def _session(cli: Cli, instance: str) -> Iterator[tuple[Any, Any, Any, Any]]:
    environ = cli.environ()
    context = Context.open(load([cli.folder / "mngdb.yaml"], environ), environ)
    given = context.instance(instance)
    asked, engine = context.asked(given), context.engine(given)
    access = context.admin(asked)
    with engine.connect(access, 10.0) as session:
        yield engine, session, asked, access


def taken(cli: Cli, instance: str, sink: Any = None) -> Memory:
    """A snapshot of a running instance."""
    memory = sink or Memory()
    with _session(cli, instance) as (engine, session, asked, access):
        memory.taken = engine.back_up(session, asked, access, memory)
    return memory


def logically(cli: Cli) -> Memory:
    """A logical snapshot of a running PostgreSQL."""
    memory, environ = Memory(), cli.environ()
    context = Context.open(load([cli.folder / "mngdb.yaml"], environ), environ)
    programs = partial(place.program, context, context.instance("postgres"))
    with _session(cli, "postgres") as (engine, session, _, access):
        memory.taken = engine.back_up_logically(session, access, programs, memory)
    return memory


def loaded(cli: Cli, instance: str, saved: Memory) -> None:
    """Bring it into a running instance."""
    with _session(cli, instance) as (engine, session, asked, _):
        engine.load(session, asked, saved)


def proved(cli: Cli, instance: str, of: Taken) -> dict[str, Trial]:
    """The trials of an instance, by name."""
    with _session(cli, instance) as (engine, session, asked, _):
        return {one.name: one for one in engine.prove(session, asked, of)}
