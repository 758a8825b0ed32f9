"""The JSON Schema takes what mngdb takes, and refuses the keys that mngdb refuses."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mngdb.errors import UsageError
from mngdb.spec import source
from mngdb.spec.presets import presets
from mngdb.spec.schema import schema
from mngdb.spec.yaml12 import dump
from tests.unit.files import DESIGN, LONG
from tests.unit.spec import stack

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(ROOT.glob("examples/*/mngdb.yaml"))
CHECK = Draft202012Validator(schema())


def plain(text: str) -> Any:
    return source.parse(text, "f", {}).data


def loads(data: Any) -> bool:
    try:
        stack(dump(data))
    except UsageError:
        return False
    return True


def mappings(tree: Any, trail: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The trail of every mapping in a tree."""
    if isinstance(tree, dict):
        yield trail
        for key, value in tree.items():
            yield from mappings(value, (*trail, key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from mappings(value, (*trail, index))


def at(tree: Any, trail: tuple[Any, ...]) -> Any:
    for part in trail:
        tree = tree[part]
    return tree


def test_it_is_a_json_schema() -> None:
    Draft202012Validator.check_schema(schema())


def test_there_are_examples() -> None:
    assert {path.parent.name for path in EXAMPLES} >= {"mng-db", "chat-app"}


def test_keys_with_nothing_after_them_are_empty() -> None:
    text = "redis:\napps:\n  shop:\n"
    CHECK.validate(plain(text))
    assert stack(text).apps == {"shop": {}}
    text = "redis:\napps:\n  # shop: {redis: x}\n"
    CHECK.validate(plain(text))
    assert stack(text).apps == {}


@pytest.mark.parametrize("name", [*presets(), "celerry"])
def test_software_fits_the_schema_exactly_where_mngdb_takes_it(name: str) -> None:
    said: tuple[str | list[str], ...] = (name, [name], [name, name], [])
    keys: tuple[dict[str, Any], ...] = ({}, {"keys": "a:*"}, {"keys": ["a:*", "b:*"]})
    for software, right in itertools.product(said, keys):
        for app in ({"for": software, "redis": right}, {"redis": right | {"for": software}}):
            tree = {"redis": {"port": 6379}, "apps": {"a": app}}
            assert CHECK.is_valid(tree) == loads(tree), app


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_an_example_loads_and_fits_the_schema(path: Path) -> None:
    CHECK.validate(plain(path.read_text()))
    assert stack(path.read_text()).instances


def test_the_chat_example_has_the_guides_seven_indexes() -> None:
    spec: Any = stack((ROOT / "examples/chat-app/mngdb.yaml").read_text()).instances["mongodb"].spec
    found = {
        (collection, index.label, index.unique, index.ttl is not None)
        for collection, indexes in spec.databases["chatdb"].indexes.items()
        for index in indexes
    }
    assert found == {
        ("users", "username_1", True, False),
        ("messages", "roomId_1_createdAt_-1", False, False),
        ("messages", "senderId_1_createdAt_-1", False, False),
        ("rooms", "participants_1", False, False),
        ("refreshtokens", "userId_1_isRevoked_1", False, False),
        ("refreshtokens", "jti_1", True, False),
        ("refreshtokens", "expiresAt_1", False, True),
    }


@pytest.mark.parametrize("text", [DESIGN, LONG], ids=["design", "long"])
def test_short_and_long_forms_load_and_fit_the_schema(text: str) -> None:
    assert stack(text)
    CHECK.validate(plain(text))


@pytest.mark.parametrize(
    "text",
    [
        "postgres:\n  port: $${PORT}\n  slow: $${SLOW:-1s}\n",
        "tls: $${TLS}\nredis: {eviction: '$${EVICTION}'}\n",
    ],
)
def test_a_variable_may_stand_where_a_number_or_a_word_may(text: str) -> None:
    CHECK.validate(plain(text))


@pytest.mark.parametrize("text", [DESIGN, LONG], ids=["design", "long"])
def test_a_key_more_is_refused_by_both_or_by_none_at_every_level(text: str) -> None:
    data = plain(text)
    refused = 0
    for trail in mappings(data):
        if trail[-1:] == ("keys",):
            continue  # an index's fields are free; a second field of a TTL index is another matter
        changed = copy.deepcopy(data)
        at(changed, trail)["zzz"] = 1
        assert loads(changed) == CHECK.is_valid(changed), trail
        refused += not loads(changed)
    assert refused > 15


@pytest.mark.parametrize("text", [DESIGN, LONG], ids=["design", "long"])
def test_a_key_less_is_refused_by_both_or_by_none(text: str) -> None:
    data = plain(text)
    for trail in mappings(data):
        for key in at(data, trail):
            if trail in ((), ("instances",)) or key in ("port", "target"):
                continue  # an app needs the instance, two would share a port: no schema knows that
            changed = copy.deepcopy(data)
            del at(changed, trail)[key]
            assert loads(changed) == CHECK.is_valid(changed), (*trail, key)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_what_mngdb_takes_the_schema_takes(data: st.DataObject) -> None:
    changed = copy.deepcopy(plain(data.draw(st.sampled_from([DESIGN, LONG]))))
    trail = data.draw(st.sampled_from(list(mappings(changed))))
    container = at(changed, trail)
    key = data.draw(st.sampled_from([*container, "zzz"]))
    container[key] = data.draw(
        st.none()
        | st.booleans()
        | st.integers(-1, 70_000)
        | st.sampled_from(
            ["24h", "0", "64mb", "70%", "local", "files", "03:00", "x:*", "", "17.6", "owner"]
        )
        | st.just([])
        | st.just({})
        | st.just(["x"])
    )
    if loads(changed):
        assert CHECK.is_valid(changed), (*trail, key, container[key])
