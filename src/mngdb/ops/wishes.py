"""Units that were stopped by name: they stay so, also after a reboot, until `up` is asked for them.

The agent needs no word of it: what was stopped in order has no pid file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from mngdb import disk


def stopped(state: Path) -> frozenset[str]:
    """The units. A damaged note is none: everything is started then."""
    return disk.noted(_note(state), frozenset[str], frozenset())


def stop(state: Path, units: Iterable[str]) -> None:
    """They shall not run."""
    _write(state, stopped(state) | set(units))


def start(state: Path, units: Iterable[str] | None = None) -> None:
    """They shall run again; None: all of them."""
    _write(state, frozenset() if units is None else stopped(state) - set(units))


def _write(state: Path, units: frozenset[str]) -> None:
    if units != stopped(state):
        disk.write(_note(state), json.dumps(sorted(units)) + "\n")


def _note(state: Path) -> Path:
    return state / "stopped.json"
