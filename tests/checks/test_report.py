"""What `check` makes of findings: formats, baseline, choice of checks, and what --fix mends."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from mngdb.checks import registry
from mngdb.checks.formats import html, junit, sarif
from mngdb.findings import Finding
from tests.checks.judge import BROUGHT, PROOFS
from tests.conftest import Cli
from tests.live.clients import brought_up, redis_as

pytestmark = pytest.mark.live

#: What fails on every stack of this file.
EXPECTED = BROUGHT | PROOFS
FILE = "redis: {port: PORT1}\napps: {shop: {redis: 'shop:*'}}\n"
stack = brought_up(FILE)


def day(days: int) -> str:
    return str(datetime.now(tz=UTC).date() + timedelta(days=days))


def of_the_file(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What failed, but for the versions that pip brings."""
    return [one for one in found if one["verdict"] == "fail" and one["id"] not in EXPECTED]


def accepts_brought(cli: Cli) -> Path:
    """A baseline for those."""
    path = cli.folder / "brought.yaml"
    rows = [f"{{id: {one}, reason: pip brings it, until: 2999-01-01}}" for one in sorted(EXPECTED)]
    path.write_text(f"accept: [{', '.join(rows)}]\n")
    return path


@pytest.fixture
def spoilt(stack: Cli) -> Cli:
    """One setting is not as the file says."""
    with redis_as(stack) as admin:
        admin.config_set("timeout", "0")
    return stack


