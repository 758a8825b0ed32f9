"""Checks: their descriptions (YAML) and their judges (the modules beside) match."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from msgspec.structs import replace

import mngdb.checks
from mngdb.checks import catalogue, registry
from mngdb.data import texts
from mngdb.findings import SEVERITIES, About, not_applicable
from mngdb.spec.engine_info import ENGINE_INFO

FILES = sorted(
    file
    for file in Path(mngdb.checks.__file__).parent.rglob("*.yaml")
    if file.stem != "scan"  # rules for files of a project, not checks
    and file.parent.name not in {"controls", "formats"}  # lists of them, and how they are shown
)
CHECKS = {one.id: one for one in (*registry.every(), *registry.of("env"))}
FIELDS = {"title", "severity", "setting", "nowhere", "expected", "remedy", "sources", "about"}
FIELDS |= {"hosted", "on_request"}


def test_every_entry_is_a_check_and_every_check_has_one_entry() -> None:
    entries = [name for file in FILES for name in texts(str(file)) if name != "about"]

    assert len(entries) == len(set(entries))
    assert set(entries) == set(CHECKS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_entries_have_the_fields_that_are_read(file: Path) -> None:
    entries = texts(str(file))
    assert entries.pop("about", "stack") in get_args(About)
    for name, entry in entries.items():
        assert entry.get("about", "stack") in get_args(About), name
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
    assert check.engine not in ENGINE_INFO or check.about in {"member", "instance"}


def test_the_password_of_a_login_is_replaced_by_a_rotation() -> None:
    """Without it, apps are refused until they have read the new one. What cannot be read cannot be
    rotated."""
    apart = [one for one in CHECKS.values() if "from the vault" in one.remedy]
    unrotated = [one.id for one in apart if "mngdb rotate" not in one.remedy]
    assert unrotated == ["secrets.usable"]


@pytest.mark.parametrize(
    ("name", "about"),
    [
        *(("redis.timeout", "member"), ("redis.version", "member"), ("redis.acl-keys", "instance")),
        *(("postgres.log-slow", "member"), ("postgres.password-encryption", "member")),
        *(("postgres.logins-known", "instance"), ("postgres.index-twice", "instance")),
        *(("mongodb.replication-lag", "member"), ("mongodb.indexes", "instance")),
        *(("mongodb.tls-version", "member"), ("mongodb.backup-proved", "instance")),
        *(("host.account", "member"), ("host.boot", "machine"), ("secrets.present", "stack")),
        *(("stack.logins", "instance"), ("stack.alerts", "stack")),
    ],
)
def test_a_check_is_about_a_member_the_instance_or_what_is_around(name: str, about: str) -> None:
    check = replace(CHECKS[name], judge=lambda _: not_applicable(""))
    found = check.finding(None, "queue", "mng-queue")

    assert check.about == about
    assert found.member == found.as_json()["member"] == ("mng-queue" if about == "member" else None)


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
