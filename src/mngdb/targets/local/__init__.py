"""Processes on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mngdb.spec.stack import Stack

if TYPE_CHECKING:
    from mngdb.targets.protocol import Opened, Target


class LocalKind:
    """The target `local`, not yet opened."""

    def made(self, state: Path) -> bool:
        """Whether there are, or were, servers."""
        return (state / "servers").exists()

    def settle(self, stack: Stack) -> None:
        """As root, make the accounts that are missing of those that servers run as."""
        from mngdb.targets.local.runner import LocalRunner

        LocalRunner.make_accounts(stack)

    def open(self, given: Opened) -> Target:
        """The servers of a stack on this machine."""
        from mngdb.targets.local.target import LocalTarget

        return LocalTarget(given)


KIND = LocalKind()
