"""Key patterns of apps that overlap, told from those that do not."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mngdb.engines.redis.patterns import overlap, shared, shared_channels
from mngdb.spec.redis import RedisGrant
from tests.unit.spec import stack

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


def _with(one: str, other: str) -> dict[str, RedisGrant]:
    grants = stack(f"redis: {{}}\napps: {{a: {{redis: {one}}}, b: {{redis: {other}}}}}")
    return grants.instances["redis"].granted(RedisGrant)


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ("{for: socket.io}", "{for: socket.io}", ["a and b (socket.io#*)"]),
        ("{keys: 'a:*', for: socket.io}", "{keys: 'b:*', for: socket.io}", []),
        ("{keys: 'a:*', channels: ['x:*']}", "{keys: 'b:*', channels: ['x:1']}", ["x:*, x:1"]),
        ("{keys: 'a:*', for: spring-session}", "{keys: 'b:*', for: spring-session}", []),
        (
            "{keys: 'a:*', channels: ['__redis__:invalidate']}",
            "{keys: 'b:*', channels: ['__redis__:invalidate']}",
            [],
        ),
        ("{keys: 'a:*', for: actioncable}", "{keys: 'b:*', for: actioncable}", []),
    ],
)
def test_apps_that_share_channels_are_told(one: str, other: str, said: list[str]) -> None:
    grants = _with(one, other)
    assert not shared(grants)
    told = shared_channels(grants)
    assert len(told) == len(said)
    assert all(part in text for text, part in zip(told, said, strict=True))


def test_one_software_with_two_prefixes_shares_nothing() -> None:
    grants = _with("{keys: 'a:*', for: redisson}", "{keys: 'b:*', for: redisson}")
    assert shared(grants) == shared_channels(grants) == []
    # one prefix below the other's, and a name that drops signs
    assert shared(_with("{keys: 'a:*', for: redisson}", "{keys: 'a:b:*', for: redisson}"))
    assert shared(_with("{keys: 'a-b:*', for: huey}", "{keys: 'ab:*', for: huey}"))


def test_hundreds_of_apps_take_no_time() -> None:
    assert _shared(**{f"app{n}": [f"app{n}:*", f"tmp:app{n}:*"] for n in range(2000)}) == []
