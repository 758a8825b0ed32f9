"""Patterns of names: what is one of many, and that there are never too many."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mngdb.engines.redis.keys.names import Folder, Names, shown
from mngdb.engines.redis.keys.scale import Scale
from mngdb.engines.redis.keys.tally import Tally


@pytest.mark.parametrize(
    ("key", "pattern"),
    [("user:123:cart", "user:*:cart"), ("user:7", "user:*"), ("user42", "user*"),
     ("session:0f8fad5b-d9cb-469f-a165-70867728950e", "session:*"),
     ("cache:d41d8cd98f00b204e9800998ecf8427e:html", "cache:*:html"),
     ("job:01ARZ3NDEKTSV4RRFFQ69G5FAV", "job:*"), ("day:2026-01-31", "day:*-*-*"),
     ("api:v2:users:9", "api:v2:users:*"), ("v1:x", "v1:x"), ("feedface", "feedface"),
     ("deadbeefdeadbeef", "*"), ("config", "config"), ("", '""'), ("a\nb", "a*b"),
     ("사용자:12", "사용자:*"), ("{user:1}:cart", "{user:*}:cart"), ("1", "*")],
)  # fmt: skip
def test_pattern(key: str, pattern: str) -> None:
    assert Names().patterns([key.encode()])[0].decode() == pattern


_PIECES = st.sampled_from(
    [b"user", b"cafe", b"v2", b"v", b"7", b"1234", b"0f8fad5b-d9cb-469f-a165-70867728950e",
     b"ABCDEFABCDEFABCD", b"deadbeef", b"d41d8cd98f00b204e9800998ecf8427e", b"01ARZ3NDEKTSV4RRFFQ",
     b"*", b":", b"-", b".", b"/", b"\r\n$", b"\xff", "사".encode(), b"g"]
)  # fmt: skip


@given(st.lists(st.lists(_PIECES, max_size=6).map(b"".join), max_size=12))
def test_many_at_once_are_as_one_at_a_time(keys: list[bytes]) -> None:
    alone = [Names().patterns([key])[0] for key in keys]
    names = Names()
    assert names.patterns(keys) == alone
    assert names.patterns(keys) == alone
    # an ID is cut out before it is looked at: as if it had been looked at as it is
    assert alone == [Names()._learn(key) for key in keys]


def test_bytes_that_are_no_text() -> None:
    assert Names().patterns([b"\xff\xfe:\x80"]) == [b"*:*"]
    assert shown(b"a\x00\xff") == "a\\x00\\xff"


def test_words_that_are_many_become_one() -> None:
    names = [b"user:%s:%s" % (n, what) for n in (b"ann", b"bob", b"eve") for what in (b"a", b"b")]
    folder = Folder()
    assert set(folder.fold(names, 2, 1).values()) == {b"user:*:a", b"user:*:b"}
    # it stays so
    assert folder.fold([b"user:zoe:a", b"user:*:a"], 99, 1)[b"user:zoe:a"] == b"user:*:a"
    assert folder.fold([b"a", b"b", b"c"], 2, 1) == {b"a": b"a", b"b": b"b", b"c": b"c"}


def test_any_names_stay_bounded_and_none_is_lost() -> None:
    rnd = random.Random(1)
    tally = Tally()
    none = [None] * 1000
    word = lambda: bytes(rnd.choices(b"abcdefghijklmnopqrstuvwxyz", k=6))  # noqa: E731
    count = 60_000
    for _ in range(0, count, 1000):
        keys = [b":".join((word(), word(), b"x")) for _ in range(1000)]
        tally.add(0, keys, [b"string"] * 1000, [10] * 1000, none, none)
    tally.count()
    tally.shorten(40)
    found, (more, rest) = tally.patterns(40, Scale(count, count, False, False))
    assert sum(one.all.count for one in found) + rest.count == count
    assert found[0].pattern == "*:*:x"
    assert more == 0


def test_a_name_of_a_thousand_parts() -> None:
    tally = Tally()
    none = [None, None]
    tally.add(0, [b"a:" * 5000, b"b" * 100_000], [b"string"] * 2, [9, 9], none, none)
    tally.count()
    tally.shorten(1)
    assert tally.total().all == [2, 18, 162]
