"""The drills that were made, and what they say of an instance's backups."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

from mngdb import disk
from mngdb.facts.backups import Proved
from mngdb.ops.backup import chain
from mngdb.spec.file import Backup

#: In the stack's own folder: a line of JSON for each drill that ended.
_FILE = "drills.jsonl"
_LOCK = "drills.lock"
#: Seconds for which a drill that passed proves the backups (the guide: every quarter).
_PROVED = 90 * 86_400.0
#: What a line has to say; of that, what is in seconds.
_NEEDED, _NUMBERS = frozenset({"instance", "at", "rto", "verdict"}), ("at", "rto")
#: Drills of whom `usual` is told, and fewer than which tell nothing.
_RECENT, _FEW = 10, 3
#: Bytes of the history. Where it has grown to so many, its older half goes.
_MOST = 2 << 20


def iso(moment: float) -> str:
    """A moment in UTC, to the second."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def keep(state: Path, drill: Mapping[str, Any]) -> bytes:
    """Append a drill that ended. Returns the line. Raises OSError, UsageError."""
    with disk.alone(state / _LOCK):
        handle = disk.own(state / _FILE, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        try:
            last, torn = _last(handle)
            line = chain.link(state, drill, last)
            os.write(handle, b"\n" * torn + line + b"\n")
            os.fsync(handle)
            size = os.fstat(handle).st_size
        finally:
            os.close(handle)
        if size > _MOST:
            text = disk.read_own(state / _FILE, limit=2 * _MOST) or ""
            disk.write(state / _FILE, text[-_MOST // 2 :].partition("\n")[2])
    return line


def _last(handle: int) -> tuple[bytes, bool]:
    """The last line, and whether it was cut short."""
    size, span = os.fstat(handle).st_size, 1 << 14
    while True:
        tail = os.pread(handle, span, max(0, size - span))
        _, found, line = tail.rstrip(b"\n").rpartition(b"\n")
        if found or span >= size:
            return line, bool(tail) and not tail.endswith(b"\n")
        span *= 2


def checked(state: Path) -> chain.Checked:
    """Whether the history is as it was written. Raises OSError, UsageError."""
    if not (state / _FILE).exists():
        return chain.Checked(0, True, ())
    with disk.alone(state / _LOCK):
        text = disk.read_own(state / _FILE, limit=2 * _MOST) or ""
        lines = text.encode(errors="surrogateescape").removesuffix(b"\n").split(b"\n")
        return chain.check(state, lines if text else [])


def history(state: Path) -> Sequence[dict[str, Any]]:
    """Drills that ended, the oldest first. A line that is cut short or damaged is left out."""
    try:
        found = (state / _FILE).lstat()
    except FileNotFoundError:
        return ()
    return _read(state / _FILE, found.st_ino, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=1)
def _read(path: Path, *_: int) -> tuple[dict[str, Any], ...]:
    """The drills in a file as it is now: asked for each instance, and at every scrape."""
    text = disk.read_own(path, limit=2 * _MOST) or ""
    found = []
    for line in text.split("\n"):
        with suppress(ValueError, TypeError, RecursionError):
            one = json.loads(line)
            if isinstance(one, dict) and one.keys() >= _NEEDED:
                found.append(one | {name: float(one[name]) for name in _NUMBERS})
    return tuple(found)


def last(state: Path) -> dict[str, dict[str, Any]]:
    """Each instance's last drill."""
    return {str(one["instance"]): one for one in history(state)}


def passed(state: Path) -> dict[str, dict[str, Any]]:
    """Each instance's last drill that passed."""
    return {str(one["instance"]): one for one in history(state) if one["verdict"] == "pass"}


def usual(state: Path) -> dict[str, float]:
    """How long each instance's restore took in drills that passed before its last one: the median,
    in seconds. Without those of whom there are too few."""
    took: dict[str, list[float]] = {}
    for one in history(state):
        if one["verdict"] == "pass":
            took.setdefault(str(one["instance"]), []).append(float(one["rto"]))
    before = {name: every[-1 - _RECENT : -1] for name, every in took.items()}
    return {name: median(found) for name, found in before.items() if len(found) >= _FEW}


def proved(state: Path) -> dict[str, str]:
    """Snapshot to the moment at which a drill of it passed last."""
    found = (one for one in history(state) if one["verdict"] == "pass" and "snapshot" in one)
    return {str(one["snapshot"]): iso(float(one["at"])) for one in found}


def facts(state: Path, backup: Backup, instance: str) -> Proved:
    """What the drills of an instance say of its backups. Raises OSError."""
    asked = backup.drill
    newest, proof = last(state).get(instance, {}), passed(state).get(instance)
    failed = [
        f"{one['name']}: {one['detail']}" for one in newest.get("checks", ()) if not one["passed"]
    ]
    return Proved(
        age=time.time() - float(proof["at"]) if proof else None,
        rto=float(proof["rto"]) if proof else 0.0,
        failed="; ".join(failed) if newest.get("verdict") == "fail" else "",
        every=max(asked.every.total_seconds(), _PROVED),
        limit=asked.rto.total_seconds(),
    )
