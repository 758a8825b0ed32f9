"""Which moments of an instance can be restored: each snapshot's own, and what the log leads to."""

from __future__ import annotations

import contextlib
import math
from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from zlib import crc32

from msgspec import Struct
from msgspec.structs import replace

from mngdb.errors import MngdbError, UsageError
from mngdb.ops.backup import archived, damages, kept, keys, lost, place, schedule
from mngdb.ops.backup.moments import exact, shown
from mngdb.ops.backup.sources import MAC, origins
from mngdb.ops.context import Context
from mngdb.snapshot import Point
from mngdb.stores import StoreError
from mngdb.stores.archive import Archive, Segment, chain, spans
from mngdb.stores.manifest import Manifest, parents
from mngdb.stores.sealing import UnreadableError, fingerprint

#: Seconds of the log beyond a moment that are taken along: what was written at that moment may have
#: come a little later. Whoever reads the log stops at the moment itself.
BEYOND = 2.0
#: Seconds for which nobody knows when something was written that are no gap: what is written comes
#: late while a machine is busy, or the agent starts anew.
_SHORT = 30.0
#: Seconds by which a moment that is said in milliseconds may be beside the one that is meant.
_MILLI = 0.001
#: By branch and keys, the ends of segments in order, and the latest moment of all up to each.
Rest = dict[tuple[str, str], tuple[list[int], list[float]]]


class Aim(Struct, frozen=True):
    """What is restored: a snapshot, and with `until` the log as far as that moment, or up to the
    position `stop`. `before`: the command in the log that this is just before. `into`: another
    instance than the one that it is of."""

    manifest: Manifest
    segments: tuple[Segment, ...] = ()
    until: float | None = None
    into: str = ""
    stop: int | None = None
    before: str = ""
    parents: tuple[Manifest, ...] = ()
    """Those that an incremental snapshot builds on, the full one first."""

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
        is stored. A chain of snapshots is there together with what is made of it."""
        stored = sum(one.stored for one in self.segments)
        return self.read + (self.manifest.taken.size if self.parents else 0) + 4 * stored

    @property
    def read(self) -> int:
        """Bytes of the snapshots that are read for it."""
        return sum(one.size for one in (*self.parents, self.manifest))

    @property
    def key(self) -> str:
        """A name for it and the instance that gets it, as part of a path."""
        whose = f"{crc32(self.into.encode()):08x}-" if self.into else ""
        end = f"-{round(self.until * 1000):x}" if self.until else ""
        if self.before:
            end = f"-b{crc32(str(self.stop).encode()):08x}"
        return f"{whose}{self.manifest.id}{end}"

    def without(self, segment: Segment) -> str:
        """How to restore what comes before a segment that cannot be read, in words."""
        before = spans(self.manifest.moment, self.segments[: self.segments.index(segment)])
        latest = segment.since - BEYOND - 0.001  # it is not even looked at then
        fits = [min(end, latest) for begin, end in before if begin + 0.001 < latest]
        restore = command(self.manifest.instance, self.instance)
        if not fits or max(fits) <= self.manifest.moment + 0.001:
            return f"the snapshot without the log: {restore} --snapshot {self.manifest.id}"
        return f"the last moment before that: {restore} --to {exact(max(fits))}"

    @property
    def text(self) -> str:
        """What it is, for people."""
        name = f"snapshot {self.manifest.id}"
        if self.before and self.until:
            return f"{name}, and the log to just before {self.before} ({shown(self.until)})"
        return (
            f"{name}, and the log to {shown(self.until)}" if self.until and self.segments else name
        )


class Reach(Struct, frozen=True):
    """What one snapshot and the log since then lead to. `spans` of moments, the oldest first;
    `sure`: without the stretches of up to `_SHORT` in which nobody knows when something was
    written."""

    manifest: Manifest
    parents: tuple[Manifest, ...]
    segments: tuple[Segment, ...]
    spans: tuple[tuple[float, float], ...]
    locked: bool = False
    """Whether no key here opens it."""
    damaged: float = math.inf
    """From when on it cannot be read, as was found: -inf where the snapshot cannot."""
    continuous: bool = False
    """Whether it leads on without a log of ours, to whole seconds: its keeper has one."""
    sure: tuple[tuple[float, float], ...] = ()

    @property
    def sound(self) -> bool:
        """Whether nothing is known to be wrong with the snapshot."""
        return self.damaged > -math.inf

    @property
    def readable(self) -> list[tuple[float, float]]:
        """The moments that it leads to, but for those that cannot be read."""
        return [
            (begin, min(end, self.damaged)) for begin, end in self.spans if begin < self.damaged
        ]

    @property
    def newest(self) -> float:
        """The last moment."""
        return self.spans[-1][1]

    @property
    def leads_on(self) -> bool:
        """Whether it leads to other moments than its own."""
        return bool(self.segments) or self.continuous

    @property
    def logical(self) -> bool:
        """Whether its files are no server's own: it takes longer, and no log leads on from it."""
        return self.manifest.taken.kind == "logical"

    def covers(self, moment: float) -> bool:
        """Whether it can be restored to that moment, or to one that is said like it."""
        return any(begin - _MILLI <= moment <= end + _MILLI for begin, end in self.spans)

    def to(self, moment: float) -> Aim:
        """The restore to a moment that it covers, or to the last one before whose data is known."""
        known = self.sure or self.spans
        near = [min(max(moment, begin), end) for begin, end in known if begin - _MILLI <= moment]
        at = min(near or [known[0][0]], key=lambda one: abs(one - moment))
        at = float(math.floor(at)) if self.continuous else at
        if not self.segments and at == self.manifest.moment:
            return Aim(self.manifest, parents=self.parents)
        return Aim(self.manifest, self._needed(at), at, parents=self.parents)

    def known_again(self, moment: float) -> float | None:
        """Where nobody knows which data there was at a moment that it covers: the first one after
        it of which that is known."""
        if any(begin - _MILLI <= moment <= end + _MILLI for begin, end in self.sure):
            return None
        return min((begin for begin, _ in self.sure if begin > moment), default=None)

    def to_newest(self) -> Aim:
        """The restore of all that there is."""
        if not self.segments:
            until = self.newest if self.newest > self.manifest.moment else None
            return Aim(self.manifest, until=until, parents=self.parents)
        stop = self.segments[-1].end
        return Aim(self.manifest, self.segments, self.newest, stop=stop, parents=self.parents)

    def _needed(self, moment: float) -> tuple[Segment, ...]:
        found: list[Segment] = []
        for one in self.segments:
            if one.since > moment + BEYOND:
                break
            found.append(one)
        return tuple(found)


