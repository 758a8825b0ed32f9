"""What the alerts' last round left behind, in one file: a restart neither forgets nor repeats."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from mngdb import disk
from mngdb.alerts.evaluator import Alert, restored

_VERSION = 1
#: Bytes: every alert of a large stack, and what each channel was told.
_MOST = 64 << 20


class Memory(Struct, frozen=True):
    """The last round. Nothing is kept that is secret."""

    at: float = 0.0
    """When it was, in seconds since the epoch; 0 when there was none."""
    alerts: tuple[Alert, ...] = ()
    told: Mapping[str, Any] = field(default_factory=dict)
    """What each channel was told: `Notifier.as_json`."""
    running: bool = False
    """Whether whoever judged means to go on; a killed process could not say that it does not."""
    damaged: bool = False
    """Whether there was a file that cannot be read: alerts are judged and told anew then."""


def load(path: Path) -> Memory:
    """The last round of an earlier process. Raises OSError."""
    try:
        text = disk.read_own(path, limit=_MOST)
        if text is None:
            return Memory()
        found = json.loads(text)
        if found["version"] != _VERSION:
            return Memory(damaged=True)
        alerts = tuple(restored(one) for one in found["alerts"])
        told = {
            name: [
                {"told": float(one["told"]), "alert": restored(one["alert"]).as_json()}
                for one in channel
            ]
            for name, channel in found["told"].items()
        }
        return Memory(float(found["at"]), alerts, told, bool(found["running"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Memory(damaged=True)


def save(
    path: Path, at: float, alerts: Iterable[Alert], told: Mapping[str, Any], *, running: bool
) -> None:
    """Keep a round. Raises OSError."""
    document = {
        "version": _VERSION,
        "at": at,
        "running": running,
        "alerts": [alert.as_json() for alert in alerts],
        "told": told,
    }
    # written anew each round: a crash of the machine loses a round at most
    disk.write(path, json.dumps(document, ensure_ascii=False) + "\n", durable=False)
