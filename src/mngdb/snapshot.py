"""What a backup is to an engine: streams that it writes and reads, and what it says of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol

from msgspec import Struct

#: What a snapshot holds: everything by itself, what changed since its parent, or the content as
#: another server can read it.
Kind = Literal["full", "incremental", "logical"]


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

    def stream(self, name: str) -> AbstractContextManager[Writer]:
        """A stream: a file of this name, in the end. One at a time, or several threads each their
        own. It is part of the snapshot when the block ends without an error."""
        ...

    def expect(self, size: int) -> None:
        """Say how many bytes there will be about, for the progress."""
        ...


class Saved(Protocol):
    """A snapshot as an engine reads it."""

    @property
    def taken(self) -> Taken:
        """What the engine said of it."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Its streams."""
        ...

    def read(self, name: str) -> Iterator[bytes]:
        """The content of a stream, which is as it was written, in pieces of up to 16 MB. Raises
        MngdbError for one that is damaged, once it is met."""
        ...
