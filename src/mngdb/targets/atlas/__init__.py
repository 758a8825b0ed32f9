"""Clusters of MongoDB Atlas, made and kept through its Administration API."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mngdb.spec.stack import Stack

if TYPE_CHECKING:
    from mngdb.targets.protocol import Opened, Target


class AtlasKind:
    """The target `atlas`, not yet opened."""

    def made(self, state: Path) -> bool:
        """Whether the journal knows of something that was made there."""
        return (state / "atlas" / "journal.json").exists()

    def settle(self, stack: Stack) -> None:
        """Nothing."""

    def open(self, given: Opened) -> Target:
        """The clusters of a stack. Nothing is asked yet."""
        from mngdb.targets.atlas.target import AtlasTarget

        return AtlasTarget(given)


KIND = AtlasKind()
