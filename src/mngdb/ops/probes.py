"""When mngdb did an app's work with the app's login and something was refused: servers note that
as they note what the app itself is refused."""

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
from mngdb.facts.doctor import Diagnosis
from mngdb.spec.stack import Instance

_FILE = "probes.json"
#: The latest ones that are kept: each look at an app in trouble is one.
_MOST = 500
#: Apps are looked at side by side. Another command that notes one in the same moment may undo it.
_GUARD = threading.Lock()


class _Noted(Struct, frozen=True):
    instance: str
    probe: Probe


def noting(state: Path, instance: Instance, begun: float, found: Diagnosis) -> Diagnosis:
    """Note a look at an app that `begun` then, where it found something wrong. A second person of
    the team, or a full disk, keeps no note."""
    if found.problem is not None and instance.managed and state.exists():
        one = _Noted(instance.name, Probe(found.app, begun, time.time()))
        with _GUARD, contextlib.suppress(OSError, MngdbError):
            kept = [*_read(state), one][-_MOST:]
            rows = [(x.instance, x.probe.app, x.probe.begun, x.probe.ended) for x in kept]
            disk.write(state / _FILE, json.dumps(rows), durable=False)
    return found


def of(state: Path, instance: str) -> list[Probe]:
    """Those of one instance."""
    try:
        return [one.probe for one in _read(state) if one.instance == instance]
    except (OSError, MngdbError):
        return []


def _read(state: Path) -> Iterator[_Noted]:
    since = time.time() - RECENT
    try:
        for instance, app, begun, ended in json.loads(disk.read_own(state / _FILE) or "[]"):
            if float(ended) > since:
                yield _Noted(str(instance), Probe(str(app), float(begun), float(ended)))
    except (ValueError, TypeError):
        return  # damaged: it is written anew
