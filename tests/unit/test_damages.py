"""What was found damaged in the store is not counted on until it is sound again, and the next
backup makes up for it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mngdb.ops.backup import reach, schedule
from mngdb.ops.backup.glance import glance
from mngdb.ops.backup.pick import newest_of
from mngdb.ops.backup.reach import reachable
from mngdb.ops.backup.verify import verify
from mngdb.ops.context import Context
from tests.conftest import Cli
from tests.unit.backups import backed_up, snapshot


@pytest.fixture
def context(cli: Cli, tmp_path: Path) -> Context:
    """A stack with two snapshots."""
    return backed_up(cli, tmp_path / "store")


def error(context: Context) -> str:
    (found,) = glance(context)
    return found.error


def due(context: Context) -> bool:
    return schedule.backups_due(context, time.time()) == ["redis"]


def test_what_verify_found_counts_for_nothing_until_it_is_mended(
    context: Context, tmp_path: Path
) -> None:
    old, last = newest_of(reachable(context, "redis"), "redis").manifest, snapshot(context)
    (part,) = tmp_path.rglob(f"{last.id}/*.age")
    content = part.read_bytes()
    part.unlink()
    assert (error(context), due(context)) == ("", False)  # nobody knows of it
    assert not verify(context, []).sound
    found = reachable(context, "redis")
    assert found.newest == old.moment
    assert newest_of(found, "redis").manifest.id == old.id
    assert any(part.name in text for text in found.damages)
    assert last.id in error(context)
    assert due(context)

    later = snapshot(context)
    assert (error(context), due(context)) == ("", False)
    found = reachable(context, "redis")
    assert [one.manifest.id for one in found.reaches if one.sound] == [old.id, later.id]

    part.write_bytes(content)
    assert verify(context, []).sound
    found = reachable(context, "redis")
    assert (len(found.spans), found.damages) == (3, ())


def test_what_a_restore_came_upon_counts_for_nothing_either(context: Context) -> None:
    last = snapshot(context)
    reach.came_upon(context, "redis", last.id, "a part is missing")
    assert last.id in error(context)
    assert due(context)
    assert reachable(context, "redis").damages == ("a part is missing",)
