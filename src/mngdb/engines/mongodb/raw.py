"""BSON as it comes and goes, without an object for each document.

The driver's own raw batches make one for each all the same, which takes a second of processor time
for a million of them. https://bsonspec.org/spec.html
"""

from __future__ import annotations

import struct

from mngdb.errors import StepError

_SIZE, _ID = struct.Struct("<i"), struct.Struct("<q")
_STRING, _ARRAY, _LONG = 0x02, 0x04, 0x12
#: Bytes of values that have always as many: double, bool, date, null, int32, timestamp, int64.
_FIXED = {0x01: 8, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, _LONG: 8}
_BATCHES = {b"firstBatch", b"nextBatch"}


def batch(cursor: bytes | memoryview) -> tuple[list[memoryview], int]:
    """The documents of a reply's `cursor`, and its id, which is 0 at the end. Raises StepError."""
    view = memoryview(cursor)
    documents: list[memoryview] = []
    found, at = 0, _SIZE.size
    try:
        while kind := view[at]:
            begin = at + 1
            while view[at := at + 1]:
                pass
            name, at = bytes(view[begin:at]), at + 1
            size = _FIXED[kind] if kind in _FIXED else _SIZE.unpack_from(view, at)[0]
            if kind == _ARRAY and name in _BATCHES:
                documents = _elements(view[at : at + size])
            elif kind == _LONG and name == b"id":
                (found,) = _ID.unpack_from(view, at)
            at += size + (_SIZE.size if kind == _STRING else 0)
    except (struct.error, IndexError):
        raise StepError("the server's reply is cut off") from None
    return documents, found


def _elements(array: memoryview) -> list[memoryview]:
    """The documents of an array: each has its type before it, and its number with a zero."""
    found, at, end = [], _SIZE.size, len(array) - 1
    number, digits, more = 0, 1, 10
    size_of = _SIZE.unpack_from
    while at < end:
        if number == more:
            digits, more = digits + 1, 10 * more
        at, number = at + digits + 2, number + 1
        (size,) = size_of(array, at)
        found.append(array[at : at + size])
        at += size
    return found
