"""How commits that wait for the store fare, judged from look to look."""

from __future__ import annotations

import pytest

from mngdb.ops.backup.commits import Note, Pace, State, told
from mngdb.snapshot import Held
from mngdb.spec.base import RecoveryPoint


def held(
    written: int, stored: int | None, *, holds: bool = True, waiting: int = 0, other: str = ""
) -> Held:
    return Held(holds, other, written, stored, waiting)


@pytest.mark.parametrize("stored", [10, None])
@pytest.mark.parametrize("mode", ["sync", "strict"])
def test_sync_waits_five_seconds_and_strict_for_ever(
    mode: RecoveryPoint, stored: int | None
) -> None:
    pace = Pace(mode)
    assert pace.look(held(10, 10), 0.0).state == "held"
    found = held(11, stored, waiting=2)
    assert pace.look(held(10, 10), 99.0).state == "held"
    assert pace.look(found, 99.2).state == "held"
    assert pace.look(found, 100.0).state == "stuck"  # within a second
    assert not pace.frees(found, 100.0)
    pace.look(found, 104.3)
    assert pace.frees(found, 104.3) is (mode == "sync")
    pace.look(found, 1000.0)
    assert pace.frees(found, 1000.0) is (mode == "sync")
    assert pace.look(held(12, 12), 1001.0).state == "held"


@pytest.mark.parametrize("behind", [10, 10_000])
def test_a_store_that_is_slow_but_goes_on_is_waited_for(behind: int) -> None:
    pace, end = Pace("sync"), 10
    pace.look(held(end, end), 0.0)
    for second in range(1, 100):
        end += 10
        found = held(behind + end, end, waiting=5)
        note = pace.look(found, float(second))
        assert not pace.frees(found, float(second))
    assert note.state == ("held" if behind == 10 else "stuck")
    assert note.why == "the store is behind"


def test_commits_wait_once_all_went_well_for_a_second() -> None:
    pace = Pace("sync")
    for now, stored, holds in (
        (0.0, None, False),
        (0.5, 5, False),  # it catches up
        (1.6, 9, False),
        (1.8, 10, False),
        (2.4, 10, False),
        (2.9, 10, True),
    ):
        found = held(10, stored, holds=False)
        assert pace.look(found, now).state == "begins"
        assert pace.holds(found, now) is holds
    assert pace.look(held(10, 10), 3.0).state == "held"
    assert pace.look(held(10, 10, holds=False), 3.2).state == "free"


@pytest.mark.parametrize("mode", ["stream", "strict"])
def test_no_other_mode_has_them_wait(mode: RecoveryPoint) -> None:
    pace, found = Pace(mode), held(10, 10, holds=False)
    for now in (0.0, 1.0, 10.0):
        pace.look(found, now)
        assert not pace.holds(found, now)


def test_what_somebody_else_has_set_stays() -> None:
    pace, found = Pace("sync"), held(10, 10, holds=False, other="replica")
    for now in (0.0, 1.0, 10.0):
        note = pace.look(found, now)
        assert not pace.holds(found, now)
        assert not pace.frees(found, now)
    assert "'replica'" in told("sync", note)


def test_what_is_wrong_is_told() -> None:
    assert told("sync", Note(state="held")) == ""
    assert told("stream", Note()) == ""
    waiting: tuple[State, ...] = ("stuck", "lost")
    free: tuple[State, ...] = ("free", "over", "begins")
    assert all("commits wait" in told("sync", Note(state=one)) for one in waiting)
    assert all("do not wait" in told("sync", Note(state=one)) for one in free)
    assert "commits wait" in told("strict", Note(state="over"))