class Reachable(Struct, frozen=True):
    """Everything that there is of an instance. `damages` are told of manifests, `unread` of stores
    that did not answer."""

    reaches: tuple[Reach, ...]
    damages: tuple[str, ...]
    unread: tuple[str, ...] = ()
    lost: str = ""
    """What was stored and cannot be reached any more, in words."""
    pending: bool = False
    """Whether the instance waits for its data, since the stack was set up from a kit."""
    elsewhere: tuple[str, ...] = ()
    """Other stores to which backups went before."""

    @property
    def spans(self) -> list[tuple[float, float]]:
        """The moments that can be restored with the key that is here, the oldest first, without
        overlaps."""
        return _merged(one for one in self.reaches if not one.locked)

    @property
    def locked(self) -> list[tuple[float, float]]:
        """The moments that take another key."""
        return _merged(one for one in self.reaches if one.locked)

    @property
    def newest(self) -> float | None:
        """The last moment."""
        return max((end for _, end in self.spans), default=None)


def _merged(reaches: Iterable[Reach]) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    for begin, end in sorted(span for one in reaches for span in one.readable):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return found


def into(context: Context, aim: Aim, instance: str) -> Aim:
    """The same for another instance than the one that it is of. Raises UsageError where that has
    another engine."""
    engine, given = aim.manifest.engine, context.instance(instance).engine
    if engine != given:
        raise UsageError(f"{aim.manifest.instance} is {engine}, {instance} is {given}")
    for name, keeper in kept.keepers(context, (aim.manifest.instance, instance)).items():
        raise UsageError(
            f"the backups of {name} are kept by {keeper}, and are restored for {name} alone",
            f"without --from: mngdb restore {name}",
        )
    return replace(aim, into=instance)


def of_snapshot(context: Context, instance: str, snapshot: str) -> Aim:
    """The restore of a snapshot alone. Raises UsageError for one that there is not, and
    UnreadableError, StoreError."""
    own = kept.manifest(context, instance, snapshot)
    if own is not None:
        return Aim(own)
    manifest = place.manifest(context, instance, snapshot)
    return Aim(manifest, parents=place.catalog_of(context, manifest).parents(manifest))


