"""Snapshots and segments of the log that were found damaged: kept until `verify` finds them sound,
so that nobody counts on them meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from mngdb import disk

#: In the stack's own folder.
_FILE, _LOCK = "damaged.json", "damaged.lock"


def kept(state: Path, instance: str) -> dict[str, str]:
    """What is known of an instance: the id of a snapshot or the key of a segment, to what is wrong
    with it. Raises OSError, UsageError."""
    return _read(state).get(instance, {})


def keep(state: Path, instance: str, found: Mapping[str, str]) -> None:
    """Keep what `verify` found: there is nothing else. Raises OSError."""
    with disk.alone(state / _LOCK):
        every = _read(state)
        if every.get(instance, {}) != found:
            _write(state, every | {instance: dict(found)})


def add(state: Path, instance: str, name: str, text: str) -> None:
    """Keep what a restore or a drill came upon. Raises OSError."""
    with disk.alone(state / _LOCK):
        every = _read(state)
        _write(state, every | {instance: every.get(instance, {}) | {name: text}})


def _read(state: Path) -> dict[str, dict[str, str]]:
    return disk.noted(state / _FILE, dict[str, dict[str, str]], {})


def _write(state: Path, every: Mapping[str, Mapping[str, str]]) -> None:
    found = {name: one for name, one in every.items() if one}
    disk.write(state / _FILE, msgspec.json.encode(found).decode() + "\n")
