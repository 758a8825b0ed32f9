"""Servers that somebody else runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mngdb.spec.stack import Stack

if TYPE_CHECKING:
    from mngdb.targets.protocol import Opened, Target


class ExternalKind:
    """The target `external`, not yet opened."""

    def made(self, state: Path) -> bool:
        """Never: what is made there is told by the file alone."""
        return False

    def settle(self, stack: Stack) -> None:
        """Nothing."""

    def open(self, given: Opened) -> Target:
        """The servers of others that a stack uses."""
        from mngdb.targets.external.target import ExternalTarget

        return ExternalTarget(given)


KIND = ExternalKind()
