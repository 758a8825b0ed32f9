"""What is left of a drill: a page, a document, and a history that is whole."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.live.clients import brought_up, redis_as

pytestmark = [pytest.mark.live, pytest.mark.redis]

FILE = """
redis: {port: PORT1}
apps: {shop: {redis: "shop:*"}}
agent: false
"""
stack = brought_up(FILE)


@pytest.fixture(scope="module")
def report(stack: Cli) -> Path:
    with redis_as(stack, "shop") as shop:
        shop.set("shop:cart", "seven")
    stack.ok("backup")
    stack.ok("drill", "--report", "report.html")
    return stack.folder / "report.html"


def test_the_page_stands_alone_and_says_what_was_found(report: Path) -> None:
    page = report.read_text()
    assert "the restore of redis worked" in page
    assert "login shop" in page
    assert not re.search(r"<script|src=|href=|url\(|@import", page)
    (bar,) = re.findall('<div class="bar">(.*?)</div>', page)
    shares = [float(one) for one in re.findall(r"flex: ([0-9.]+)", bar)]
    phases = json.loads(report.with_suffix(".json").read_text())["drills"][0]["phases"]
    assert shares == pytest.approx(list(phases.values()), abs=0.001)


def test_the_document_has_the_lines_of_the_history(stack: Cli, report: Path) -> None:
    found = json.loads(report.with_suffix(".json").read_text())
    (drill,) = found["drills"]
    assert (drill["verdict"], drill["engine"]) == ("pass", "redis")
    assert os.uname().nodename in drill["machine"]
    assert drill["version"]
    lines = (stack.state / "drills.jsonl").read_text().splitlines()
    assert set(found["records"]) <= set(lines)
    assert found["public_key"].startswith("-----BEGIN PUBLIC KEY-----")


def test_the_history_is_whole_until_somebody_changes_it(stack: Cli, report: Path) -> None:
    found = stack.json("drill", "--history")
    assert found["chain"]["whole"]
    assert [one["verdict"] for one in found["drills"]] == ["pass"]
    assert "is whole" in stack.ok("drill", "--history", "redis")
    file = stack.state / "drills.jsonl"
    kept = file.read_text()
    file.write_text(kept.replace('"rto": ', '"rto": 1', 1))
    try:
        done = stack.run("drill", "--history")
        assert (done.returncode, "line 1 was changed" in done.stdout) == (1, True), done.stdout
        assert not json.loads(stack.run("--json", "drill", "--history").stdout)["chain"]["whole"]
    finally:
        file.write_text(kept)


def test_a_failed_drill_is_reported_too(stack: Cli, report: Path, tmp_path: Path) -> None:
    store = stack.state.parent.parent / "backups" / "mngdb-1"
    identity = json.loads((stack.state / "stack.json").read_text())["id"]
    victim = sorted((store / identity / "redis").rglob("*.age"))[0]
    kept = victim.read_bytes()
    victim.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    try:
        done = stack.run("drill", "--report", str(tmp_path / "bad.html"))
        assert done.returncode == 1
        page = (tmp_path / "bad.html").read_text()
        assert "1 of 1 restores failed" in page
        assert victim.name in page
    finally:
        victim.write_bytes(kept)


@pytest.mark.parametrize("name", ["report.pdf", "nowhere/report.html", "report.html"])
def test_where_no_report_can_be_written_no_drill_is_made(
    stack: Cli, report: Path, name: str
) -> None:
    before = (stack.state / "drills.jsonl").read_text()
    done = stack.run("drill", "--report", name)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert (stack.state / "drills.jsonl").read_text() == before


def test_without_a_drill_the_history_is_empty(cli: Cli) -> None:
    cli.write(FILE)
    assert "0 drills" in cli.ok("drill", "--history")
