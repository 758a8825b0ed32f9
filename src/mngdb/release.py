"""Which server it is, and whether it reads the data that another one wrote."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from msgspec import Struct

from mngdb.words import numbers


class Release(Struct, frozen=True):
    """Which server it is: `Redis 8.2.3`."""

    product: str
    version: str
    """Numbers alone, as far as they are known: an image may say no more than `8`."""
    data: str = ""
    """The version of its data's format, where the data can be older than the server (MongoDB's
    featureCompatibilityVersion)."""

    @classmethod
    def of(cls, product: str, version: str, data: str = "") -> Release:
        """From a version as a server tells it: `17.10 (Debian 17.10-1)` is 17.10."""
        found = re.search(r"\d+(\.\d+)*", version)
        return cls(product, found[0] if found else version, data)

    def same(self, other: Release) -> bool:
        """Whether it is the same server, as far as both versions are known."""
        return self.product == other.product and not (self.newer(other) or other.newer(self))

    def newer(self, other: Release, parts: int = 3) -> bool:
        """Whether the first `parts` numbers of the version are higher, as far as both have them."""
        ours, theirs = numbers(self.version)[:parts], numbers(other.version)[:parts]
        both = min(len(ours), len(theirs))
        return ours[:both] > theirs[:both]

    def __str__(self) -> str:
        return f"{self.product} {self.version}".rstrip()


class Unreadable(Struct, frozen=True):
    """Why a server cannot read the data that is there: who wrote it, and what helps."""

    wrote: str
    hint: str


class Data(Struct, frozen=True):
    """What tells whether a server reads the data that is there."""

    heads: tuple[str, ...]
    """Patterns of files in the data folder: their first HEAD bytes tell what wrote them. None: only
    the server that wrote it could tell."""
    judge: Callable[[Sequence[bytes], Release | None], Unreadable | None]
    """Given the heads that there are, and the server that was last seen on the data."""


#: Bytes at the beginning of a file that are looked at.
HEAD = 64
