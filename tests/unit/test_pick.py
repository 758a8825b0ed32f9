"""What is picked of all that can be restored, and what is said where a moment cannot be reached."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from mngdb.cli.backup import _span
from mngdb.errors import UsageError
from mngdb.ops.backup import archived, schedule
from mngdb.ops.backup.archived import Archived
from mngdb.ops.backup.moments import exact, parse
from mngdb.ops.backup.pick import leading_to, newest_of
from mngdb.ops.backup.reach import Reach, Reachable, _beyond, joined, reachable
from mngdb.ops.context import Context
from mngdb.snapshot import Point, Taken
from mngdb.stores.archive import Segment
from mngdb.stores.manifest import Manifest
from tests.checks.judge import opened
from tests.conftest import Cli
from tests.unit.backups import backed_up, snapshot

#: Seconds with a fraction that milliseconds do not hold.
MOMENT = 1_795_000_000.9876543


def reach(moment: float, *more: tuple[float, float], name: str = "a") -> Reach:
    """A snapshot of a moment, and what its log leads to."""
    taken = Taken(kind="full", product="", version="", source="", position={}, moment=moment)
    manifest = Manifest(
        id=name, stack="", stack_name="", instance="redis", engine="redis", tool="",
        started=moment, finished=moment, taken=taken, recipients=(), streams=(),
    )  # fmt: skip
    return Reach(manifest, (), (), more or ((moment, moment),))


def typed(text: str) -> float:
    return parse(text, time.time() + 1e9)


@pytest.mark.parametrize(
    "end", [MOMENT, MOMENT + 0.0004, MOMENT + 0.3, MOMENT + 5.00001, MOMENT + 90]
)
def test_what_is_printed_is_accepted_as_typed(end: float) -> None:
    found = Reachable((reach(MOMENT, (MOMENT, end)),), ())
    texts = [exact(MOMENT), exact(end), *(one for one in _span(MOMENT, end) if one[:2] == "20")]
    for beside in (MOMENT - 10, end + 10):
        with pytest.raises(UsageError) as caught:
            leading_to(found, "redis", beside)
        texts += re.findall(r"one (?:before|after) it is (.*)$", caught.value.message)
    assert len(texts) >= 5
    for text in texts:
        aim = leading_to(found, "redis", typed(text)).to(typed(text))
        assert MOMENT <= aim.moment <= end


def test_a_moment_at_which_nobody_knows_what_was_written_gets_the_data_of_before() -> None:
    """What came late has one moment for all of it, which may be before it was written."""
    at = MOMENT
    leads = [log(0, 9, at, at + 20), log(9, 50, at + 22, at + 22), log(50, 60, at + 26, at + 30)]
    every = joined(at, leads, at + 30)
    assert every == [(at, at + 30)]
    sure = ((at, at + 20), (at + 26, at + 30))
    found = replace(reach(at, *every), segments=tuple(leads), sure=sure)
    for late in (21, 23, 25.9):
        assert found.covers(at + late)
        assert found.to(at + late).moment == at + 20
        assert found.known_again(at + late) == at + 26
    assert found.to(typed(exact(at + 26))).moment == at + 26
    assert found.to(at + 28).moment == at + 28
    # at the end, and for longer, it is a gap as before
    assert joined(at, leads[:2], at + 20) == [(at, at + 20)]
    far = log(60, 70, at + 90, at + 99)
    assert joined(at, [*leads, far], at + 99) == [(at, at + 30), (at + 90, at + 99)]


def log(begin: int, end: int, since: float, until: float) -> Segment:
    return Segment(
        branch="a", begin=begin, end=end, since=since, until=until,
        opens=False, run="0" * 8, keys="0" * 8, digest="0" * 32,
    )  # fmt: skip


def test_the_newest_is_what_leads_furthest() -> None:
    old, new = reach(MOMENT, (MOMENT, MOMENT + 90)), reach(MOMENT + 60, name="b")
    assert newest_of(Reachable((old, new), ()), "redis") is old
    as_far = reach(MOMENT + 60, (MOMENT + 60, MOMENT + 90), name="b")
    assert newest_of(Reachable((old, as_far), ()), "redis") is as_far


def test_without_a_log_the_hint_names_what_helps_now() -> None:
    with pytest.raises(UsageError) as caught:
        leading_to(Reachable((reach(MOMENT),), ()), "redis", MOMENT - 1, "add 'backup: {}'")
    assert "--latest, or --snapshot ID" in (caught.value.hint or "")


def test_a_gap_of_a_restart_is_no_removal() -> None:
    def segment(since: float, *, opens: bool) -> Segment:
        return Segment(
            branch="a", begin=7, end=9, since=since, until=since + 30, opens=opens, run="r",
            keys="k", digest="d",
        )  # fmt: skip

    found = [reach(MOMENT)]
    restarted = [segment(MOMENT + 60, opens=True), segment(MOMENT + 90, opens=False)]
    said = _beyond("redis", found, restarted, "the store")
    assert "was started anew" in said
    assert "put back" not in said
    assert "put back" in _beyond("redis", found, restarted[1:], "the store")
    assert _beyond("redis", found, [], "the store") == ""


@pytest.fixture
def context(cli: Cli, tmp_path: Path) -> Context:
    """A stack with a snapshot."""
    return backed_up(cli, tmp_path / "store")


def test_a_server_at_rest_is_restored_to_the_moment_that_is_listed(context: Context) -> None:
    taken = snapshot(context, Point("a", 9))
    now = taken.moment + 30
    keys = schedule.of(context, "redis").keys
    archived.note(context, "redis", Archived(branch="a", stored=7, until=now, keys=keys))
    found = reachable(context, "redis")
    assert found.newest == now
    assert newest_of(found, "redis").to_newest().moment == now


def test_what_is_in_the_store_of_before_is_named(
    cli: Cli, context: Context, tmp_path: Path
) -> None:
    text = (cli.folder / "mngdb.yaml").read_text()
    cli.write(text.replace("/store}", "/other}"))
    moved = opened(cli)
    store = str(tmp_path / "store")
    assert schedule.left(moved) == [store]
    schedule.begun(moved, "redis")
    schedule.failed(moved, "redis", "the disk is full")
    assert schedule.left(moved) == [store]
    with pytest.raises(UsageError) as caught:
        newest_of(reachable(moved, "redis"), "redis")
    assert f"older backups are in {store}" in (caught.value.hint or "")
    snapshot(moved)
    assert schedule.left(moved) == []
    said = cli.run("backups")
    assert f"older backups are in {store}" in said.stderr
    cli.write(text)
    assert reachable(opened(cli), "redis").elsewhere == (str(tmp_path / "other"),)
