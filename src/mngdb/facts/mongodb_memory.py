"""What a MongoDB server tells of its memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mngdb.facts.memory import Content, MemoryFacts
from mngdb.facts.sessions import Sessions
from mngdb.findings import Seen


@dataclass(frozen=True)
class MongodbMemory(MemoryFacts):
    """A MongoDB server as observed. `status` is serverStatus."""

    status: Mapping[str, Any]
    there_is: Seen[int]
    """Bytes that the server itself believes to have."""
    sessions: Seen[Sessions]
    cached: Seen[tuple[Content, ...]]
