"""Which moments of an instance can be restored: each snapshot's own, and what the log leads to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from zlib import crc32

from msgspec import Struct
from msgspec.structs import replace

from mngdb.errors import UsageError
from mngdb.ops.backup import archived, place
from mngdb.ops.backup.moments import shown
from mngdb.ops.context import Context
from mngdb.stores.archive import Segment, chain, spans
from mngdb.stores.manifest import Manifest

#: Seconds of the log beyond a moment that are taken along: what was written at that moment may have
#: come a little later. Whoever reads the log stops at the moment itself.
_BEYOND = 2.0


class Aim(Struct, frozen=True):
    """What is restored: a snapshot, and with `until` the log as far as that moment. `into`: another
    instance than the one that it is of."""

    manifest: Manifest
    segments: tuple[Segment, ...] = ()
    until: float | None = None
    into: str = ""

    @property
    def instance(self) -> str:
        """The instance that gets it."""
        return self.into or self.manifest.instance

    @property
    def moment(self) -> float:
        """The moment that the restored server shows."""
        return self.until or self.manifest.moment

    @property
    def size(self) -> int:
        """Bytes that it takes on a disk, about: of the log what its positions tell, at least what
        is stored."""
        stored = sum(one.stored for one in self.segments)
        return self.manifest.size + 4 * stored

    @property
    def key(self) -> str:
        """A name for it and the instance that gets it, as part of a path."""
        whose = f"{crc32(self.into.encode()):08x}-" if self.into else ""
        moment = f"-{round(self.until * 1000):x}" if self.until else ""
        return f"{whose}{self.manifest.id}{moment}"

    @property
    def text(self) -> str:
        """What it is, for people."""
        name = f"snapshot {self.manifest.id}"
        return f"{name}, and the log to {shown(self.until)}" if self.until else name


class Reach(Struct, frozen=True):
    """What one snapshot and the log since then lead to. `spans` of moments, the oldest first."""

    manifest: Manifest
    segments: tuple[Segment, ...]
    spans: tuple[tuple[float, float], ...]

    @property
    def newest(self) -> float:
        """The last moment."""
        return self.spans[-1][1]

    def covers(self, moment: float) -> bool:
        """Whether it can be restored to that moment."""
        return any(begin <= moment <= end for begin, end in self.spans)

    def to(self, moment: float) -> Aim:
        """The restore to a moment that it covers."""
        return Aim(self.manifest, self._needed(moment), moment)

    def to_newest(self) -> Aim:
        """The restore of all that there is."""
        return self.to(self.newest) if self.segments else Aim(self.manifest)

    def _needed(self, moment: float) -> tuple[Segment, ...]:
        found: list[Segment] = []
        for one in self.segments:
            if one.since > moment + _BEYOND:
                break
            found.append(one)
        return tuple(found)


class Reachable(Struct, frozen=True):
    """Everything that there is of an instance. `damages` are told of manifests."""

    reaches: tuple[Reach, ...]
    damages: tuple[str, ...]

    @property
    def spans(self) -> list[tuple[float, float]]:
        """The moments that can be restored, the oldest first, without overlaps."""
        found: list[tuple[float, float]] = []
        for begin, end in sorted(span for one in self.reaches for span in one.spans):
            if found and begin <= found[-1][1]:
                found[-1] = (found[-1][0], max(found[-1][1], end))
            else:
                found.append((begin, end))
        return found

    @property
    def newest(self) -> float | None:
        """The last moment."""
        return max((one.newest for one in self.reaches), default=None)


def into(context: Context, aim: Aim, instance: str) -> Aim:
    """The same for another instance than the one that it is of. Raises UsageError where that has
    another engine."""
    engine, given = aim.manifest.engine, context.instance(instance).engine
    if engine != given:
        raise UsageError(f"{aim.manifest.instance} is {engine}, {instance} is {given}")
    return replace(aim, into=instance)


def reachable(context: Context, instance: str) -> Reachable:
    """What can be restored of an instance; lists and manifests are read. Raises StoreError."""
    note = archived.read(context, instance)
    found: list[Reach] = []
    damages: list[str] = []
    for catalog in place.catalogs(context, instance):
        manifests, broken = catalog.snapshots(instance)
        damages += [one.text for one in broken]
        logged = any(one.taken.log is not None for one in manifests)
        segments = catalog.archive(instance).segments() if logged else []
        found += [_reach(one, segments, note) for one in manifests]
    return Reachable(tuple(found), tuple(damages))


def _reach(manifest: Manifest, segments: Sequence[Segment], note: archived.Archived) -> Reach:
    point = manifest.taken.log
    leads = chain(segments, point) if point is not None else []
    found = spans(manifest.moment, leads)
    if leads and (leads[-1].branch, leads[-1].end) == (note.branch, note.stored):
        # nothing was written since: the agent knows, and the store will within a minute
        begin, end = found[-1]
        found[-1] = (begin, max(end, note.until))
    return Reach(manifest, tuple(leads), tuple(found))


def newest_of(found: Reachable, instance: str) -> Reach:
    """The newest snapshot with what leads on from it. Raises UsageError where there is none."""
    if not found.reaches:
        raise UsageError(f"{instance} has no snapshot", f"mngdb backup {instance}")
    return found.reaches[-1]


def leading_to(found: Reachable, instance: str, moment: float) -> Reach:
    """The newest snapshot that leads to a moment. Raises UsageError that names the nearest moments
    that can be reached."""
    fits = [one for one in found.reaches if one.covers(moment)]
    if fits:
        return max(fits, key=lambda one: one.spans[0][0])
    every = found.spans
    if not every:
        raise UsageError(f"{instance} has no snapshot", f"mngdb backup {instance}")
    before = [end for _, end in every if end < moment]
    after = [begin for begin, _ in every if begin > moment]
    near = []  # in milliseconds that can be reached
    if before:
        last = math.floor(max(before) * 1000) / 1000
        near.append(f"the last one before it is {shown(last)}")
    if after:
        first = math.ceil(min(after) * 1000) / 1000
        near.append(f"the first one after it is {shown(first)}")
    raise UsageError(
        f"{instance} cannot be restored to {shown(moment)}: {', '.join(near)}",
        "'mngdb backups' shows what can be reached",
    )
