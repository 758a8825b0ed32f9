"""Documents of a stream, as they are put into messages."""

from __future__ import annotations

import bson
import pytest

from mngdb.engines.mongodb import collections
from mngdb.errors import StepError

DOCUMENTS = [bson.encode({"_id": number, "text": "x" * number}) for number in range(200)]
STREAM = b"".join(DOCUMENTS)


@pytest.mark.parametrize("piece", [1, 7, 100, 1000, len(STREAM)])
@pytest.mark.parametrize("most", [1, 500, len(STREAM)])
def test_groups_are_of_whole_documents_wherever_the_stream_is_cut(piece: int, most: int) -> None:
    pieces = (STREAM[at : at + piece] for at in range(0, len(STREAM), piece))
    found = list(collections.groups(pieces, most))
    assert b"".join(group for group, _ in found) == STREAM
    for group, count in found:
        assert len(bson.decode_all(group)) == count
        assert len(group) <= most or count == 1


def test_no_group_has_more_documents_than_a_server_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collections, "_MOST", 3)
    assert {count for _, count in collections.groups([STREAM], len(STREAM))} == {3, 2}


def test_a_stream_that_is_cut_off_is_told() -> None:
    with pytest.raises(StepError, match="cut off"):
        list(collections.groups([STREAM[:-1]], 1 << 20))
