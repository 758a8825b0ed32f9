"""`backup prune`: snapshots that the file no longer asks to keep."""

from __future__ import annotations

import time
from collections.abc import Iterable

from mngdb.model import Step
from mngdb.ops import audit
from mngdb.ops.backup import place
from mngdb.ops.backup.history import proved
from mngdb.ops.context import Context
from mngdb.stores.manifest import Manifest
from mngdb.stores.retention import Policy, expired


def due(context: Context) -> list[Manifest]:
    """What would be removed now, of all instances of the file. Raises StoreError."""
    keep = place.wanted(context).keep
    policy = Policy(keep.daily, keep.weekly, keep.monthly, keep.point_in_time.total_seconds())
    catalog, tried, now = place.catalog(context), proved(context.stack.state), time.time()
    found = []
    for name in context.stack.instances:
        snapshots, _ = catalog.snapshots(name)
        found += expired(snapshots, policy, now, tried)
    return found


def prune(context: Context, snapshots: Iterable[Manifest]) -> None:
    """Remove snapshots, one after the other. Interrupted, it can be done again. Raises
    StoreError."""
    catalog = place.catalog(context)
    for one in snapshots:
        catalog.remove([one])
        step: Step[None] = Step(
            *(one.instance, one.engine, "drop", f"snapshot {one.id}", "no longer kept"),
            lambda _: None,
        )
        audit.note(context.stack.state, "prune", step)