def test_json_has_stable_keys(spoilt: Cli) -> None:
    done = spoilt.run("check", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert set(report) == {"summary", "findings"}
    assert set(report["summary"]) == {"pass", "fail", "unknown", "not_applicable"}
    assert sum(report["summary"].values()) == len(report["findings"])
    (failed,) = of_the_file(report["findings"])
    assert set(failed) == {
        *("id", "instance", "engine", "title", "severity", "verdict", "evidence", "expected"),
        *("remedy", "sources", "member"),
    }
    assert failed["id"] == "redis.timeout"


def test_sarif_says_what_failed_and_where_to_mend_it(spoilt: Cli) -> None:
    document = json.loads(spoilt.run("check", "--format", "sarif").stdout)
    (run,) = document["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert (result["level"] == "none") == (result["kind"] != "fail")
    (failed,) = [
        one for one in run["results"] if one["kind"] == "fail" and one["ruleId"] not in EXPECTED
    ]
    assert (failed["ruleId"], failed["level"]) == ("redis.timeout", "warning")
    uri = failed["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == "mngdb.yaml"
    assert all(
        "docs/controls.md" in rule["help"]["text"] for rule in run["tool"]["driver"]["rules"]
    )


def test_junit_counts_add_up(spoilt: Cli, tmp_path: Path) -> None:
    out = tmp_path / "report.xml"
    done = spoilt.run("check", "--only", "redis.*", "--format", "junit", "--output", str(out))
    assert done.returncode == 1
    assert done.stdout == ""
    (suite,) = ElementTree.parse(out).getroot()
    cases = suite.findall("testcase")
    failed = [case.get("name", "") for case in cases if case.find("failure") is not None]
    assert int(suite.get("failures", "")) == len(failed)
    assert len([name for name in failed if name.split(":")[0].split()[0] not in EXPECTED]) == 1
    every = [one for one in registry.of("redis") if not one.on_request]
    assert int(suite.get("tests", "")) == len(cases) == len(every)
    assert int(suite.get("skipped", "")) == len(suite.findall("testcase/skipped"))


def test_html_is_one_file_without_anything_from_elsewhere(spoilt: Cli, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    spoilt.run("check", "--format", "html", "--output", str(out))
    page = out.read_text()
    assert " of " in page
    assert "idle connections are closed" in page
    assert "· : " not in page
    assert "<td></td>" not in page
    for word in ("<script", "http://", "https://", "src="):
        assert word not in page


def test_a_name_from_a_server_cannot_break_a_document() -> None:
    evil = "</code><script>\"&\x00\x1b]'--"
    finding = Finding("redis.x", evil, "redis", evil, "high", "fail", evil, evil, evil, (evil,))
    page = html.render([finding], evil, "now")
    assert [one for one in ("<script", "\x1b", "\x00") if one in page] == []
    ElementTree.fromstring(junit.render([finding], "mng"))
    assert json.loads(sarif.render([finding], evil, "1", "f"))["runs"]


def test_the_page_of_a_list_is_korean_where_that_is_asked_for(spoilt: Cli, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    words = ("check", "--control", "kisa", "--format", "html", "--output", str(out))
    spoilt.run(*words, "--language", "ko")
    page = out.read_text()
    assert '<html lang="ko">' in page
    assert "주요정보통신기반시설" in page.split("</h1>")[1].split("</p>")[0]
    assert "production guide" not in page
    verdicts = set(re.findall(r'<td class="verdict \w+">([^<]*)</td>', page))
    assert {"양호", "미흡", "해당 없음"} <= verdicts
    assert [one for one in verdicts if re.search("[a-z]", one)] == []
    heads = re.findall(r"<(?:h2|th|dt|summary)>([^<]+)<", page)
    assert heads
    assert [one for one in heads if not re.search("[가-힣]", one)] == []
    assert "the stack" not in page
    # what an item found begins in Korean, or is the names of checks
    (items, *_) = page.split("</table>")
    found = re.findall(r"<td>([^<]*)</td></tr>", items)
    assert [one for one in found if re.match(r"[a-z]+ ", one)] == []


def test_fix_mends_what_the_file_owns(spoilt: Cli) -> None:
    done = spoilt.run("check", "--fix", "--baseline", str(accepts_brought(spoilt)))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fixed: " in done.stderr
    again = spoilt.run("check", "--fix")
    assert "nothing to fix" in again.stderr


def test_the_baseline_accepts_until_a_day(spoilt: Cli, tmp_path: Path) -> None:
    baseline = tmp_path / "baseline.yaml"
    entry = "accept: [{{id: redis.timeout, reason: the proxy needs idle ones, until: {}}}]\n"
    version = "accept: [{id: redis.version, reason: pip brings it, until: 2999-01-01}, "
    version += "{id: redis.backup-proved, reason: none is made here, until: 2999-01-01}, "
    version += "{id: stack.backup-store, reason: none is made here, until: 2999-01-01}, "
    entry = entry.replace("accept: [", version.replace("{", "{{").replace("}", "}}"), 1)
    baseline.write_text(entry.format(day(0)))
    done = spoilt.run("check", "--baseline", str(baseline))
    assert done.returncode == 0, done.stdout
    assert "of them accepted" in done.stdout
    found = json.loads(spoilt.run("check", "--json", "--baseline", str(baseline)).stdout)
    (accepted,) = [
        one for one in found["findings"] if "accepted" in one and one["id"] not in EXPECTED
    ]
    assert accepted["verdict"] == "fail"
    assert "the proxy needs idle ones" in accepted["accepted"]
    # what it does not accept any more can go
    more = baseline.read_text().strip()[:-1] + (
        f", {{id: redis.bind, instance: redis, reason: it was open, until: {day(9)}}}"
        f", {{id: redis.save-points, instance: reids, reason: a cache only, until: {day(9)}}}]"
    )
    baseline.write_text(more)
    done = spoilt.run("check", "--baseline", str(baseline))
    assert "accepts redis.bind of redis, which no longer fails" in done.stderr
    assert "redis.save-points of 'reids': no such (did you mean 'redis'?)" in done.stderr
    assert "redis.timeout" not in done.stderr
    baseline.write_text(entry.format(day(-1)))
    done = spoilt.run("check", "--baseline", str(baseline))
    assert done.returncode == 1
    assert f"redis.timeout: the acceptance expired on {day(-1)}" in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("accept: [{id: redis.timeout, reason: long enough}]", ":1:10: accept.0.until: Field req"),
        ("accept: [{id: redis.timeout, reason: x, until: 2999-01-01}]", "at least 8 characters"),
        ("accept: [{id: redis.timeout, reason: because of it, until: soon}]", "is not a date"),
        ("accept: [{id: redis.time, reason: because of it, until: 2999-01-01}]", "did you mean"),
        ("- redis.timeout", "has to be a mapping"),
        ("acept: []", "acept"),
    ],
)
def test_a_wrong_baseline_is_told_with_its_place(
    stack: Cli, tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "baseline.yaml").write_text(text)
    done = stack.run("check", "--baseline", str(tmp_path / "baseline.yaml"))
    assert done.returncode == 2
    assert said in done.stderr
    gone = stack.run("check", "--baseline", "gone.yaml")
    assert gone.returncode == 2
    assert gone.stderr.startswith("gone.yaml: no such file\n  hint: a baseline has accept:")


def test_checks_are_chosen_by_id_control_and_severity(stack: Cli) -> None:
    def ids(*options: str) -> set[str]:
        found = json.loads(stack.run("check", "--json", *options).stdout)["findings"]
        return {one["id"] for one in found}

    assert ids("--only", "redis.acl-*", "--severity", "critical") == {"redis.acl-dangerous"}
    assert ids("--control", "B12", "--only", "redis.*") == {
        *("redis.login-required", "redis.password-set", "redis.password-known"),
        "redis.password-length",
    }
    assert ids("--control", "guide: Redis 4") < ids("--control", "guide")
    assert stack.run("check", "--control", "B33").returncode == 2
    wrong = stack.run("check", "--only", "redis.foo")
    assert wrong.returncode == 2
    assert "--list" in wrong.stderr
    assert len(wrong.stderr) < 200
    nothing = stack.run("check", "--control", "B9")
    assert "none of these checks applies" in nothing.stderr


def test_every_check_says_enough() -> None:
    for one in registry.every():
        assert not (one.title[0].isupper() and one.title[1].islower()), one.id
        assert one.expected, one.id
        assert one.remedy, one.id
        assert one.sources, one.id
        assert not one.title.endswith("."), one.id


def test_list_needs_no_file_and_takes_the_same_choice(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    found = cli.json("check", "--list")["checks"]
    assert [one["id"] for one in found] == [one.id for one in registry.every()]
    assert {one["engine"] for one in found} == {
        *("postgres", "redis", "mongodb", "atlas", "stack", "host", "secrets")
    }
    assert all(one["title"] and one["severity"] and one["controls"] for one in found)
    fewer = cli.json("check", "--list", "--control", "B13", "--severity", "high")["checks"]
    assert "redis.acl-dangerous" in {one["id"] for one in fewer}
    assert all("B13" in one["controls"] and one["severity"] != "medium" for one in fewer)
    told = cli.run("check", "--list", "--only", "redis.acl-dangerous")
    assert told.stdout.splitlines()[1].split()[:2] == ["critical", "redis.acl-dangerous"]
    assert "docs/controls.md" in told.stderr
    wrong = cli.run("check", "--list", "--only", "redis.acl-dangerou")
    assert wrong.returncode == 2
    assert "redis.acl-dangerous" in wrong.stderr


def test_a_shell_completes_the_ids(tmp_path: Path) -> None:
    words = {"COMP_WORDS": "mngdb check --only redis.acl-d", "COMP_CWORD": "3"}
    done = Cli(tmp_path, {"_MNGDB_COMPLETE": "bash_complete", **words}).run()
    assert done.stdout.split() == ["plain,redis.acl-dangerous"]
