"""When backups and drills are due. What was missed is made up; what failed is tried again."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec import Struct

from mngdb import disk
from mngdb.ops.backup import place
from mngdb.ops.backup.history import history
from mngdb.ops.context import Context

#: In the stack's own folder: how the last backup of each instance went.
_FOLDER = "backup-runs"
#: Seconds after which one that failed is tried again: a backup, a drill.
_AGAIN, _DRILL_AGAIN = 900.0, 86_400.0


class Run(Struct, frozen=True):
    """The last attempts at one instance. Moments in seconds since the epoch; 0: never."""

    tried: float = 0.0
    done: float = 0.0
    """When the last one that succeeded was finished."""
    error: str = ""
    """Why the last one failed; empty: it did not."""
    stored: int = 0
    """Bytes in the store of the last one."""


def runs(context: Context) -> dict[str, Run]:
    """Every instance's last attempts."""
    return {name: _read(context.stack.state, name) for name in context.stack.instances}


def _read(state: Path, instance: str) -> Run:
    try:
        found = json.loads(disk.read_own(state / _FOLDER / instance) or "{}")
        return Run(**{name: found[name] for name in Run.__struct_fields__ if name in found})
    except (ValueError, TypeError):
        return Run()  # a damaged note: the next backup is early, that is all


def note(context: Context, instance: str, stored: int | None, error: str = "") -> None:
    """Keep how an attempt went: bytes stored, or why it failed. Raises OSError."""
    before, now = _read(context.stack.state, instance), time.time()
    done = (before.done, before.stored) if stored is None else (now, stored)
    found = {"tried": now, "done": done[0], "stored": done[1], "error": error}
    folder = disk.private(context.stack.state / _FOLDER)
    disk.write(folder / instance, json.dumps(found) + "\n")


def scheduled(at: str, now: float) -> float:
    """The last moment before `now` at which the clock said `at` (UTC)."""
    hour, minute = map(int, at.split(":"))
    today = datetime.fromtimestamp(now, UTC).replace(
        hour=hour, minute=minute, second=0, microsecond=0
    )
    return (today if today.timestamp() <= now else today - timedelta(days=1)).timestamp()


def backups_due(context: Context, now: float) -> list[str]:
    """Instances whose last backup is older than the file wants; none where it has no `backup:`."""
    if context.stack.backup is None:
        return []
    last = scheduled(context.stack.backup.at, now)
    return [
        name
        for name, run in runs(context).items()
        # a clock that was set back leaves moments in the future
        if not last <= run.done <= now and not now - _AGAIN < run.tried <= now
    ]


def drills_due(context: Context, now: float) -> list[str]:
    """Instances with a backup of which no drill has passed for too long."""
    if context.stack.backup is None or not place.has_key(context):
        return []
    every = context.stack.backup.drill.every.total_seconds()
    passed: dict[str, float] = {}
    tried: dict[str, float] = {}
    for one in history(context.stack.state):
        tried[str(one["instance"])] = float(one["at"])
        if one["verdict"] == "pass":
            passed[str(one["instance"])] = float(one["at"])
    return [
        name
        for name, run in runs(context).items()
        if run.done
        and context.target(context.instance(name)).disposable is not None
        and now - passed.get(name, 0.0) > every
        and now - tried.get(name, 0.0) > _DRILL_AGAIN
    ]
