"""What this machine has stored, and the store has no more: somebody removed it, or put an older
state of the store in its place. The notes of this machine tell.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from mngdb import disk
from mngdb.ops.backup import archived, schedule
from mngdb.ops.backup.archived import Archived
from mngdb.ops.backup.moments import shown
from mngdb.ops.backup.schedule import Run
from mngdb.ops.context import Context
from mngdb.stores.archive import Segment
from mngdb.stores.manifest import Manifest

#: In the stack's own folder: what the agent found when it looked last.
_FILE = "store-lacks.json"


class Noted(Struct, frozen=True):
    """What this machine has noted of an instance: read before the store is listed, since both go
    on."""

    run: Run
    log: Archived


def noted(context: Context, instance: str) -> Noted:
    """Raises OSError, UsageError."""
    run = schedule.of(context, instance) if instance in context.stack.instances else Run()
    return Noted(run, archived.read(context, instance))


def snapshot(noted: Noted, where: str) -> str:
    """That the last snapshot is not there, in words."""
    run = noted.run
    return (
        f"{where} lacks what this machine has stored there: snapshot {run.snapshot} of "
        f"{shown(run.done)}, and all up to {shown(run.reached(noted.log))}"
    )


def log(noted: Noted, manifest: Manifest, segments: tuple[Segment, ...], where: str) -> str:
    """What is missing of the log that leads on from the last snapshot, in words; empty: nothing."""
    point, last = manifest.taken.log, segments[-1] if segments else None
    if point is None or not noted.run.led_on(noted.log):
        return ""
    if noted.log.stored <= (last.end if last else point.position):
        return ""
    reached = last.until if last else manifest.moment
    return (
        f"{where} lacks what this machine has stored there: the log after {shown(reached)}, up to "
        f"{shown(noted.log.until)}"
    )


def damaged(noted: Noted, instance: str) -> str:
    """That the last snapshot, or what it builds on, or what leads on from it, is damaged, in
    words."""
    return (
        f"snapshot {noted.run.snapshot}, the newest, or its log is damaged ('mngdb verify' names "
        f"the objects); another one is due: mngdb backup {instance}"
    )


class Lack(Struct, frozen=True):
    """What the store lacks of an instance, in words, and the newest moment that it still leads to
    (seconds since the epoch)."""

    text: str
    newest: float


def keep(context: Context, found: Mapping[str, Lack | None]) -> None:
    """Keep what was found when somebody looked at these instances. Raises OSError, UsageError."""
    before = {name: one for name, one in kept(context).items() if name not in found}
    every = before | {name: one for name, one in found.items() if one is not None}
    text = msgspec.json.encode(every).decode()
    disk.write(context.stack.state / _FILE, text + "\n", durable=False)


def kept(context: Context) -> dict[str, Lack]:
    """What was found last, by instance. Raises OSError, UsageError."""
    return disk.noted(context.stack.state / _FILE, dict[str, Lack], {})
