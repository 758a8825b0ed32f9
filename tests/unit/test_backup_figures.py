"""Figures of backups that are shown only once they are known."""

from __future__ import annotations

import time

import pytest

from mngdb.cli.backup import Shown
from mngdb.events import Copying, Meter
from mngdb.ops.backup import archived, lost, schedule
from mngdb.ops.backup.archived import Archived
from mngdb.ops.backup.glance import glance
from mngdb.ops.backup.schedule import Run
from mngdb.ops.context import Context
from mngdb.spec.load import load
from tests.conftest import Cli


def test_no_time_left_before_the_rate_is_known(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    told: list[Copying] = []
    meter = Meter("pg", told.append, 1 << 30)
    for now in (130.0, 130.6, 132.0):  # noqa: B007 — the clock; the server prepares it for 30 s
        meter(100 << 20, 0)
    assert [one.rate for one in told] == [0.0, 0.0, (300 << 20) / 2]
    for one in told[1:]:
        Shown()(one)
    early, late = capsys.readouterr().err.splitlines()
    assert "left" not in early
    assert "/s" not in early
    assert "5 s left" in late


def test_a_log_that_says_nothing_yet_is_not_of_1970(cli: Cli) -> None:
    cli.write(
        "redis: {port: PORT1}\napps: {shop: {redis: 'shop:*'}}\nbackup: {}\n"
        "agent: {ports: {mngdb: PORT2}}\n"
    )
    environ = cli.environ()
    context = Context.open(load([cli.folder / "mngdb.yaml"], environ), environ)
    context.stack.state.mkdir(parents=True)
    (before,) = glance(context)
    assert before.recovery_point is None
    now = time.time()
    schedule._keep(context, "redis", Run(now, now, "", 1, "branch", 5))
    archived.note(context, "redis", Archived(branch="branch", begin=5, stored=5))
    (after,) = glance(context)
    assert after.recovery_point is not None
    assert after.recovery_point < 60


def test_after_a_gap_the_log_before_it_counts_until_there_is_a_new_snapshot(cli: Cli) -> None:
    cli.write("redis: {}\nbackup: {store: /nowhere}\nagent: true\n")
    context = Context.open(load([cli.folder / "mngdb.yaml"], {}), cli.environ())
    context.claim()
    now = time.time()
    schedule._keep(context, "redis", Run(tried=now - 900, done=now - 900, branch="one"))
    log = Archived(branch="two", begin=7, until=now, earlier=now - 100)
    archived.note(context, "redis", log)
    (told,) = glance(context)
    assert told.recovery_point == pytest.approx(100, abs=30)


def test_what_the_store_lacks_is_told_until_there_is_a_new_snapshot(cli: Cli) -> None:
    cli.write("redis: {}\nbackup: {store: /nowhere}\n")
    context = Context.open(load([cli.folder / "mngdb.yaml"], {}), cli.environ())
    context.claim()
    now = time.time()
    schedule._keep(context, "redis", Run(tried=now - 500, done=now - 500, branch="one"))
    schedule.broken(context, "redis")
    lost.keep(context, {"redis": lost.Lack("it lacks the log", now - 400)})
    (told,) = glance(context)
    assert told.error == "it lacks the log"
    assert told.recovery_point == pytest.approx(400, abs=30)
    schedule._keep(context, "redis", Run(tried=now - 5, done=now - 5, branch="two"))
    (after,) = glance(context)
    assert after.error == ""
    assert after.recovery_point == pytest.approx(5, abs=30)


@pytest.mark.parametrize(
    ("took", "before", "due"),
    [(0.5, 5, False), (0.5, 11, True), (20, 150, False), (20, 210, True), (3600, 310, True)],
)
def test_a_log_that_broke_off_is_soon_led_on_and_not_all_the_time(
    cli: Cli, took: float, before: float, due: bool
) -> None:
    cli.write("redis: {}\nbackup: {store: /nowhere}\n")
    context = Context.open(load([cli.folder / "mngdb.yaml"], {}), cli.environ())
    context.claim()
    now = time.time()
    run = Run(tried=now, done=now, branch="one", before=now - before, seconds=took)
    schedule._keep(context, "redis", run)
    archived.note(context, "redis", Archived(branch="another", begin=5, stored=5))
    assert schedule.backups_due(context, now) == (["redis"] if due else [])
