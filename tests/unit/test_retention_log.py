"""Retention as a property: random histories of an instance, its snapshots, its log and its keys.

What could be restored within the promised time before a prune can be restored after it, and nothing
is kept without a reason.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from mngdb.ops.backup.take import after
from mngdb.snapshot import Point, Taken
from mngdb.stores.archive import Segment, chain, spans
from mngdb.stores.manifest import Manifest
from mngdb.stores.retention import Policy, expired, superfluous
from mngdb.stores.sealing import fingerprint

DAY = 86_400.0
#: Seconds between two events.
STEPS = (30.0, 600.0, 3600.0, 7200.0, DAY / 3, DAY, 9 * DAY)
Spans = list[tuple[float, float]]


class Instance:
    """One that is written to, backed up and pruned at random."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        daily, weekly, monthly = (chance.choice((0, 1, 2, 7)) for _ in range(3))
        recent = chance.choice((0.0, 7200.0, DAY, DAY, 3 * DAY))
        self.policy = Policy(daily, weekly, monthly, recent)
        self.now = self.logged = 1.7e9 + chance.random() * 1e7
        self.last = self.now
        self.position, self.branch, self.key, self.log_key = 0, 0, "age1a", "age1a"
        self.snapshots: list[Manifest] = []
        self.segments: list[Segment] = []
        self.every: list[Manifest] = []
        self.proved: set[str] = set()
        #: Whether the log has one history, whose segments each are there once.
        self.plain = True

    def write(self) -> None:
        """A segment, or nothing where the server is idle."""
        before, since = self.position, self.logged
        self.position += self.chance.choice((0, 1, 10))
        self.logged = max(self.now, since)
        self._segment(before, self.position, since, self.logged)

    def _segment(self, begin: int, end: int, since: float, until: float) -> None:
        self.segments.append(
            Segment(
                branch=str(self.branch),
                begin=begin,
                end=end,
                since=since,
                until=until,
                opens=False,
                run="0" * 8,
                keys=fingerprint([self.log_key]),
                digest="0" * 32,
            )
        )

    def lose(self) -> None:
        """The log could not be followed."""
        self.position, self.logged, self.plain = self.position + 5, self.now, False

    def set_back(self) -> None:
        """The clock; the time of the log, and of snapshots, stands still until it has caught up."""
        self.now, self.plain = self.now - self.chance.choice((60, 3600, 7200)), False

    def replace(self) -> None:
        """The server's data was replaced: another branch."""
        self.branch, self.logged, self.plain = self.branch + 1, self.now, False

    def change_key(self) -> None:
        """Snapshots are of the new key at once, the log is later."""
        self.key, self.plain = f"age1{self.chance.random()}", False

    def see_key(self) -> None:
        """The agent sees that."""
        self.log_key, self.logged = self.key, self.now

    def merge(self) -> None:
        """Two segments are written once more, as one; what was killed leaves them, too."""
        if len(self.segments) < 2:
            return
        one, two = self.segments[-2:]
        same = (one.branch, one.keys, one.end) == (two.branch, two.keys, two.begin)
        if not same or two.since > one.until:
            return
        if self.chance.random() < 0.5:
            del self.segments[-2:]
        else:
            self.plain = False
        self._segment(one.begin, two.end, one.since, two.until)

    def back_up(self) -> None:
        """A snapshot, by an engine that has a log or has none."""
        log = Point(str(self.branch), self.position) if self.chance.random() < 0.9 else None
        said = Taken(
            kind="full", product="Toy", version="1", source="1", position={}, log=log,
            moment=self.now,
        )  # fmt: skip
        stored = [one.until for one in self.segments] + [one.moment for one in self.snapshots]
        said = after(said, max(stored, default=0.0))
        one = Manifest(
            id=f"{len(self.every):04d}", stack="s", stack_name="s", instance="pg", engine="toy",
            tool="m", started=self.now, finished=self.now, taken=said, recipients=(self.key,),
        )  # fmt: skip
        self.snapshots.append(one)
        self.every.append(one)

    def prove(self) -> None:
        """A drill of the newest."""
        self.proved |= {one.id for one in self.snapshots[-1:]}

    def prune(self) -> None:
        """What the command does, and what has to be true of it."""
        begin, before = self.now - self.policy.recent, self.reached()
        gone = expired(self.snapshots, self.segments, self.policy, self.now, self.proved)
        self.snapshots = [one for one in self.snapshots if one not in gone]
        useless = superfluous(self.segments, self.snapshots, self.policy, self.now)
        self.segments = [one for one in self.segments if one not in useless]
        if self.policy.recent:
            assert clipped(self.reached(), begin) == clipped(before, begin)
        assert self.promised() <= {one.id for one in self.snapshots}
        self.nothing_else(begin)

    def reached(self) -> Spans:
        """The moments that can be restored."""
        found = []
        for one in self.snapshots:
            mine = [s for s in self.segments if s.keys == fingerprint(one.recipients)]
            mine.sort(key=lambda s: (s.branch, s.begin, s.end, s.until))
            found += spans(one.moment, chain(mine, one.taken.log) if one.taken.log else [])
        return found

    def promised(self) -> set[str]:
        """Of all snapshots that were ever taken, those that the file asks for."""
        self.last = max(self.now, self.last)  # what was removed by then may be recent again
        ids = {one.id for one in self.every if one.finished > self.last - self.policy.recent}
        counts = (self.policy.daily, self.policy.weekly, self.policy.monthly)
        for count, period in zip(counts, ("%Y-%j", "%G-%V", "%Y-%m"), strict=True):
            newest = {dated(one.finished, period): one.id for one in self.every}
            ids |= {newest[one] for one in sorted(newest)[-count:]} if count else set()
        tried = [one.id for one in self.snapshots if one.id in self.proved]
        return ids | {one.id for one in self.every[-1:]} | set(tried[-1:])

    def nothing_else(self, begin: float) -> None:
        """Each of the snapshots and segments that are left is one that would be missed."""
        if not self.policy.recent:
            assert {one.id for one in self.snapshots} == self.promised()
            assert all(one.until > begin for one in self.segments), "the clock was set back"
        if not self.plain or not self.policy.recent:
            return
        more = {one.id for one in self.snapshots} - self.promised()
        leading = [one for one in self.snapshots if one.taken.log and one.moment <= begin]
        assert more <= {one.id for one in leading[-1:]}
        first = min((s.taken.log.position for s in leading[-1:] if s.taken.log), default=0)
        assert all(one.end >= first for one in self.segments)


def dated(moment: float, period: str) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime(period)


def clipped(found: Iterable[tuple[float, float]], begin: float) -> Spans:
    """Without overlaps, from a moment on; snapshots alone are for `promised`."""
    merged: Spans = []
    for first, last in sorted((max(a, begin), b) for a, b in found if b > begin):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return [one for one in merged if one[0] < one[1]]


def test_ten_thousand_histories_of_snapshots_log_and_keys() -> None:
    for number in range(10_000):
        one = Instance(chance := random.Random(number))
        usual: list[Callable[[], None]] = [one.write, one.back_up, one.prune]
        rare = [
            one.lose,
            one.set_back,
            one.replace,
            one.change_key,
            one.see_key,
            one.merge,
            one.prove,
        ]
        for _ in range(chance.randint(3, 25)):
            one.now += chance.choice(STEPS)
            chance.choice(rare if chance.random() < 0.25 else usual)()
        one.prune()
