"""What is told of a store's size: no more than its looks are worth."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from mngdb.ops.backup.growth import Growth, Look, growth

DAY, GB = 86_400.0, 1 << 30
NOW = 1_800_000_000.0


def looked(state: Path, *looks: tuple[float, float, int | None]) -> Growth:
    """Of looks so many days ago: gigabytes of backups, and free ones."""
    every = [
        Look(NOW - days * DAY, round(stored * GB), None if free is None else free * GB)
        for days, stored, free in looks
    ]
    (state / "store-size.json").write_bytes(msgspec.json.encode(every))
    found = growth(state)
    assert found is not None
    return found


def test_nobody_has_looked(tmp_path: Path) -> None:
    assert growth(tmp_path) is None
    (tmp_path / "store-size.json").write_text("[{")
    assert growth(tmp_path) is None


def test_the_first_day_tells_no_growth(tmp_path: Path) -> None:
    found = looked(tmp_path, (0.9, 1, 100), (0, 50, 50))
    assert (found.newest.stored, found.rate, found.full, found.before) == (
        50 * GB,
        None,
        None,
        None,
    )


def test_growth_is_that_of_the_last_week(tmp_path: Path) -> None:
    found = looked(tmp_path, (10, 0, 100), (7, 40, 60), (3, 41, 59), (0, 54, 28))
    assert found.rate == pytest.approx(2 * GB / DAY)
    assert found.full == pytest.approx(14 * DAY)
    assert found.before is None, "ten days of looks: a week ago may have been the beginning"


def test_a_week_ago_is_told_after_two(tmp_path: Path) -> None:
    found = looked(tmp_path, (14, 40, 60), (7, 44, 60), (0, 48, 60))
    assert found.before == 44 * GB


def test_what_shrinks_or_has_no_disk_is_never_full(tmp_path: Path) -> None:
    assert looked(tmp_path, (7, 40, 60), (0, 30, 70)).full is None
    assert looked(tmp_path, (7, 40, None), (0, 50, None)).full is None
