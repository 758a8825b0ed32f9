"""Whatever stands in a file: a stack or a refusal, soon, and never anything else."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mngdb.errors import UsageError
from mngdb.spec.yaml12 import dump
from tests.unit.spec import stack

WORDS = [
    "name", "target", "local", "external", "url", "data", "tls", "vault", "files", "path", "kind",
    "binaries", "postgres", "redis", "mongodb", "instances", "engine", "apps", "backup", "keep",
    "store", "drill", "at", "daily", "every", "version", "port", "bind", "memory", "settings",
    "databases", "indexes", "keys", "unique", "sparse", "ttl", "partial", "database", "access",
    "channels", "commands", "extensions", "save", "after", "changes", "slow", "timeout", "eviction",
    "owner", "readonly", "noeviction", "70%", "64mb", "24h", "03:00", "17.10", "${X}", "$${", "<<",
    "redis://h", "redis://u:p@h", "127.0.0.1", "10.0.0.1", "chat:*", "app", "a-b", "$**", "+keys",
]  # fmt: skip
WORD = st.sampled_from(WORDS) | st.text(max_size=8)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, width=32) | WORD
TREE = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORD, inner, max_size=5),
    max_leaves=25,
)
FULL = {
    "name": "mng",
    "target": {"local": {"data": "/d"}},
    "vault": {"files": {"path": "s"}},
    "postgres": {"version": 17, "port": 5432, "bind": ["127.0.0.1"], "settings": {"work_mem": 1}},
    "redis": {"save": [{"after": "1m", "changes": 1}], "memory": "70%"},
    "mongodb": {
        "databases": {"d": {"indexes": {"c": [{"keys": {"a": 1}, "partial": {"a": {"x": 0.5}}}]}}}
    },
    "instances": {"q": {"engine": "redis", "port": 6380}},
    "apps": {"a": {"postgres": {"database": "x"}, "redis": ["a:*"], "mongodb": "d", "q": "q:*"}},
    "backup": {"keep": {"daily": 1}, "at": "03:00", "drill": {"every": "90d"}},
}

quick = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def judge(text: str) -> None:
    try:
        stack(text, X="x")
        said = "taken"
    except UsageError as error:
        said = error.message
    assert 0 < len(said) < 20_000
    assert all(line.isprintable() for line in said.split("\n"))


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a tree."""
    if not isinstance(tree, dict | list):
        return []
    found = list(tree.items()) if isinstance(tree, dict) else list(enumerate(tree))
    return [(tree, key) for key, _ in found] + [p for _, value in found for p in places(value)]


@quick
@given(st.text(max_size=300))
@example("\ud800")
@example("? - &a\n  *a : x")
def test_any_text_is_a_stack_or_refused(text: str) -> None:
    judge(text)


@quick
@given(st.text(alphabet="ab:{}[],&*!|>-?%@`\"'# \n\t~$\\0", max_size=80))
def test_any_text_of_yamls_own_signs_is_a_stack_or_refused(text: str) -> None:
    judge(text)


@quick
@given(TREE)
def test_any_tree_is_a_stack_or_refused(tree: Any) -> None:
    judge(dump(tree))


@quick
@given(st.data())
def test_a_good_file_with_one_part_replaced_is_a_stack_or_refused(data: st.DataObject) -> None:
    import copy

    tree = copy.deepcopy(FULL)
    container, key = data.draw(st.sampled_from(places(tree)))
    change = data.draw(st.sampled_from(["value", "key", "both"]))
    if change == "value" or isinstance(container, list):
        container[key] = data.draw(TREE)
    else:
        value = container.pop(key)
        container[data.draw(WORD)] = value if change == "key" else data.draw(TREE)
    judge(dump(tree))


def test_the_good_file_is_a_stack() -> None:
    assert set(stack(dump(FULL)).instances) == {"postgres", "redis", "mongodb", "q"}
