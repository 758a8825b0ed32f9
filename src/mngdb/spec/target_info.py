"""One record per target that a whole stack can have. Nothing is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class TargetInfo:
    """A target, as a file may name it for the stack."""

    name: str
    what: str
    """What it is, for a comment in the file."""
    programs: bool
    """Whether servers are programs of this machine, which pip can bring."""


TARGET_INFO: Mapping[str, TargetInfo] = {
    info.name: info
    for info in (
        TargetInfo("local", "processes on this machine, on loopback only", programs=True),
        TargetInfo("compose", "containers of a Docker engine, no port published", programs=False),
    )
}
#: Where a stack lives when nobody says.
DEFAULT_TARGET = "local"
