"""Which snapshots are kept. Pure: what is removed follows from the manifests alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from mngdb.stores.archive import Segment, covered
from mngdb.stores.manifest import Manifest, parents
from mngdb.stores.sealing import UnreadableError, fingerprint

#: A branch of the log, and the fingerprint of the keys that open it: nothing leads from one to
#: another.
_History = tuple[str, str]


class Policy(Struct, frozen=True):
    """How many days, weeks and months with a snapshot keep their newest one, and for how many
    seconds every snapshot is kept."""

    daily: int
    weekly: int
    monthly: int
    recent: float


def expired(
    snapshots: Sequence[Manifest],
    segments: Sequence[Segment],
    policy: Policy,
    now: float,
    proved: Collection[str] = (),
    damaged: Collection[str] = (),
) -> list[Manifest]:
    """Those of one instance, whose log is `segments`, that the policy no longer asks for, the
    oldest first. The newest one, the newest of those `proved` by a restore, and what a kept one
    builds on stay in any case. One that is `damaged`, or builds on what is damaged or not there
    any more, counts for nothing: the policy is kept without it. Logical ones are counted apart.

    It does not matter how often it is applied: the newest of a day, a week or a month is kept from
    the moment at which it was taken.
    """
    ordered = sorted(snapshots, key=lambda one: one.order)
    logical = [one for one in ordered if one.taken.kind == "logical"]
    others = [one for one in ordered if one.taken.kind != "logical"]
    kept = set[str]()
    for every in (logical, others, _whole(others, damaged)):
        kept |= _kept(every, policy, now, proved)
        kept |= {one.id for one in _leaders(every, segments, policy, now).values()}
    above = {one.id: one.parent for one in ordered}
    for name in list(kept):
        while (parent := above.get(name)) is not None and parent not in kept:
            kept.add(parent)
            name = parent
    return [one for one in ordered if one.id not in kept]


def _whole(snapshots: Sequence[Manifest], damaged: Collection[str]) -> list[Manifest]:
    """Those that are sound, and of which all that they build on is there and sound."""
    sound = [one for one in snapshots if one.id not in damaged]
    known, found = {one.id: one for one in sound}, []
    for one in sound:
        with contextlib.suppress(UnreadableError):
            parents(one, known)
            found.append(one)
    return found


def _kept(
    ordered: Sequence[Manifest], policy: Policy, now: float, proved: Collection[str]
) -> set[str]:
    """Those that the policy asks for by themselves."""
    kept = {one.id for one in ordered if one.finished > now - policy.recent}
    kept |= {one.id for one in ordered[-1:]}
    kept |= {one.id for one in [one for one in ordered if one.id in proved][-1:]}
    for count, period in ((policy.daily, _day), (policy.weekly, _week), (policy.monthly, _month)):
        kept |= _newest(ordered, count, period)
    return kept


def _leaders(
    snapshots: Sequence[Manifest], segments: Sequence[Segment], policy: Policy, now: float
) -> dict[_History, Manifest]:
    """From which snapshot on the log is needed, of each history that has promised moments: from
    the newest one before all of them, or else from the oldest one."""
    if not policy.recent:
        return {}
    begin, found = now - policy.recent, dict[_History, Manifest]()
    leading = [one for one in snapshots if one.taken.log is not None]
    leading.sort(key=lambda one: one.order)
    live = {(one.branch, one.keys) for one in segments if one.until > begin}
    live |= {_history(one) for one in leading[-1:]}  # its log may be on its way to the store
    for one in leading:
        history = _history(one)
        if history in live and (history not in found or one.moment <= begin):
            found[history] = one
    return found


def _history(one: Manifest) -> _History:
    return one.taken.log.branch if one.taken.log else "", fingerprint(one.recipients)


def superfluous(
    segments: Sequence[Segment], snapshots: Sequence[Manifest], policy: Policy, now: float
) -> list[Segment]:
    """Segments of one instance's log that no promised moment needs, where `snapshots` are those
    that are kept, and those of which others have all."""
    needed = {
        history: one.taken.log.position
        for history, one in _leaders(_whole(snapshots, ()), segments, policy, now).items()
        if one.taken.log is not None
    }
    begin, twice = now - policy.recent, {one.name for one in covered(segments, now)}

    def early(one: Segment) -> bool:
        position = needed.get((one.branch, one.keys))
        return one.until <= begin if position is None else one.end < position

    return [one for one in segments if one.name in twice or early(one)]


def _newest(
    ordered: Sequence[Manifest], count: int, period: Callable[[datetime], tuple[int, ...]]
) -> set[str]:
    last = {period(datetime.fromtimestamp(one.finished, UTC)): one.id for one in ordered}
    return {last[key] for key in sorted(last)[-count:]} if count else set()


def _day(moment: datetime) -> tuple[int, ...]:
    return moment.year, moment.month, moment.day


def _week(moment: datetime) -> tuple[int, ...]:
    return tuple(moment.isocalendar()[:2])


def _month(moment: datetime) -> tuple[int, ...]:
    return moment.year, moment.month
