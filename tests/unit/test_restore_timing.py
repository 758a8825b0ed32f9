"""How long a restore takes is told within a quarter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mngdb.ops.backup import history, timing

MB = 1_000_000


def made(state: Path, size: int, seconds: float, fixed: float = 2.0, name: str = "pg") -> None:
    phases = {"copy": seconds - fixed, "recovery": fixed / 2, "logins": fixed / 2}
    timing.keep(state, timing.measured(name, size, seconds, phases))


def drilled(state: Path, size: int, seconds: float, verdict: str = "pass", **more: Any) -> None:
    phases = {"copy": seconds / 2, "recovery": seconds / 4}
    one = {"instance": "pg", "at": 1.0, "rto": seconds, "verdict": verdict, "checks": []}
    history.keep(state, {**one, "snapshot": "s", "size": size, "phases": phases, **more})


def estimate(state: Path, size: int) -> float:
    found = timing.estimate(state, "pg", size)
    assert found is not None
    return found


def test_without_a_restore_nothing_is_said(tmp_path: Path) -> None:
    made(tmp_path, 10 * MB, 3.0, name="other")
    drilled(tmp_path, 10 * MB, 3.0, "fail")
    assert timing.estimate(tmp_path, "pg", 10 * MB) is None


def test_an_almost_empty_server_says_how_long_one_starts(tmp_path: Path) -> None:
    drilled(tmp_path, 20_000, 3.0)
    assert estimate(tmp_path, 20_000) == pytest.approx(3.0)
    # measured of a PostgreSQL: 530 MB in 5.3 s, on two processors
    assert estimate(tmp_path, 530 * MB) == pytest.approx(5.3, rel=0.25)


@pytest.mark.parametrize("size", [30, 200, 800, 4000])
def test_several_sizes_give_a_fixed_part_and_a_rate(tmp_path: Path, size: int) -> None:
    for there, noise in ((1, 1.1), (2, 0.9), (100, 1.05), (400, 0.95), (800, 1.0)):
        made(tmp_path, there * MB, (3.0 + there / 50) * noise)
    assert estimate(tmp_path, size * MB) == pytest.approx(3.0 + size / 50, rel=0.25)


def test_one_large_restore_gives_the_rate(tmp_path: Path) -> None:
    drilled(tmp_path, 20_000, 3.0)
    made(tmp_path, 1000 * MB, 102.0)
    assert estimate(tmp_path, 2000 * MB) == pytest.approx(202, rel=0.25)


def test_the_newest_are_kept(tmp_path: Path) -> None:
    for _ in range(150):
        made(tmp_path, 10 * MB, 50.0)
    for _ in range(10):
        made(tmp_path, 10 * MB, 5.0)
    assert estimate(tmp_path, 10 * MB) == pytest.approx(5.0)
    (tmp_path / "restores.json").write_text("[{")  # cut short
    assert timing.estimate(tmp_path, "pg", 10 * MB) is None
