"""When mngdb did an app's work with the app's login and something was refused, and when it made its
own logins: servers note that as they note what others are refused."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from mngdb import disk
from mngdb.errors import MngdbError
from mngdb.facts.denied import RECENT, Probe
from mngdb.spec.stack import Instance

_FILE = "probes.json"
#: The latest ones that are kept: each look at an app in trouble is one.
_MOST = 500
#: Apps are looked at side by side. Another command that notes one in the same moment may undo it.
_GUARD = threading.Lock()


class _Noted(Struct, frozen=True):
    instance: str
    probe: Probe


def note(state: Path, instance: Instance, begun: float, *logins: str) -> None:
    """Note that mngdb worked with logins, from `begun` until now. A second person of the team, or a
    full disk, keeps no note."""
    if not instance.managed or not state.exists():
        return
    now = time.time()
    new = [_Noted(instance.name, Probe(one, begun, now)) for one in logins]
    with _GUARD, contextlib.suppress(OSError, MngdbError):
        kept = [*_read(state), *new][-_MOST:]
        rows = [(x.instance, x.probe.app, x.probe.begun, x.probe.ended) for x in kept]
        disk.write(state / _FILE, json.dumps(rows), durable=False)


def of(state: Path, instance: str) -> list[Probe]:
    """Those of one instance."""
    try:
        return [one.probe for one in _read(state) if one.instance == instance]
    except (OSError, MngdbError):
        return []


def _read(state: Path) -> Iterator[_Noted]:
    since = time.time() - RECENT
    # a damaged one is written anew
    rows = disk.noted(state / _FILE, list[tuple[str, str, float, float]], [])
    for instance, app, begun, ended in rows:
        if ended > since:
            yield _Noted(instance, Probe(app, begun, ended))
