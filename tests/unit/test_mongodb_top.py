"""What MongoDB's `top` says of thousands of collections, read in little memory."""

from __future__ import annotations

import tracemalloc
from math import isnan
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument

from mngdb.engines.mongodb.client import RAW, Refused
from mngdb.engines.mongodb.metric_data import Data

_KINDS = ("total", "readLock", "writeLock", "queries", "getmore", "insert", "update", "commands")


def _reply(totals: dict[str, Any]) -> bytes:
    return bson.encode({"totals": {"note": "all times in microseconds", **totals}, "ok": 1.0})


def _looked(reply: bytes) -> Data:
    def ask(name: str, *_: Any, raw: bool = False, **__: Any) -> Any:
        if name == "top":
            return RawBSONDocument(reply, RAW) if raw else bson.decode(reply)
        raise Refused("of no interest here")

    data = Data()
    data.look(ask, (), float("inf"))
    return data


def _told(reply: bytes) -> dict[tuple[str, str], float]:
    """Metric and collection to what `top` said of it."""
    data = _looked(reply)
    return {
        (family.name, dict(sample.labels)["collection"]): sample.value
        for family in data.families()
        for sample in family.samples
        if family.name.startswith("mongodb_top_")
    }


def test_each_number_is_told_and_what_one_collection_lacks_is_not() -> None:
    used = {"total": {"time": 7, "count": 2}, "insert": {"time": 3, "count": 1}}
    found = _told(_reply({"shop.a": used, "shop.b": {"total": {"time": 9, "count": 4}}}))
    assert found["mongodb_top_total_time", "a"] == 7
    assert found["mongodb_top_total_count", "b"] == 4
    assert found["mongodb_top_insert_count", "a"] == 1
    assert ("mongodb_top_insert_count", "b") not in found
    assert not any(map(isnan, found.values()))


def test_of_thousands_of_collections_little_is_in_memory_at_once() -> None:
    used = {kind: {"time": 1_000_000, "count": 1_000} for kind in _KINDS}
    reply = _reply({f"bench{n % 200}.items{n // 200}": used for n in range(2_000)})
    tracemalloc.start()
    try:
        _looked(reply)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * len(reply), f"{peak / len(reply):.1f} times the reply"
