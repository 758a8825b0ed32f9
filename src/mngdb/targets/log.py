"""What a target has of what a unit writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from mngdb.facts.denied import Pieces


class Log(Protocol):
    """What a unit writes. All but `lost` raise MngdbError where that went with it, OSError."""

    def lost(self) -> str:
        """Why what it writes now cannot be read; empty: it can."""
        ...

    def last(self, count: int) -> list[str]:
        """The last lines."""
        ...

    def follow(self, count: int) -> Iterator[str]:
        """The last lines, then others as they come, without end."""
        ...

    def back(self) -> Pieces:
        """All of it, the newest first."""
        ...

    def since(self, mark: str) -> tuple[bytes, str]:
        """Whole lines that it wrote since `mark`, the last answer's (empty: its last MB), and the
        next mark. Of very many, the last ones."""
        ...
