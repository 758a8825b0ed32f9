"""Documents are found in a server's reply, and their digest does not depend on their order."""

from __future__ import annotations

import hashlib
from typing import Any

import bson
import pytest
from bson import Int64, Timestamp

from mngdb.engines.mongodb.collections import Digest
from mngdb.engines.mongodb.raw import batch
from mngdb.errors import StepError

_OTHERS: dict[str, Any] = {"partialResultsReturned": True, "at": Timestamp(3, 4), "ns": "a.b"}


def _reply(count: int, **others: Any) -> tuple[list[bytes], bytes]:
    found = [{"_id": number, "text": "x" * (number % 7)} for number in range(count)]
    reply = {**others, "nextBatch": found, "id": Int64(count << 40), "more": {"a": None}}
    return [bson.encode(one) for one in found], bson.encode(reply)


@pytest.mark.parametrize("count", [0, 1, 10, 11, 100, 101, 1_000, 1_001])
def test_all_documents_of_a_reply_are_found(count: int) -> None:
    for others in ({}, _OTHERS, {"text": "", "null": None, "double": 1.5}):
        wanted, reply = _reply(count, **others)
        documents, cursor = batch(reply)
        assert (list(map(bytes, documents)), cursor) == (wanted, count << 40)


def test_a_reply_that_is_cut_off_is_told() -> None:
    _, reply = _reply(12, **_OTHERS)
    for end in range(len(reply) - 1):
        with pytest.raises(StepError):
            batch(reply[:end])


def _digest(documents: list[bytes], like: str = "") -> str:
    digest = Digest(like)
    for one in documents:
        digest.add([memoryview(one)])
    return digest.text


def test_a_digest_is_of_the_documents_in_any_order() -> None:
    found, _ = _reply(30)
    digest = _digest(found)
    assert digest == _digest(found[::-1])
    changed = [found[0][:-2] + b"y\0", *found[1:]]
    assert len({digest, _digest(found[1:]), _digest([*found, found[0]]), _digest(changed)}) == 4


def test_a_digest_of_an_older_version_is_compared_with() -> None:
    found, _ = _reply(30)
    old = f"{sum(int(hashlib.sha256(one).hexdigest(), 16) for one in found) % (1 << 256):064x}"
    assert _digest(found, old) == old
    assert _digest(found[1:], old) != old
