"""What the next snapshot of an instance builds on.

The store gives nothing back without the private key, which need not be on this machine: what the
engine needs of the newest snapshot is kept here, too, in a file that is named after it. Where that
is missing, or the snapshot is no longer as it was, the next one is a full one.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from mngdb import disk
from mngdb.errors import MngdbError, UsageError
from mngdb.ops.backup import place
from mngdb.ops.context import Context
from mngdb.snapshot import Base
from mngdb.spec.stack import Instance
from mngdb.stores.catalog import Catalog
from mngdb.stores.manifest import Manifest
from mngdb.stores.sealing import Sealer, UnreadableError

#: In the stack's own folder: a folder for each instance, and in that what is not complete yet.
_FOLDER, _NEW = "bases", "new"
#: Snapshots that a chain has at most: a restore reads all of them.
_LONGEST = 14
#: Seconds by which a full snapshot may be early, so that a weekly one does not wait for a day more.
_EARLY = 3600.0


class Choice(Struct, frozen=True):
    """What the next snapshot builds on: `parent` is its id. None: it is a full one; `why`, where
    people may not expect that."""

    base: Base | None = None
    parent: str | None = None
    why: str = ""


def choose(context: Context, instance: Instance, catalog: Catalog, sealer: Sealer) -> Choice:
    """What the next snapshot of an instance builds on. Raises StoreError, OSError."""
    kept = max(_folder(context.stack.state, instance.name).glob("2*"), default=None)
    obstacle = context.engine(instance).incremental
    if kept is None or obstacle is None:
        return Choice()
    try:
        manifest = catalog.manifest(instance.name, kept.name)
        chain = (*catalog.parents(manifest), manifest)
    except UsageError:
        return Choice(why=f"{kept.name}, the one before, is not in {catalog.store.place}")
    except UnreadableError as error:
        return Choice(why=error.message)
    if _over(context, chain) or set(manifest.recipients) != set(sealer.recipients):
        return Choice()
    if lacking := next(filter(None, map(catalog.lacks, chain)), ""):
        return Choice(why=f"{catalog.store.place}/{lacking} is missing or damaged")
    try:
        why = obstacle(place.program(context, instance, manifest.taken.version))
    except MngdbError as error:  # there is none at all
        why = error.message
    return Choice(why=why) if why else Choice(Base(manifest.taken, kept), manifest.id)


def _over(context: Context, chain: tuple[Manifest, ...]) -> bool:
    """Whether it is time for a full snapshot again."""
    every = place.wanted(context).full.total_seconds()
    return len(chain) >= _LONGEST or time.time() - chain[0].finished > every - _EARLY


class Keeper:
    """Keeps what the next snapshot needs of the one that is being taken."""

    def __init__(self, state: Path, instance: str) -> None:
        """Raises OSError."""
        disk.private(state / _FOLDER)
        self._folder = disk.private(_folder(state, instance))

    def open(self) -> BinaryIO:
        """Where to write it. Raises OSError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        return os.fdopen(os.open(self._folder / _NEW, flags, 0o600), "wb")

    def settle(self, snapshot: str) -> None:
        """The snapshot is there: the next one builds on it, or on none. Raises OSError."""
        for path in self._folder.glob("2*"):
            path.unlink()
        if (self._folder / _NEW).exists():
            disk.sync(self._folder / _NEW)
            (self._folder / _NEW).rename(self._folder / snapshot)

    def discard(self) -> None:
        """There will be no snapshot. Raises OSError."""
        (self._folder / _NEW).unlink(missing_ok=True)


def forget(state: Path, instance: str) -> None:
    """Have the next snapshot be a full one: something of those before cannot be read. Raises
    OSError."""
    disk.remove(_folder(state, instance))


def _folder(state: Path, instance: str) -> Path:
    return state / _FOLDER / instance
