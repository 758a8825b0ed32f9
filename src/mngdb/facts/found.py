"""What `init --from` finds on a server that others made: what the file can say, and what not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from mngdb.secret import Secret


class FoundApp(Struct, frozen=True):
    """A login that can stand in the file as an app."""

    name: str
    right: Mapping[str, Any] | None
    """As the file takes it; None: the file has no words for its rights, and `notes` say why."""
    notes: tuple[str, ...] = ()
    """What the line does not say, and what is worth mending, one sentence each."""
    password: Secret | None = None
    """Where a script has it."""


class FoundServer(Struct, frozen=True):
    """One server, or what a script makes."""

    apps: tuple[FoundApp, ...] = ()
    keys: Mapping[str, Any] = field(default_factory=dict)
    """Keys of its instance in the file."""
    notes: tuple[str, ...] = ()
    """What cannot stand in the file, or was not to be seen, with the reason, one sentence each."""
    marks: frozenset[str] = frozenset()
    """What logins carry that mngdb made: STACK or STACK/ID."""

    @property
    def stacks(self) -> frozenset[str]:
        """The names of the stacks that made them."""
        return frozenset(mark.partition("/")[0] for mark in self.marks)


def made_by(mark: str) -> str:
    """Why a login is not adopted that mngdb made."""
    return f"mngdb made it for the stack {mark.replace('/', '-')}: run mngdb with that stack's file"
