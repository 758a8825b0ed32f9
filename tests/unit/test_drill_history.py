"""What is kept of drills."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from mngdb.ops.backup import history
from mngdb.spec.file import Backup


def drill(verdict: str, at: float, instance: str = "pg", **more: Any) -> dict[str, Any]:
    checks = [{"name": "restore", "passed": verdict == "pass", "detail": "a damaged object"}]
    base = {"snapshot": f"s{at}", "rto": 3.0, "checks": checks}
    return {**base, "instance": instance, "at": at, "verdict": verdict, **more}


def test_nothing_is_proved_before_a_drill(tmp_path: Path) -> None:
    found = history.facts(tmp_path, Backup(), "pg")
    assert (found.age, found.failed) == (None, "")


def test_the_last_drill_of_an_instance_counts(tmp_path: Path) -> None:
    now = time.time()
    history.keep(tmp_path, drill("pass", now - 500))
    history.keep(tmp_path, drill("fail", now - 100, "redis"))
    found = history.facts(tmp_path, Backup(), "pg")
    assert found.age == pytest.approx(500, abs=10)
    assert found.failed == ""
    history.keep(tmp_path, drill("fail", now))
    found = history.facts(tmp_path, Backup(), "pg")
    assert found.failed == "restore: a damaged object"
    assert history.proved(tmp_path) == {f"s{now - 500}": history.iso(now - 500)}


def test_a_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    history.keep(tmp_path, drill("pass", 1.0))
    with (tmp_path / "drills.jsonl").open("a") as file:
        file.write('{"instance": "pg", "verdi')
    assert len(history.history(tmp_path)) == 1


def test_ten_thousand_drills_are_bounded_and_the_newest_stay(tmp_path: Path) -> None:
    padding = "x" * 400
    for number in range(10_000):
        history.keep(tmp_path, drill("pass", float(number), padding=padding))
    assert (tmp_path / "drills.jsonl").stat().st_size < 3 << 20
    found = [one["at"] for one in history.history(tmp_path)]
    assert found == [float(number) for number in range(10_000)][-len(found) :]
    assert len(found) > 1000
