"""Containers of a Docker engine, described by a Compose file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mngdb.spec.stack import Stack

if TYPE_CHECKING:
    from mngdb.targets.protocol import Opened, Target


class ComposeKind:
    """The target `compose`, not yet opened."""

    def made(self, state: Path) -> bool:
        """Whether there are, or were, containers."""
        if not (state / "compose").exists():
            return False
        from mngdb.targets.compose.notes import made

        return made(state)

    def settle(self, stack: Stack) -> None:
        """Nothing: images bring their accounts."""

    def open(self, given: Opened) -> Target:
        """The containers of a stack."""
        from mngdb.targets.compose.target import ComposeTarget

        return ComposeTarget(given)


KIND = ComposeKind()
