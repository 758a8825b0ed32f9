"""The Korean pages say all that the English ones do. A change of wording in English does not fail
here: `scripts/korean`, a step of `just lint`, tells of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import asdict

from mngdb.alerts.catalogue import RULES
from mngdb.alerts.rules import Rule
from mngdb.checks import registry
from mngdb.ops.runbooks import korean
from mngdb.ops.runbooks.words import ENGLISH, KOREAN

ROOT = Path(__file__).parents[2]
HANGUL = re.compile("[가-힣]")
#: What the checklist shows, of every engine that a stack may have.
LISTED = [one for one in registry.every() if one.severity in {"critical", "high"}]
#: Servers run and respond; they neither live nor talk. A secret is 시크릿, a query 쿼리.
ODD = re.compile(
    "금고|비밀(?!번호)|기계|죽|살아 있|돕니다|도는|멈춘|질의|말합니다|묻습니다|거두|거둔|쥐고"
)


def labels(text: str) -> set[str]:
    """What is filled in."""
    return set(re.findall(r"\{\w+\}", text))


def quoted(text: str) -> set[str]:
    """Commands, keys and messages: 'so' on a terminal, `so` on a page."""
    return set(re.findall(r"(?<!\w)'([^']+)'(?!\w)", text)) | set(re.findall(r"`([^`]+)`", text))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_alert_says_in_korean_what_it_says_in_english(rule: Rule) -> None:
    found = korean.rule(rule)
    for said, english in (
        (found.summary, rule.summary),
        (found.description, rule.description),
    ):
        assert HANGUL.search(said)
        assert labels(said) == labels(english)
        assert quoted(english) <= quoted(said)


def test_every_check_of_the_list_has_a_korean_title() -> None:
    assert [one.id for one in LISTED if not HANGUL.search(korean.title(one))] == []
    for one in LISTED:
        commands = {word for word in quoted(one.title) if word.startswith("mngdb")}
        assert commands <= quoted(korean.title(one)), one.id


def test_no_text_is_of_what_is_no_more() -> None:
    assert set(korean.texts("alerts")) <= {rule.name for rule in RULES}
    assert set(korean.texts("checks")) <= {one.id for one in registry.every()}


def test_every_sentence_of_the_pages_is_there_in_korean() -> None:
    found = asdict(KOREAN)
    for key, english in asdict(ENGLISH).items():
        if key == "ending":
            continue
        pairs = (
            [(found[key][one], english[one]) for one in english]
            if isinstance(english, dict)
            else [(found[key], english)]
        )
        for said, meant in pairs:
            assert HANGUL.search(said), key
            assert labels(said) == labels(meant), key
            assert quoted(said) == quoted(meant), key


def test_the_words_are_those_of_korean_documents() -> None:
    texts = [(ROOT / "README.ko.md").read_text(), str(asdict(KOREAN))]
    texts += [str(korean.texts(of)) for of in ("alerts", "checks")]
    assert [found for text in texts for found in ODD.findall(text)] == []


def test_english_that_changed_since_is_told_and_can_be_accepted(tmp_path: Path) -> None:
    def told(*options: str) -> str:
        return subprocess.run(
            [sys.executable, ROOT / "scripts/korean", "--folder", tmp_path, *options],
            text=True,
            capture_output=True,
            check=True,
        ).stdout

    for of in ("alerts", "checks"):
        text = (Path(korean.__file__).parent / f"{of}.ko.yaml").read_text()
        (tmp_path / f"{of}.ko.yaml").write_text(text)
    told("--accept")
    assert told() == ""
    path = tmp_path / "checks.ko.yaml"
    fresh = path.read_text()
    path.write_text(re.sub(r"(?<=^redis.bind:\n  english: ).*", "of before", fresh, flags=re.M))
    assert "redis.bind" in told()
    assert "of before" in told()
    told("--accept")
    assert path.read_text() == fresh
