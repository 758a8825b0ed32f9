"""When the agent takes a backup or makes a drill, though clocks and attempts go wrong."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from mngdb.errors import MngdbError
from mngdb.ops.backup import archived, history, place, schedule
from mngdb.ops.backup.archived import Archived
from mngdb.ops.backup.glance import glance
from mngdb.ops.backup.schedule import Run, backups_due, drills_due
from mngdb.ops.context import Context
from mngdb.spec.load import load
from tests.conftest import Cli
from tests.unit.spec import refused, stack

HOUR = 3600.0
#: An hour and a half after the schedule's time.
NOW = datetime(2026, 11, 29, 4, 30, tzinfo=UTC).timestamp()


@pytest.fixture
def context(cli: Cli) -> Context:
    """A stack of one instance with a key, that was never up."""
    cli.write("redis: {port: PORT1}\nagent: true\nbackup: {at: '03:00', drill: {every: 7d}}\n")
    environ = cli.environ()
    found = Context.open(load([cli.folder / "mngdb.yaml"], environ), environ)
    (found.stack.state / "secrets").mkdir(parents=True, mode=0o700)
    return found


def kept(context: Context, run: Run) -> None:
    schedule._keep(context, "redis", run)


def done(at: float, **more: object) -> Run:
    """A backup that has succeeded."""
    return replace(
        Run(tried=at, done=at, stored=1, branch="branch", position=5, keys="keys"), **more
    )


def test_a_clock_that_jumps_back_an_hour_costs_one_backup(context: Context) -> None:
    kept(context, done(NOW - 60))
    assert backups_due(context, NOW) == []
    jumped = NOW - HOUR
    assert backups_due(context, jumped) == ["redis"]  # nobody knows how old the last one is
    kept(context, done(jumped + 10))
    for later in range(20, 2 * int(HOUR), 60):
        assert backups_due(context, jumped + later) == []
    assert backups_due(context, jumped + 24 * HOUR) == ["redis"]


def test_a_log_that_stands_still_is_seen_though_its_end_is_in_the_future(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = NOW
    monkeypatch.setattr(time, "time", lambda: now)
    followed = Archived(branch="branch", begin=5, stored=7, until=NOW, keys="keys")
    kept(context, done(NOW - 60))

    def noted(after: float, error: str = "") -> float | None:
        """A note, and what `status` says then of the recovery point."""
        nonlocal now
        now = NOW - HOUR + after
        archived.note(context, "redis", replace(followed, error=error))
        now += 5
        assert archived.behind(context, ["redis"]) == bool(error)
        return glance(context)[0].recovery_point

    archived.note(context, "redis", followed)
    now = NOW - HOUR
    assert glance(context)[0].recovery_point == HOUR, "nobody has followed it since"
    assert noted(0) == 5
    assert noted(600) == 5
    assert noted(1200, "the disk is full") == 605


def test_a_failing_backup_is_not_made_all_the_time_after_such_a_jump(context: Context) -> None:
    kept(context, done(NOW, tried=NOW - HOUR, error="the disk is full"))
    assert backups_due(context, NOW - HOUR + 10) == []
    assert backups_due(context, NOW - HOUR + 1000) == ["redis"]


def test_a_drill_is_an_hour_late_after_it_and_no_more(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "has_key", lambda _: True)
    kept(context, done(NOW - 60))
    assert drills_due(context, NOW) == ["redis"]
    drill = dict.fromkeys(history._NEEDED, 0) | {"instance": "redis", "at": NOW, "verdict": "pass"}
    history.keep(context.stack.state, drill)
    assert drills_due(context, NOW - HOUR) == []
    assert drills_due(context, NOW + 7 * 24 * HOUR + 1) == ["redis"]


def test_an_attempt_that_never_ended_is_made_again_after_a_while(context: Context) -> None:
    """It was killed, or could not note how it ended: a disk that is full gets no snapshot every ten
    seconds."""
    kept(context, done(NOW - 24 * HOUR))
    assert backups_due(context, NOW) == ["redis"]
    kept(context, done(NOW - 24 * HOUR, tried=NOW))
    assert backups_due(context, NOW + 10) == []
    assert backups_due(context, NOW + 1000) == ["redis"]


def test_where_the_attempt_cannot_be_noted_there_is_none(context: Context) -> None:
    folder = context.stack.state / "backup-runs"
    folder.write_text("in the way")
    with pytest.raises(MngdbError, match="not a directory"):
        schedule.begun(context, "redis")


def test_a_replaced_server_has_its_next_backup_at_once(context: Context) -> None:
    kept(context, done(NOW - 60))
    schedule.broken(context, "redis")
    archived.note(context, "redis", Archived(branch="another", begin=7, keys="keys"))
    assert backups_due(context, NOW) == ["redis"]


def test_the_stacks_time_zone_is_that_of_its_backups() -> None:
    def at(text: str) -> str | None:
        found = stack(f"redis:\n{text}").backup
        return found.at if found else None

    assert at("timezone: Asia/Seoul\nbackup: {}") == "03:00 Asia/Seoul"
    assert at("timezone: Asia/Seoul\nbackup: {at: '04:00 UTC'}") == "04:00 UTC"
    assert at("backup: {at: '04:00'}") == "04:00"
    assert stack("postgres:\ntimezone: Asia/Seoul").instances["postgres"].timezone == "Asia/Seoul"
    assert "'Seoul' is not a time zone" in refused("redis:\ntimezone: Seoul")
