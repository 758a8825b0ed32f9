"""A part of a server's data that is brought from a restored server back into the live one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, TypeAlias

from msgspec import Struct

Kind = Literal["database", "table", "collection", "keys"]


class Part(Struct, frozen=True, kw_only=True):
    """What somebody wants back."""

    kind: Kind
    text: str
    """Its name as people write it; a pattern of keys."""
    moment: float = 0.0
    """The moment that the restored server shows, in seconds since the epoch."""
    renamed: str = ""
    """What it shall be called; empty: as it was, where nothing is called so, else a name that tells
    the moment."""
    overwrite: bool = False
    """Whether keys that there are get their old values."""

    @property
    def suffix(self) -> str:
        """What is added to the name of something that is still there: `_restored_` and the moment
        in local time, as people wrote it."""
        return time.strftime("_restored_%Y%m%d_%H%M%S", time.localtime(self.moment))


class Brought(Struct, frozen=True, kw_only=True):
    """What is, or will be, brought back."""

    name: str
    """What it is called now; empty: its keys have their own names."""
    counts: dict[str, int]
    """How much, by name: rows, bytes, keys, …"""
    notes: tuple[str, ...] = ()
    """What a person should know of it."""
    overwrites: bool = False
    """Whether something that there is changes."""


#: Is told what will be done before anything is changed, and may raise.
Agree: TypeAlias = Callable[[Brought], None]
#: Takes how many bytes more were brought.
Took: TypeAlias = Callable[[int], None]