def reachable(context: Context, instance: str) -> Reachable:
    """What can be restored of an instance; lists and manifests are read. Of several stores, some
    may not answer. Raises StoreError, SecretError, UsageError."""
    own = kept.look(context, instance)
    if own is not None:
        return Reachable(tuple(_kept(one, own.span) for one in own.manifests), ())
    return _in_stores(context, instance)


def _kept(manifest: Manifest, span: tuple[float, float] | None) -> Reach:
    """What a snapshot leads to, where any moment of `span` can be reached besides."""
    own = manifest.moment
    if span is None or span[1] <= own:
        return Reach(manifest, (), (), ((own, own),))
    begin, end = span
    spans = ((own, end),) if begin <= own else ((own, own), (begin, end))
    return Reach(manifest, (), (), spans, continuous=True)


def _in_stores(context: Context, instance: str) -> Reachable:
    found: list[Reach] = []
    wrong: list[str] = []
    failed: list[StoreError] = []
    bad = damages.kept(context.stack.state, instance)
    notes, own, gone = lost.noted(context, instance), place.catalog(context).stack, ""
    pending = instance in origins(context.stack.state).pending
    for catalog in place.catalogs(context, instance):
        archive, mine = catalog.archive(instance), []
        try:
            manifests, broken = catalog.snapshots(instance)
            logged = any(one.taken.log is not None for one in manifests)
            segments, foreign = archive.sifted() if logged else ([], [])
        except StoreError as error:
            failed.append(error)
            continue
        wrong += [one.text for one in broken]
        if foreign:
            wrong.append(archive.told(foreign))
        known = {one.id: one for one in manifests}
        rest = _rest(segments)
        for one in manifests:
            try:
                above = parents(one, known)
            except UnreadableError as error:
                wrong.append(error.message)
            else:
                reach = _reach(context, one, above, segments, notes.log, rest)
                mine.append(replace(reach, damaged=_damaged(reach, archive, bad)))
        found += mine
        named = {*known, *map(archive.key, segments)} if bad else set()
        wrong += [text for name, text in bad.items() if name in named]
        if catalog.stack == own and notes.run.snapshot and not _signer_lost(context):
            there = {*known, *(one.snapshot for one in broken)}
            gone = _lost(instance, mine, notes, catalog.store.place, there)
        elif catalog.stack != own and pending:
            gone = _beyond(instance, mine, segments, catalog.store.place) or gone
    if failed and not found:
        raise failed[0]
    unread = tuple(one.message for one in failed)
    elsewhere = schedule.elsewhere(context, instance)
    return Reachable(tuple(found), tuple(wrong), unread, gone, pending, elsewhere)


def _damaged(reach: Reach, archive: Archive, bad: Collection[str]) -> float:
    """From when on it cannot be read."""
    if not bad:
        return math.inf
    if any(one.id in bad for one in (*reach.parents, reach.manifest)):
        return -math.inf
    return next((one.since for one in reach.segments if archive.key(one) in bad), math.inf)


def look(context: Context, names: Collection[str] | None = None) -> None:
    """Look whether the store has what this machine stored there, of all instances or of some, as it
    was written; where it has not, the next backup is due at once. Raises StoreError, SecretError,
    UsageError, OSError."""
    chosen = list(context.stack.instances if names is None else names)
    for name in kept.keepers(context, chosen):
        kept.note(context, name)
    if _signer_lost(context):
        return
    gone: dict[str, lost.Lack | None] = {}
    for name in kept.apart(context, chosen):
        found = reachable(context, name)
        gone[name] = None
        if found.lost:
            gone[name] = lost.Lack(found.lost, found.newest or 0.0)
            schedule.broken(context, name)
    lost.keep(context, gone)


def _signer_lost(context: Context) -> bool:
    """Whether nobody can tell what the stack has written: nothing of it counts then, and nothing is
    known to be damaged."""
    return any(one.secret == MAC for one in keys.problems(context))


def came_upon(context: Context, instance: str, name: str, text: str) -> None:
    """Keep that a snapshot, by its id, or a segment, by its key, cannot be read, and look what that
    means. Raises OSError."""
    damages.add(context.stack.state, instance, name, text)
    if instance in context.stack.instances:
        with contextlib.suppress(MngdbError):  # the store does not answer: the agent looks again
            look(context, [instance])


