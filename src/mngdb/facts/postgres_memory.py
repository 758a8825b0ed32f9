"""What a PostgreSQL server tells of its memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from mngdb.facts.memory import Content, MemoryFacts
from mngdb.findings import Seen


class Backend(Struct, frozen=True):
    """A process of PostgreSQL. `seconds` since its state began."""

    pid: int
    kind: str
    app: str
    client: str
    state: str
    seconds: float


@dataclass(frozen=True)
class PostgresMemory(MemoryFacts):
    """A PostgreSQL server as observed. `settings` in bytes or plain numbers."""

    settings: Seen[Mapping[str, float]]
    backends: Seen[tuple[Backend, ...]]
    databases: Seen[tuple[Mapping[str, Any], ...]]
    """name, hit and read (blocks), temporary (bytes), files; of each database."""
    cached: Seen[tuple[Content, ...]]
    """What is in the cache."""
    filled: Seen[tuple[int, int] | None]
    """Of the cache what is used and what of that is not written yet; None: nobody can tell."""
    huge_pages: Seen[str]
