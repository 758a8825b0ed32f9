"""`verify`: the store against its manifests, without a restore."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from mngdb.ops.backup import place
from mngdb.ops.context import Context


class Verified(Struct, frozen=True):
    """What was read. `opened`: whether the private key was there to decrypt it, too."""

    snapshots: int
    objects: int
    stored: int
    opened: bool
    damages: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Whether everything is as it was written."""
        return not self.damages

    def as_json(self) -> dict[str, Any]:
        """As `verify --json` shows it."""
        return {
            "snapshots": self.snapshots,
            "objects": self.objects,
            "stored_bytes": self.stored,
            "decrypted": self.opened,
            "damaged": list(self.damages),
            "verdict": "pass" if self.sound else "fail",
        }


def verify(context: Context, names: Sequence[str]) -> Verified:
    """Read all snapshots of every instance, or of those named. Raises StoreError, UsageError."""
    chosen = [context.instance(name).name for name in names] or list(context.stack.instances)
    catalog = place.catalog(context)
    read: list[int] = []
    snapshots, opened, damages = 0, True, []
    for name in chosen:
        manifests, broken = catalog.snapshots(name)
        damages += [one.text for one in broken]
        for manifest in manifests:
            snapshots += 1
            opener = place.opener_here(context, manifest)
            opened = opened and opener is not None
            found = catalog.verify(manifest, opener, lambda _, stored: read.append(stored))
            damages += [one.text for one in found]
    return Verified(snapshots, len(read), sum(read), opened, tuple(damages))
