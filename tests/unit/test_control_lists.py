"""Control lists: their items lead to checks, and a report by item is as its findings are."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from mngdb.checks import registry
from mngdb.checks.controls import CHECKLIST, lists
from mngdb.checks.controls.report import by_item
from mngdb.checks.strength import all_kinds
from mngdb.findings import Finding, Judgement, Verdict
from mngdb.targets.local.inspect import histories, synchronized

EVERY = {one.id: one for one in registry.every()}


def finding(name: str, verdict: Verdict, instance: str = "") -> Finding:
    return EVERY[name].given(Judgement(verdict, ""), instance)


@pytest.mark.parametrize("name", lists())
def test_each_item_has_a_title_in_both_languages_and_checks_that_exist(name: str) -> None:
    one = lists()[name]
    ids = [item.id for item in one.items]
    assert len(ids) == len(set(ids))
    for item in one.items:
        assert item.title.keys() == {"en", "ko"}, item.id
        assert item.checks or item.note, item.id
        for pattern in item.checks:
            assert any(fnmatchcase(check, pattern) for check in EVERY), pattern


def test_the_lists_are_whole() -> None:
    assert [item.id for item in lists()["kisa"].items] == [f"D-{n:02}" for n in range(1, 27)]
    assert len(lists()[CHECKLIST].items) == 23
    boxed = {c for item in lists()[CHECKLIST].items for c in item.checks}
    tagged = [one.id for one in EVERY.values() if CHECKLIST in one.sources]
    assert [c for c in tagged if not any(fnmatchcase(c, p) for p in boxed)] == ["secrets.beside"]


def test_checks_name_the_items_that_they_judge() -> None:
    assert {"kisa: D-08", "isms-p: 2.7.1"} <= set(EVERY["postgres.password-hash"].sources)
    assert "kisa: D-10" in EVERY["redis.bind"].sources
    assert "cis: MongoDB 4.3" in EVERY["mongodb.encryption"].sources


def test_the_worst_finding_decides() -> None:
    good, bad = finding("redis.bind", "pass"), finding("postgres.bind", "fail")
    known = finding("redis.logins-known", "unknown")
    items = {one.item.id: one for one in by_item([good, bad, known], ["kisa"])}
    assert items["D-10"].verdict == "fail"
    assert items["D-10"].found("en") == "postgres.bind"
    assert items["D-02"].verdict == "unknown"
    assert items["D-01"].found("en") == "no check applies here"
    assert items["D-12"].verdict == "not_applicable"
    assert items["D-12"].found("ko") == "Oracle 전용"
    assert [one.item.id for one in by_item([good], ["kisa: D-10"])] == ["D-10"]
    assert [one.item.id for one in by_item([finding("mongodb.encryption", "pass")], ["cis"])] == [
        "MongoDB 4.3"
    ]


def test_what_passes_names_the_servers_of_which_nothing_was_judged() -> None:
    found = [
        finding("redis.logins-known", "pass", "queue"),
        finding("postgres.logins-known", "not_applicable", "legacy"),
    ]
    (item,) = by_item(found, ["kisa: D-02"])
    assert item.verdict == "pass"
    assert item.found("en").endswith("redis.logins-known; not judged: legacy")
    assert "legacy" in item.found("ko")
    (whole,) = by_item(found[:1], ["kisa: D-02"])
    assert whole.found("en") == "redis.logins-known"


def test_a_password_has_all_kinds_of_characters() -> None:
    assert all_kinds([("a", "aB3-")]).verdict == "pass"
    assert all_kinds([("a", "aB3-"), ("b", "abc3-")]).evidence == "b"


def test_histories_are_private_and_show_no_password(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    for home in (good, bad):
        home.mkdir()
    (good / ".psql_history").write_text("SELECT password FROM users;\n\\password shop\n")
    (good / ".psql_history").chmod(0o600)
    assert list(histories([good, tmp_path / "none"])) == []
    (bad / ".rediscli_history").write_text("get x\nAUTH hunter2hunter2\n")
    (bad / ".rediscli_history").chmod(0o644)
    assert [one.replace(str(bad), "") for one in histories([bad])] == [
        "/.rediscli_history (644)",
        "a password in /.rediscli_history",
    ]


def test_the_clock_is_asked() -> None:
    assert synchronized() in {True, False}
