"""`verify`: what is in the store against its manifests and names, without a restore."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from msgspec import Struct

from mngdb.ops.backup import archived, bases, damages, kept, place, reach, schedule
from mngdb.ops.backup.archived import Archived
from mngdb.ops.context import Context
from mngdb.stores.archive import Archive
from mngdb.stores.manifest import Manifest, parents
from mngdb.stores.sealing import UnreadableError


class Verified(Struct, frozen=True):
    """What was read. `opened`: whether the private key was there to decrypt it, too."""

    snapshots: int
    objects: int
    stored: int
    opened: bool
    damages: tuple[str, ...]
    elsewhere: dict[str, str] = {}
    """Instances whose backups nobody can read here, to who keeps them."""

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
            "not_applicable": self.elsewhere,
            "verdict": "pass" if self.sound else "fail",
        }


def verify(context: Context, names: Sequence[str]) -> Verified:
    """Read all snapshots and the log of every instance, also of those that the file no longer has,
    or of those named. What is damaged is kept, and where it is the newest, another snapshot is due
    at once. Raises StoreError, UsageError, OSError."""
    there = [*context.stack.instances, *place.departed(context)]
    chosen = [one if one in there else context.instance(one).name for one in names] or there
    elsewhere = kept.keepers(context, chosen)
    chosen = kept.apart(context, chosen)
    read: list[int] = []
    snapshots, opened, told = 0, True, list[str]()
    bad: dict[str, dict[str, str]] = {name: {} for name in chosen}
    own, notes = place.catalog(context).stack, schedule.runs(context)
    here = place.source(context).address
    for name, catalog in ((n, one) for n in chosen for one in place.catalogs(context, n)):
        manifests, broken = catalog.snapshots(name)
        found = list(broken)
        for manifest in manifests:
            snapshots += 1
            opener = place.opener_here(context, manifest)
            opened = opened and opener is not None
            found += catalog.verify(manifest, opener, lambda _, stored: read.append(stored))
        wrong = [one.text for one in found]
        bad[name] |= {one.snapshot: one.text for one in found[len(broken) :]}
        wrong += _orphans(manifests, {one.snapshot for one in found})
        mine = catalog.stack == own and name in notes  # of one that left the file, nothing is noted
        newest = notes[name].snapshot if mine else ""
        if newest and newest not in {one.id for one in manifests} | {
            one.snapshot for one in broken
        }:
            # nothing else tells it from one that was killed
            wrong.append(f"{catalog.where(name, newest)} is missing")
        if wrong:
            bases.forget(context.stack.state, name)
        told += wrong
        note = archived.read(context, name)
        if catalog.stack != own or note.store not in {"", here}:
            note = Archived()  # it is of another store
        told += _log(catalog.archive(name), manifests, note, read, bad[name])
    for name, found_bad in bad.items():
        damages.keep(context.stack.state, name, found_bad)
    reach.look(context, [one for one in chosen if one in context.stack.instances])
    return Verified(snapshots, len(read), sum(read), opened, tuple(told), elsewhere)


def _orphans(manifests: Sequence[Manifest], damaged: Collection[str]) -> Iterator[str]:
    """Snapshots that build on one that is not there, or not as it was written."""
    known = {one.id: one for one in manifests}
    for one in manifests:
        try:
            above = parents(one, known)
        except UnreadableError as error:
            yield error.message
            continue
        for parent in above:
            if parent.id in damaged:
                yield f"snapshot {one.id} builds on {parent.id}, which is damaged"


def _log(
    archive: Archive,
    manifests: Sequence[Manifest],
    note: Archived,
    read: list[int],
    bad: dict[str, str],
) -> Iterator[str]:
    """What is wrong with a log: damaged segments, which `bad` gets by their keys, and those that
    are not there."""
    segments, foreign = archive.sifted()
    if foreign:
        yield archive.told(foreign)
    for one in segments:
        try:
            archive.check(one)
        except UnreadableError as error:
            bad[archive.key(one)] = error.message
            yield error.message
        read.append(one.stored)
    points = [one.taken.log for one in manifests if one.taken.log is not None]
    noted = max([note.begin, *(one.position for one in points if one.branch == note.branch)])
    if note.stored > noted and note.branch not in {one.branch for one in segments}:
        yield f"{archive.store.place}: the newest part of the log is missing, from {noted} on"
    for branch in dict.fromkeys(one.branch for one in segments):
        mine = [one for one in segments if one.branch == branch]
        known = [point.position for point in points if point.branch == branch]
        if any(one.opens for one in mine[:1]) or any(at >= mine[0].begin for at in known):
            reached = mine[0].end
        else:
            reached = max(known, default=mine[0].begin)
        for one in mine:
            if one.begin > reached and not one.opens:
                yield (
                    f"{archive.store.place}/{archive.key(one)}: what comes before it is missing, "
                    f"from position {reached} on"
                )
            reached = max(reached, one.end)
        if branch == note.branch and note.stored > reached:
            yield f"{archive.store.place}: the newest part of the log is missing, from {reached} on"
