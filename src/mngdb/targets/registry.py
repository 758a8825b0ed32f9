"""The targets, by their keys in the file. A target's code is imported when it is used."""

from __future__ import annotations

from importlib import import_module

from mngdb.targets.protocol import TargetKind

#: In the order in which what is left of them is looked for.
PACKAGES = {
    "local": "mngdb.targets.local",
    "compose": "mngdb.targets.compose",
    "external": "mngdb.targets.external",
    "atlas": "mngdb.targets.atlas",
}


def kinds() -> list[str]:
    """Every key."""
    return list(PACKAGES)


def kind(name: str) -> TargetKind:
    """The target called `name`."""
    found: TargetKind = import_module(PACKAGES[name]).KIND
    return found
