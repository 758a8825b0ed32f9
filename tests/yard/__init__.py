"""A fourth target, for the proof that one needs no more than a record, a model and a package: a
yard, in which each server has a folder and runs as a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mngdb.spec.stack import Stack
    from mngdb.targets.protocol import Opened, Target


class YardKind:
    """The target `yard`, not yet opened."""

    def made(self, state: Path) -> bool:
        return (state / "yard").is_dir()

    def settle(self, stack: Stack) -> None:
        """The account is there before, and named in the file."""

    def open(self, given: Opened) -> Target:
        from tests.yard.target import YardTarget

        return YardTarget.of(given)


KIND = YardKind()
