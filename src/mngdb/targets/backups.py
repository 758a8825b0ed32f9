"""Backups that a target takes and keeps itself, and what it tells of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from mngdb.model import DesiredInstance
from mngdb.spec.stack import Instance


class OwnSnapshot(Struct, frozen=True, kw_only=True):
    """A snapshot that is kept where the instance lives. Moments in seconds since the epoch."""

    id: str
    moment: float
    """When the server was as it shows."""
    finished: float
    size: int
    """Bytes that it takes there."""
    version: str
    """The server's that it is of."""


class OwnReach(Struct, frozen=True):
    """What can be restored there: whole snapshots, the oldest first, and any moment of `span`
    (None: snapshots alone)."""

    snapshots: tuple[OwnSnapshot, ...]
    span: tuple[float, float] | None


class Rescue(Struct, frozen=True):
    """How another machine comes to a server at its keeper's, and to its backups: `place` names it,
    `steps` are what to do there, once it has the stack's files and secrets."""

    place: str
    steps: tuple[str, ...]


class OwnBackups(Protocol):
    """Backups that are taken and kept where the instances live, and are restored there alone. All
    of it raises MngdbError, and may take an hour; `emit` takes events (`mngdb.events`)."""

    @property
    def keeper(self) -> str:
        """Who keeps them, for people."""
        ...

    def reach(self, asked: DesiredInstance) -> OwnReach:
        """What can be restored now."""
        ...

    def take(self, asked: DesiredInstance, emit: Callable[[object], None]) -> OwnSnapshot:
        """Take a snapshot; one that a killed command has begun is waited for."""
        ...

    def rescue(self, asked: DesiredInstance) -> Rescue:
        """What to know when this machine is gone. Nothing is asked."""
        ...

    def cost(self, instance: Instance) -> str:
        """What a server beside the live one costs, in words."""
        ...

    def beside(self, instance: Instance, unit: str) -> Instance:
        """An instance as it is on a server beside the live one. Pure."""
        ...

    def make(
        self, asked: DesiredInstance, beside: Instance, emit: Callable[[object], None]
    ) -> None:
        """Make that server, empty, where it is not there yet. It takes the live one's logins."""
        ...

    def restore(
        self,
        asked: DesiredInstance,
        into: Instance,
        snapshot: str,
        until: float | None,
        emit: Callable[[object], None],
        since: float = math.inf,
    ) -> None:
        """Put a snapshot, or the data of the moment `until`, in the place of what a server has: of
        the live one, or of one beside it. A restore of the same that is under way is waited for;
        one that has ended after the moment `since` is as good."""
        ...

    def restoring(
        self,
        asked: DesiredInstance,
        into: Instance,
        snapshot: str,
        until: float | None,
        since: float,
    ) -> bool:
        """Whether such a restore is under way, or has ended after that moment."""
        ...

    def remove(self, asked: DesiredInstance, beside: Instance) -> None:
        """Remove a server beside the live one, if it is there; never the live one."""
