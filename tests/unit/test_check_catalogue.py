"""Checks: their descriptions (YAML) and their judges (the modules beside) match."""

from __future__ import annotations

from pathlib import Path

import pytest

import mngdb.checks
from mngdb.checks import catalogue, registry
from mngdb.data import texts
from mngdb.findings import SEVERITIES, not_applicable

FILES = sorted(
    file
    for file in Path(mngdb.checks.__file__).parent.rglob("*.yaml")
    if file.stem != "scan"  # rules for files of a project, not checks
)
CHECKS = {one.id: one for one in (*registry.every(), *registry.of("env"))}
FIELDS = {"title", "severity", "setting", "expected", "remedy", "sources"}


def test_every_entry_is_a_check_and_every_check_has_one_entry() -> None:
    entries = [name for file in FILES for name in texts(str(file))]

    assert len(entries) == len(set(entries))
    assert set(entries) == set(CHECKS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_entries_have_the_fields_that_are_read(file: Path) -> None:
    for name, entry in texts(str(file)).items():
        assert not entry.keys() - FIELDS, name
        assert entry["severity"] in SEVERITIES, name
        assert isinstance(entry["sources"], list), name
        assert all(len(line) <= 100 for line in file.read_text("utf-8").splitlines()), file


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_says_what_it_expects_and_what_mends_it(name: str) -> None:
    check = CHECKS[name]

    assert check.title
    assert check.expected
    assert check.remedy
    assert "%s" not in check.remedy
    assert check.sources


def test_an_id_without_an_entry_is_an_error() -> None:
    with pytest.raises(KeyError, match="redis\\.nothing"):
        catalogue.checks(str(FILES[0]), {"redis.nothing": lambda _: not_applicable("")})


@pytest.mark.parametrize(
    ("wanted", "good", "bad"),
    [
        ("on", ["on"], ["off", "", "On"]),
        (["replica", "logical"], ["logical"], ["minimal", ""]),
        ({"from": "0", "to": "0.2"}, ["0", "0.2", "0.05"], ["0.3", "-1"]),
        ({"from": "2"}, ["2", "10"], ["1"]),
        ({"to": "2"}, ["-1", "2"], ["3"]),
    ],
)
def test_a_wanted_value_is_one_a_list_or_a_range(
    wanted: str | list[str] | dict[str, str], good: list[str], bad: list[str]
) -> None:
    assert all(map(catalogue.good(wanted), good))
    assert not any(map(catalogue.good(wanted), bad))
