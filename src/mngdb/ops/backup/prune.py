"""`backup prune`: snapshots that the file no longer asks to keep, and log that no moment needs."""

from __future__ import annotations

import time
from collections.abc import Mapping

from msgspec import Struct

from mngdb.model import Step
from mngdb.ops import audit
from mngdb.ops.backup import damages, kept, place
from mngdb.ops.backup.history import proved
from mngdb.ops.context import Context
from mngdb.stores.archive import Segment, covered
from mngdb.stores.manifest import Manifest
from mngdb.stores.retention import Policy, expired, superfluous

#: Seconds after its last object that a snapshot without a manifest is taken for given up.
_UNFINISHED = 86_400.0


_ByInstance = Mapping[str, tuple[Segment, ...]]


class Due(Struct, frozen=True):
    """What is to be removed."""

    snapshots: tuple[Manifest, ...]
    segments: _ByInstance
    """Log that no promised moment needs."""
    merged: _ByInstance = {}
    """What was written once more, as a larger segment, which stays: nothing of the log is lost."""
    unfinished: tuple[str, ...] = ()
    """Keys of what backups that were killed have left."""

    def __bool__(self) -> bool:
        return bool(self.snapshots or self.segments or self.merged or self.unfinished)


def stored(log: _ByInstance) -> int:
    """Bytes in the store."""
    return sum(one.stored for every in log.values() for one in every)


def due(context: Context) -> Due:
    """What would be removed now, of all instances whose backups are in the store. Raises
    StoreError."""
    keep = place.wanted(context).keep
    policy = Policy(keep.daily, keep.weekly, keep.monthly, keep.point_in_time.total_seconds())
    catalog, tried, now = place.catalog(context), proved(context.stack.state), time.time()
    found, log, merged, unfinished = [], {}, {}, []
    for name in kept.apart(context, context.stack.instances):
        snapshots, _ = catalog.snapshots(name)
        segments = catalog.archive(name).segments()
        bad = damages.kept(context.stack.state, name)
        gone = expired(snapshots, segments, policy, now, tried, bad)
        found += gone
        ids = {one.id for one in gone}
        left = [one for one in snapshots if one.id not in ids]
        if twice := covered(segments, now):
            merged[name] = tuple(twice)
        names = {one.name for one in twice}
        useless = superfluous(segments, left, policy, now)
        if rest := tuple(one for one in useless if one.name not in names):
            log[name] = rest
        unfinished += catalog.unfinished(name, now - _UNFINISHED)
    return Due(tuple(found), log, merged, tuple(unfinished))


def prune(context: Context, due: Due) -> None:
    """Remove snapshots, one after the other, then the log. Interrupted, it can be done again.
    Raises StoreError."""
    catalog = place.catalog(context)
    for log in (due.segments, due.merged):
        for name, segments in log.items():
            catalog.archive(name).remove(segments)
    catalog.store.delete(due.unfinished)
    for one in reversed(due.snapshots):  # what builds on another goes first
        catalog.remove([one])
        step: Step[None] = Step(
            *(one.instance, one.engine, "drop", f"snapshot {one.id}", "no longer kept"),
            lambda _: None,
        )
        audit.note(context.stack.state, "prune", step)
