"""When a unit's crashes are forgotten."""

import json
from pathlib import Path

from mngdb.ops import crashes


def test_up_of_the_whole_stack_keeps_the_crashes_of_the_last_hour(tmp_path: Path) -> None:
    old = {"mng-pg": ["2026-01-01T00:00:00+00:00"]}
    (tmp_path / "crashes.json").write_text(json.dumps(old))
    crashes.note(tmp_path, "mng-redis")
    crashes.forget(tmp_path)
    assert crashes.since_up(tmp_path).keys() == {"mng-redis"}
    crashes.forget(tmp_path, ["mng-mongo"])
    assert crashes.since_up(tmp_path).keys() == {"mng-redis"}
    crashes.forget(tmp_path, ["mng-redis"])
    assert crashes.since_up(tmp_path) == {}
