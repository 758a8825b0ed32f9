"""Key patterns of apps that overlap, told from those that do not."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mngdb.engines.redis.patterns import overlap, shared
from mngdb.spec.redis import RedisGrant

WORDS = st.text("ab:", max_size=5)
PATTERNS = st.text("ab:*?", min_size=1, max_size=6)


@given(PATTERNS, PATTERNS, WORDS)
def test_a_key_that_matches_both_is_an_overlap(one: str, other: str, key: str) -> None:
    if fnmatchcase(key, one) and fnmatchcase(key, other):
        assert overlap(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("shop:*", "cart:*"), ("shop", "shop:*"), ("a*:x", "a*:y"), ("??", "a"), ("shop:*", "sh?p")],
)
def test_patterns_without_a_common_key(one: str, other: str) -> None:
    assert not overlap(one, other)
    assert not overlap(other, one)


def _shared(**keys: list[str]) -> list[str]:
    return shared({app: RedisGrant(keys=patterns) for app, patterns in keys.items()})


def test_each_two_apps_are_told_once() -> None:
    assert _shared(shop=["shop:*", "x"], cart=["cart:*", "shop:*", "x"], mail=["mail:*"]) == [
        "cart and shop (shop:*)"
    ]
    assert _shared(a=["*"], b=["b:*"], c=["c:*"]) == ["a and b (*, b:*)", "a and c (*, c:*)"]


def test_an_app_that_may_only_read_shares_on_purpose() -> None:
    grants = {
        "shop": RedisGrant(keys=["shop:*"]),
        "viewer": RedisGrant(keys=["shop:*"], access="readonly"),
    }
    assert shared(grants) == []


def test_hundreds_of_apps_take_no_time() -> None:
    assert _shared(**{f"app{n}": [f"app{n}:*", f"tmp:app{n}:*"] for n in range(2000)}) == []
