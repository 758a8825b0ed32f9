"""Where backups are kept: objects by key, in a directory or a bucket.

Keys are mngdb's own, with `/` between their parts. An object is written whole or not at all, and
never changed afterwards. One suite, tests/conformance/test_stores.py, holds for all stores.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from msgspec import Struct

from mngdb.errors import MngdbError


class StoreError(MngdbError):
    """The store could not do what it was asked. `passing`: the same may succeed in a moment, since
    nobody answered or the other side was busy."""

    def __init__(self, message: str, hint: str | None = None, *, passing: bool = False) -> None:
        super().__init__(message, hint)
        self.passing = passing


class MissingError(StoreError):
    """There is no such object."""


class Entry(Struct, frozen=True):
    """One object. `size` in bytes, `modified` in seconds since the epoch, by the store's clock."""

    key: str
    size: int
    modified: float


class Store(Protocol):
    """Keeps objects by key. May be used by several threads. All raise StoreError."""

    @property
    def place(self) -> str:
        """Where it is, for people: a path, or a URL without credentials."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Write an object, whole or not at all; it is on the disk when this returns."""
        ...

    def get(self, key: str, most: int | None = None) -> bytes:
        """The bytes of an object; of one that is larger than `most`, a few more than that. Raises
        MissingError."""
        ...

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Every object whose key begins with `prefix` and a `/`, in no order."""
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; one that is not there is no error."""
        ...
