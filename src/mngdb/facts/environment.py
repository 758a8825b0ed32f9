"""What is looked at of an app's environment, for the checks `env.*`. A value never leaves its
Secret."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from mngdb.findings import Seen
from mngdb.secret import Secret


class EnvFile(Struct, frozen=True):
    """The file that the variables come from."""

    name: str
    mode: int
    unreadable: tuple[int, ...]
    """Lines that no reader of .env files takes."""
    duplicates: tuple[str, ...]
    ambiguous: tuple[str, ...]
    """Variables whose values readers take differently."""
    ignored: Seen[bool | None]
    """Whether git ignores it; None: no repository."""
    committed: Seen[tuple[str, ...]]
    """Under which names it, or one like it, was ever committed; empty also without repository."""
    example: Mapping[str, Secret] | None
    """What the .env.example beside it has; None: there is none."""


class EnvFacts(Struct, frozen=True):
    """Variables as an app gets them, and what the stack says that it needs."""

    variables: Mapping[str, Secret]
    file: EnvFile | None
    """None: they are those of the process."""
    needed: Mapping[str, Mapping[str, Secret]]
    """App to what `mngdb env APP` says; with made-up passwords where the vault has none."""
    kept: Seen[Mapping[str, Secret]]
    """The vault's secrets of these apps."""
    encrypted: bool
    """Whether a server that the apps use asks for TLS."""
    inside: frozenset[str] = frozenset()
    """Hosts that apps reach within a network of their own, on one machine: the containers."""
