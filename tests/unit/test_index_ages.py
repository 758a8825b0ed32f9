"""When an index is called unused."""

from __future__ import annotations

from pathlib import Path

from mngdb.facts.indexes import Advice, IndexAdvice
from mngdb.ops.index_ages import judged

DAY = 86_400.0
WEEK = 7 * DAY
NOW = 1_800_000_000.0


def unused(name: str, since: float, mark: str = "") -> IndexAdvice:
    text = ("", "DROP INDEX", "none")
    return IndexAdvice("unused", "shop", "item", name, 1 << 20, *text, since=since, mark=mark)


def names(folder: Path, now: float, *found: IndexAdvice) -> set[str]:
    return {one.index for one in judged(folder, "postgres", Advice(found), WEEK, now).indexes}


def test_the_age_of_the_count_is_enough_where_it_begins_with_the_index(tmp_path: Path) -> None:
    old, young = unused("old", NOW - 8 * DAY), unused("young", NOW - DAY)
    found = judged(tmp_path, "mongodb", Advice((old, young), "before"), WEEK, NOW)
    assert found.indexes == (old,)
    assert found.note.startswith("before; not judged yet")
    assert "item young" in found.note
    assert not list(tmp_path.iterdir())


def test_else_it_counts_from_when_it_was_first_seen(tmp_path: Path) -> None:
    one = unused("one", NOW - 90 * DAY, "4711")
    assert names(tmp_path, NOW, one) == set()
    assert names(tmp_path, NOW + 6 * DAY, one) == set()
    assert names(tmp_path, NOW + 8 * DAY, one) == {"one"}
    # made anew under its name, and counted anew by the server
    assert names(tmp_path, NOW + 8 * DAY, unused("one", NOW - 90 * DAY, "4712")) == set()
    assert names(tmp_path, NOW + 16 * DAY, unused("one", NOW + 15 * DAY, "4712")) == set()


def test_one_that_was_used_meanwhile_begins_anew(tmp_path: Path) -> None:
    one = unused("one", NOW - 90 * DAY, "1")
    assert names(tmp_path, NOW, one) == set()
    assert names(tmp_path, NOW + DAY) == set()
    assert names(tmp_path, NOW + 8 * DAY, one) == set()


def test_a_damaged_file_is_as_none(tmp_path: Path) -> None:
    (tmp_path / "indexes.json").write_text("{[")
    assert names(tmp_path, NOW, unused("one", NOW - 90 * DAY, "1")) == set()
    (tmp_path / "indexes.json").write_text('{"postgres": ["x"]}')
    assert names(tmp_path, NOW, unused("one", NOW - 90 * DAY, "1")) == set()


def test_what_is_missing_or_there_twice_has_no_age(tmp_path: Path) -> None:
    one = IndexAdvice("missing", "shop", "item", "owner", 1, "", "CREATE INDEX", "")
    assert judged(tmp_path, "postgres", Advice((one,)), WEEK, NOW) == Advice((one,))
