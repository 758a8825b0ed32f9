"""Which notes of servers an earlier `up` has shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from mngdb.model import Notice
from mngdb.ops import seen_notices

LEGACY, CACHE = Notice("legacy", "kept: role a"), Notice("cache", "kept: user b")


def test_notes_of_servers_that_were_not_looked_at_stay_known(tmp_path: Path) -> None:
    both = {"legacy": [LEGACY], "cache": [CACHE]}
    assert seen_notices.before(tmp_path, both) == []
    seen_notices.keep(tmp_path, both)
    seen_notices.keep(tmp_path, {"cache": [CACHE]})
    assert seen_notices.before(tmp_path, both) == [LEGACY, CACHE]
    seen_notices.keep(tmp_path, {"cache": []})
    assert seen_notices.before(tmp_path, both) == [LEGACY]


@pytest.mark.parametrize("text", ["[1]", "{", '{"cache": 1}', "null", "[" * 100_000])
def test_a_damaged_note_knows_of_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "notices.json").write_text(text)
    assert seen_notices.before(tmp_path, {"cache": [CACHE]}) == []
