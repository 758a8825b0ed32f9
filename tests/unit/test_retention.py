"""What is kept is what the file promises, however often it is applied."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from itertools import pairwise

from msgspec.structs import replace

from mngdb.ops.backup.schedule import scheduled, spread
from mngdb.snapshot import Taken
from mngdb.stores.manifest import Manifest, parents
from mngdb.stores.retention import Policy, expired

DAY = 86_400.0
POLICY = Policy(daily=7, weekly=4, monthly=12, recent=DAY)


def taken(at: float, name: str, parent: str | None = None) -> Manifest:
    """A snapshot that was finished at this moment."""
    said = Taken(kind="full", product="Toy", version="1", source="1", position={})
    return Manifest(
        id=name, stack="s", stack_name="s", instance="pg", engine="toy", tool="mngdb",
        started=at, finished=at, taken=said, parent=parent,
    )  # fmt: skip


def left(snapshots: list[Manifest], policy: Policy, now: float) -> list[str]:
    gone = {one.id for one in expired(snapshots, (), policy, now)}
    return [one.id for one in snapshots if one.id not in gone]


def test_a_year_of_daily_backups() -> None:
    begin = datetime(2026, 1, 1, 3, tzinfo=UTC).timestamp()
    every = [taken(begin + number * DAY, str(number)) for number in range(365)]
    kept = left(every, POLICY, every[-1].finished + 1)
    assert len(kept) == 7 + 2 + 11  # two weeks and a month have their newest among the days
    assert kept[-7:] == [str(number) for number in range(358, 365)]


def test_ten_thousand_histories_lose_no_promised_point_and_keep_nothing_else() -> None:
    """Applied after each snapshot, the same is left as by applying it once to all of them."""
    chance = random.Random(20261129)
    for number in range(10_000):
        daily, weekly, monthly = (chance.choice((0, 1, 2, 3, 7)) for _ in range(3))
        policy = Policy(daily, weekly, monthly, chance.choice((0, DAY)))
        chains = chance.choice((0.0, 0.7))  # how often one builds on the one before
        now, every = 1.7e9 + chance.random() * 1e7, list[Manifest]()
        found: list[Manifest] = []
        for count in range(chance.randint(1, 15)):
            now += chance.choice((60, 3600, DAY / 2, DAY, DAY, 9 * DAY, 40 * DAY))
            above = every[-1].id if every and chance.random() < chains else None
            one = taken(now, f"{number}-{count}", above)
            every.append(one)
            keep = left([*found, one], policy, now)
            found = [other for other in [*found, one] if other.id in keep]
        assert [one.id for one in found] == left(every, policy, now)
        known = {one.id: one for one in found}
        assert all(len(parents(one, known)) <= len(found) for one in found)  # none is missing
        needed = {above.id for one in found for above in parents(one, known)}
        alone = set(left([replace(one, parent=None) for one in every], policy, now))
        assert set(known) == alone | needed


def test_the_newest_and_the_last_proved_stay_whatever_the_policy() -> None:
    every = [taken(number * DAY, str(number)) for number in range(10)]
    gone = expired(every, (), Policy(0, 0, 0, 0.0), 1e9, proved={"2", "5"})
    assert sorted({str(n) for n in range(10)} - {one.id for one in gone}) == ["5", "9"]


def test_a_damaged_one_takes_no_place_of_a_sound_one() -> None:
    every = [taken(number * DAY, str(number)) for number in range(10)]
    gone = expired(every, (), Policy(2, 0, 0, 0.0), 1e9, damaged={"9"})
    assert [one.id for one in gone] == [str(number) for number in range(7)]


def test_what_a_kept_one_builds_on_stays() -> None:
    every = [taken(0, "full"), taken(DAY, "first", "full"), taken(2 * DAY, "second", "first")]
    assert expired(every, (), Policy(1, 0, 0, 0.0), 1e9) == []
    alone = [*every[:2], replace(every[2], parent=None)]
    assert [one.id for one in expired(alone, (), Policy(1, 0, 0, 0.0), 1e9)] == ["full", "first"]


def test_one_that_builds_on_what_is_gone_counts_for_nothing() -> None:
    whole = taken(0, "whole")
    broken = [taken(DAY * day, f"broken{day}", "gone" if day == 1 else "broken1") for day in (1, 2)]
    kept = left([whole, *broken], Policy(1, 0, 0, 0.0), 1e9)
    assert kept == ["whole", "broken1", "broken2"]
    after = [whole, *broken, taken(3 * DAY, "next")]
    assert left(after, Policy(1, 0, 0, 0.0), 1e9) == ["next"]


def test_logical_ones_are_counted_apart() -> None:
    every = [taken(DAY * day, str(day)) for day in range(4)]
    for one in list(every):
        logical = replace(one.taken, kind="logical")
        later = one.finished + 60
        every.append(replace(one, id=f"{one.id}-logical", finished=later, taken=logical))
    assert left(every, Policy(2, 0, 0, 0.0), 1e9) == ["2", "3", "2-logical", "3-logical"]


def test_nothing_younger_than_the_promised_time_goes() -> None:
    every = [taken(1e9 + number * 3600, str(number)) for number in range(48)]
    gone = expired(every, (), Policy(0, 0, 0, DAY), every[-1].finished)
    assert all(one.finished <= every[-1].finished - DAY for one in gone)
    assert len(gone) == 24


def test_the_clock_says_when_a_backup_was_due() -> None:
    noon = datetime(2026, 11, 29, 12, tzinfo=UTC).timestamp()
    due = [scheduled(at, noon) for at in ("11:59", "12:00", "12:01")]
    assert [datetime.fromtimestamp(one, UTC).isoformat() for one in due] == [
        "2026-11-29T11:59:00+00:00",
        "2026-11-29T12:00:00+00:00",
        "2026-11-28T12:01:00+00:00",
    ]
    seoul = scheduled("03:00 Asia/Seoul", noon)
    assert datetime.fromtimestamp(seoul, UTC).isoformat() == "2026-11-28T18:00:00+00:00"
    assert scheduled("12:00", noon, later=60) == noon - DAY + 60
    assert 0 <= spread("a") < 300
    assert spread("a") != spread("b")
    for first, second in pairwise(noon + number * 1000 for number in range(500)):
        assert 0 <= second - scheduled("03:00", second) < DAY
        assert scheduled("03:00", first) <= scheduled("03:00", second)


def test_each_day_has_one_backup_also_when_clocks_are_changed() -> None:
    for month, day in ((3, 27), (10, 23)):
        begin, at = datetime(2026, month, day, tzinfo=UTC).timestamp(), "02:30"
        every = {
            scheduled(f"{at} Europe/Berlin", begin + minutes * 60) for minutes in range(5 * 24 * 60)
        }
        gaps = [second - first for first, second in pairwise(sorted(every))]
        assert len(every) in {5, 6}
        assert all(22 * 3600 <= gap <= 26 * 3600 for gap in gaps), gaps
