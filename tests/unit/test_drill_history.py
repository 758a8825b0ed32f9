"""What is kept of drills."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any

import pytest

from mngdb.ops.backup import chain, history
from mngdb.ops.backup import drill as drilling
from mngdb.ops.backup.scratch import Scratch
from mngdb.spec.file import Backup
from tests.conftest import Cli
from tests.unit.backups import backed_up


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


def test_what_is_usual_takes_a_few_drills_that_passed(tmp_path: Path) -> None:
    for at, (verdict, rto) in enumerate(
        [("pass", 10.0), ("pass", 30.0), ("fail", 900.0), ("pass", 12.0)]
    ):
        history.keep(tmp_path, drill(verdict, float(at), rto=rto))
    assert history.usual(tmp_path) == {}
    history.keep(tmp_path, drill("pass", 5.0, rto=500.0))
    assert history.usual(tmp_path) == {"pg": 12.0}, "the last one is what is compared with it"
    assert history.passed(tmp_path)["pg"]["rto"] == 500.0


def test_a_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    history.keep(tmp_path, drill("pass", 1.0))
    with (tmp_path / "drills.jsonl").open("a") as file:
        file.write('{"instance": "pg", "verdi')
    assert len(history.history(tmp_path)) == 1


@pytest.mark.parametrize(
    "line",
    [
        "[" * 100_000,
        "7",
        '{"instance": "pg", "verdict": "pass", "at": "x", "rto": 1}',
        '{"instance": "pg", "verdict": "pass", "at": 1, "rto": null}',
    ],
)
def test_a_damaged_line_is_left_out(tmp_path: Path, line: str) -> None:
    history.keep(tmp_path, drill("pass", 1.0))
    with (tmp_path / "drills.jsonl").open("a") as file:
        file.write(f"{line}\n")
    assert [one["at"] for one in history.history(tmp_path)] == [1.0]


def test_what_comes_after_such_a_line_is_kept(tmp_path: Path) -> None:
    history.keep(tmp_path, drill("pass", 1.0))
    with (tmp_path / "drills.jsonl").open("a") as file:
        file.write('{"instance": "pg", "verdi')
    history.keep(tmp_path, drill("pass", 2.0))
    assert [one["at"] for one in history.history(tmp_path)] == [1.0, 2.0]
    assert history.checked(tmp_path).problems == ("line 2 is damaged",)


LINES = [drill("pass", float(number), detail="a\u2028b \udcff 한글") for number in range(5)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    for one in LINES:
        history.keep(tmp_path, one)
    return tmp_path / "drills.jsonl"


def test_a_history_that_nobody_touched_is_whole(file: Path) -> None:
    found = history.checked(file.parent)
    assert (found.lines, found.begin, found.problems) == (len(LINES), True, ())
    assert (file.parent / "drills.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("number", range(len(LINES)))
def test_a_line_that_was_changed_is_told(file: Path, number: int) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    lines[number] = lines[number].replace(b'"pass"', b'"fail"', 1)
    file.write_bytes(b"".join(lines))
    problems = history.checked(file.parent).problems
    assert f"line {number + 1} was changed" in problems[0]


@pytest.mark.parametrize(
    ("left", "told"),
    [([0, 1, 3, 4], "line 3"), ([0, 2, 1, 3, 4], "line 2"), ([0, 1, 1, 2, 3, 4], "line 3")],
)
def test_lines_that_are_gone_moved_or_twice_are_told(
    file: Path, left: list[int], told: str
) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[one] for one in left))
    problems = history.checked(file.parent).problems
    assert problems[0].startswith(f"{told} does not follow")


def test_a_line_of_another_stack_is_told(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    line = history.keep(other, drill("pass", 9.0))
    with file.open("ab") as opened:
        opened.write(line + b"\n")
    assert "not written by this stack" in history.checked(file.parent).problems[0]


def test_others_can_verify_a_line(file: Path) -> None:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    head, _, rest = file.read_bytes().splitlines()[2].rpartition(b', "signature": "')
    public = load_pem_public_key(chain.public_key(file.parent).encode())
    public.verify(base64.b64decode(rest[:-2]), head)  # type: ignore[call-arg, union-attr]


def test_ten_thousand_drills_are_bounded_and_the_newest_stay(tmp_path: Path) -> None:
    padding = "x" * 400
    for number in range(10_000):
        history.keep(tmp_path, drill("pass", float(number), padding=padding))
    assert (tmp_path / "drills.jsonl").stat().st_size < 3 << 20
    found = [one["at"] for one in history.history(tmp_path)]
    assert found == [float(number) for number in range(10_000)][-len(found) :]
    assert len(found) > 1000
    seen = history.checked(tmp_path)
    assert (seen.lines, seen.begin, seen.problems) == (len(found), False, ())


def test_a_drill_that_crashes_is_one_that_failed(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = backed_up(cli, tmp_path / "store")

    def crashed(*_: object, **__: object) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr(Scratch, "make", crashed)
    (found,) = drilling.drill(context, ["redis"], lambda _: None)
    assert (found.verdict, "RecursionError: too deep" in found.checks[0].detail) == ("fail", True)
    assert [one.verdict for one in drilling.drills(context.stack.state)] == ["fail"]
