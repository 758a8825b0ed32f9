"""What may be a name of an app, an instance, a database, a collection, a field, a key pattern."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mngdb.errors import SpecError
from mngdb.spec.yaml12 import dump
from tests.unit.spec import refused, stack

#: Never a name of anything: unprintable, or nothing at all.
NOWHERE = ["", "a\x00b", "a\nb", "a\x1b[31mb", "\u202eb", "a\x7f"]
#: Not plain, though an engine could quote it.
ODD = [
    "a'b", 'a"b', "a;b", "a b", "café", "a$b", "a-- b", "-- ", "a--b", "a__b", "-a", "a-", "1a",
    "A", "a.b", "a/b", "../a", "a" * 41, "${", "a:b", "*", "%s",
]  # fmt: skip


@pytest.mark.parametrize("name", [*NOWHERE, *ODD])
def test_the_names_of_apps_instances_and_stacks_are_plain(name: str) -> None:
    refused(dump({"postgres": {}, "apps": {name: {"postgres": "x"}}}))
    refused(dump({"instances": {name: {"engine": "redis"}}}))
    refused(dump({"name": name, "postgres": {}}))


@pytest.mark.parametrize("name", ["a", "chat-app", "a_b", "a1", "null", "true", "on", "a" * 40])
def test_a_plain_name_is_taken(name: str) -> None:
    found = stack(dump({"name": name, "redis": {}, "apps": {name: {"redis": "x:*"}}}))
    assert found.name == name
    assert list(found.apps) == [name]


@pytest.mark.parametrize(
    "name", ["admin", "default", "postgres", "root", "public", "keyfile", "pg_monitor", "pg-a"]
)
def test_logins_of_the_engines_are_no_names_of_apps(name: str) -> None:
    assert f"{name!r} is reserved" in refused(dump({"redis": {}, "apps": {name: {"redis": "x"}}}))


def test_the_name_of_an_instance_has_no_underscore() -> None:
    assert "cannot contain '_'; use '-'" in refused("instances: {a_b: {engine: redis}}")


@pytest.mark.parametrize(
    "name",
    [*NOWHERE, "a" * 64, "é" * 32, "template1", "all", "replication", "@x", "/x", "+x", " a"],
)
def test_a_database_that_postgresql_cannot_name_is_refused(name: str) -> None:
    refused(dump({"postgres": {}, "apps": {"a": {"postgres": name}}}))
    refused(dump({"postgres": {}, "apps": {"a": {"postgres": {"database": name}}}}))


@pytest.mark.parametrize("name", ["a'b", 'a"b', "a;b", "a b", "café", "a$b", "-- x", "A", "select"])
def test_what_postgresql_can_quote_is_a_name_of_a_database(name: str) -> None:
    found = stack(dump({"postgres": {}, "apps": {"a": {"postgres": name}}}))
    assert getattr(found.apps["a"]["postgres"], "database", None) == name


@pytest.mark.parametrize(
    "name", [*NOWHERE, *'/\\. "$*<>:|?', "a.b", "a" * 64, "admin", "Local", "config"]
)
def test_a_database_that_mongodb_cannot_name_is_refused(name: str) -> None:
    refused(dump({"mongodb": {}, "apps": {"a": {"mongodb": name}}}))
    refused(dump({"mongodb": {"databases": {name: {}}}}))


def index_on(collection: str, field: str) -> str:
    index = {"keys": {field: 1}}
    return dump({"mongodb": {"databases": {"shop": {"indexes": {collection: [index]}}}}})


@pytest.mark.parametrize("name", [*NOWHERE, "a$b", "system.users", ".a", "a.", "a..b", "a" * 181])
def test_a_collection_that_mongodb_cannot_name_is_refused(name: str) -> None:
    refused(index_on(name, "x"))


@pytest.mark.parametrize("name", [*NOWHERE, "$a", "a.$b", "a..b", ".a", "a.", "_id"])
def test_a_field_that_mongodb_cannot_index_is_refused(name: str) -> None:
    refused(index_on("users", name))


@pytest.mark.parametrize(
    ("collection", "field"),
    [("users", "a.b"), ("a-b", "$**"), ("é; drop", "a.$**"), ("a.b", "x y")],
)
def test_collections_and_fields_that_mongodb_takes_are_taken(collection: str, field: str) -> None:
    stack(index_on(collection, field))


@pytest.mark.parametrize(
    "pattern",
    [
        *NOWHERE,
        "a b",
        "a\tb",
        "a'b",
        'a"b',
        "a\\b",
        "[ab]*",
        "(a)",
        "a" * 257,
        "x ~* +@all",
        "a\u00a0b",
    ],
)
def test_a_key_pattern_that_an_acl_rule_cannot_hold_is_refused(pattern: str) -> None:
    refused(dump({"redis": {}, "apps": {"a": {"redis": pattern}}}))
    refused(dump({"redis": {}, "apps": {"a": {"redis": ["ok:*", pattern]}}}))
    refused(dump({"redis": {}, "apps": {"a": {"redis": {"keys": ["x"], "channels": [pattern]}}}}))


@pytest.mark.parametrize(
    "pattern", ["chat:*", "a;b", "a?", "-- x".replace(" ", ""), "café:*", "$a"]
)
def test_other_key_patterns_are_taken(pattern: str) -> None:
    found = stack(dump({"redis": {}, "apps": {"a": {"redis": pattern}}}))
    assert getattr(found.apps["a"]["redis"], "keys", None) == [pattern]


@given(st.text(max_size=70))
def test_what_is_taken_as_a_name_anywhere_can_be_printed(name: str) -> None:
    for shape in (
        {"postgres": {}, "apps": {"a": {"postgres": name}}},
        {"mongodb": {}, "apps": {"a": {"mongodb": name}}},
        {"redis": {}, "apps": {"a": {"redis": name}}},
        {"mongodb": {"databases": {"d": {"indexes": {name: [{"keys": {name: 1}}]}}}}},
    ):
        try:
            stack(json.dumps(shape))  # escapes what YAML folds
        except SpecError as error:
            said = error.message
        else:
            said = name
        assert all(line.isprintable() for line in said.split("\n") if said is not name)
        assert said is not name or name.isprintable()