def _lost(
    instance: str, found: Sequence[Reach], notes: lost.Noted, where: str, there: Collection[str]
) -> str:
    """What the stack's own store lacks of what was stored there: `there` are the snapshots that it
    has."""
    last = next((one for one in found if one.manifest.id == notes.run.snapshot), None)
    if last is None or last.damaged < math.inf:
        missing = notes.run.snapshot not in there
        return lost.snapshot(notes, where) if missing else lost.damaged(notes, instance)
    return lost.log(notes, last.manifest, last.segments, where)


def _beyond(instance: str, found: Sequence[Reach], segments: Sequence[Segment], where: str) -> str:
    """What a log that nobody writes any more has after a gap which no snapshot leads across."""
    newest = max((one.newest for one in found), default=math.inf)
    beyond = [one for one in segments if one.until > newest + BEYOND]
    if not beyond:
        return ""
    first, last = min(beyond, key=lambda one: one.since), max(one.until for one in beyond)
    goes_on = f"the log of {instance} in {where} goes on to {shown(last)}, after a gap"
    if first.opens:
        return (
            f"{goes_on} from {shown(newest)} to {shown(first.since)}: its server was started "
            "anew, or was not followed, and no snapshot was taken since; nothing was removed, and "
            "what was written after the gap cannot be restored"
        )
    return (
        f"{goes_on} at {shown(newest)}: put back what was removed there ('mngdb verify' names it) "
        "before apps write, or that part is lost"
    )


def as_stored(aim: Aim, archive: Archive) -> Aim:
    """The same with the segments that lead there now: since it was looked for, the agent may have
    made one of several. Raises StoreError."""
    if not aim.segments:
        return aim
    last = aim.segments[-1]
    leads = _leads(aim.manifest, archive.segments())
    return replace(aim, segments=tuple(one for one in leads if one.begin <= last.begin))


def _leads(manifest: Manifest, segments: Sequence[Segment]) -> list[Segment]:
    point, keys = manifest.taken.log, fingerprint(manifest.recipients)
    if point is None:
        return []
    mine = [one for one in segments if one.keys == keys]  # the others need another key
    # what ends where the snapshot begins may tell that nothing was written since
    return [s for s in chain(mine, point) if s.end > point.position or s.until > manifest.moment]


def _rest(segments: Sequence[Segment]) -> Rest:
    found: Rest = {}
    for one in sorted(segments, key=lambda one: one.end):
        ends, latest = found.setdefault((one.branch, one.keys), ([], []))
        ends.append(one.end)
        latest.append(max(one.until, latest[-1]) if latest else one.until)
    return found


def _reach(
    context: Context,
    manifest: Manifest,
    above: tuple[Manifest, ...],
    segments: Sequence[Segment],
    note: archived.Archived,
    rest: Rest,
) -> Reach:
    leads = _leads(manifest, segments)
    sure = spans(manifest.moment, leads)
    point = manifest.taken.log or Point("", 0)
    last = (leads[-1].branch, leads[-1].end) if leads else (point.branch, point.position)
    keys, quiet = fingerprint(manifest.recipients), 0.0
    if (last[0], keys) == (note.branch, note.keys) and last[1] >= note.stored:
        # nothing was written since: the agent knows, and the store will within a minute
        quiet = note.until
    if not leads:
        # of a server at rest, the log that ends before a snapshot may tell so of later moments
        ends, latest = rest.get((last[0], keys), ([], []))
        if before := bisect_right(ends, last[1]):
            quiet = max(quiet, latest[before - 1])
    sure[-1] = (sure[-1][0], max(sure[-1][1], quiet))
    found = joined(manifest.moment, leads, sure[-1][1]) if sure[1:] else sure
    locked = any(place.opener_here(context, one) is None for one in (*above, manifest))
    return Reach(manifest, above, tuple(leads), tuple(found), locked, sure=tuple(sure))


def joined(moment: float, leads: Sequence[Segment], end: float) -> list[tuple[float, float]]:
    """The moments that a snapshot reaches up to `end`, with the short stretches of which nobody
    knows when something was written: at its end, there is none."""
    found = [one for one in spans(moment, leads, _SHORT) if one[0] <= end]
    return [*found[:-1], (found[-1][0], end)]


def command(instance: str, into: str) -> str:
    """How a restore of an instance's backups begins, in words."""
    return f"mngdb restore {into}" + (f" --from {instance}" if into != instance else "")
