"""The same from an RDB file. Bytes are what Redis 8.2 would take for it, by its own layouts.

https://github.com/redis/redis: object.c, kvobj.c, listpack.c, dict.h, t_zset.c, jemalloc's classes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from mngdb.errors import UsageError

_BATCH = 2000
#: jemalloc's size classes as Redis builds it: 8 by 8 at first, then four between powers of two.
_POWERS = [1 << n for n in range(6, 40)]
_CLASSES: list[int] = [
    *range(8, 65, 8),
    *(base + base // 4 * n for base in _POWERS for n in range(1, 5)),
]
#: The same, for small sizes by index.
_SMALL = [_CLASSES[bisect_left(_CLASSES, n)] for n in range(4096)]
#: Redis' defaults: up to there a collection is packed into one piece.
_PACKED_HASH, _PACKED, _PACKED_VALUE, _PACKED_INTS = 512, 128, 64, 512
_NODE = 8192
#: Bytes in a listpack of a number with so many digits, and scores that take as little as can be.
_NUMBERS = [2, 2, 2, 3, 3, 4, 4, 5, 6, 6, *[10] * 10, 22]
_SMALL_SCORES = frozenset(map(float, range(-64, 128)))


def _allocated(size: int) -> int:
    return _SMALL[size] if size < 4096 else _CLASSES[bisect_left(_CLASSES, size)]


def _text(length: int) -> int:
    """A string on its own: header, bytes, a zero."""
    if length < 32:
        return _allocated(length + 2)
    return _allocated(length + (4 if length < 256 else 6 if length < 65536 else 10))


def _head(item: Any) -> int:
    """The key: the object, its name within it, and its expiry."""
    length = len(item["key"])
    size = 18 + length + (1 if length < 32 else 3)
    return size if item["expiry"] is None else size + 8


def _string(item: Any) -> int:
    value = item["value"]
    length = len(value)
    head = _head(item)
    if length < 20 and value.isdigit():
        return _allocated(head)
    # what fits into a cache line or so is kept within the object
    if length <= 44 and head + length + 4 <= 128:
        return _allocated(head + length + 4)
    return _allocated(head) + _text(length)


def _fits(elements: Sequence[bytes], together: int) -> bool:
    """Whether all are short enough to be packed into one piece."""
    return together <= _PACKED_VALUE or max(map(len, elements)) <= _PACKED_VALUE


def _packed(elements: Sequence[bytes]) -> int:
    """Elements in a listpack. Numbers take less than their digits; where they stand among words,
    that is left out: a byte or two each."""
    joined = b"".join(elements)
    if joined.isdigit():
        return sum([_NUMBERS[min(len(one), 20)] for one in elements])
    if len(joined) < 64:
        return len(joined) + 2 * len(elements)
    return sum([len(one) + (2 if len(one) < 64 else 4) for one in elements])


def _table(elements: int) -> int:
    """A dictionary: its buckets, a power of two."""
    return 56 + 8 * (1 << max(2, (elements - 1).bit_length()))


def _hash(item: Any) -> int:
    values = item["values"]
    head = _allocated(_head(item))
    elements = [*values, *values.values()]
    if len(values) <= _PACKED_HASH and _fits(elements, len(b"".join(elements))):
        return head + _allocated(7 + _packed(elements))
    return head + _table(len(values)) + 24 * len(values) + sum(map(_text, map(len, elements)))


def _list(item: Any) -> int:
    size = _packed(item["values"])
    head = _allocated(_head(item))
    if size < _NODE:
        return head + _allocated(7 + size)
    nodes = size // _NODE + 1
    return head + 48 + nodes * 40 + _allocated(size // nodes) * nodes


def _set(item: Any) -> int:
    members = item["members"]
    head = _allocated(_head(item))
    count = len(members)
    joined = b"".join(members)
    if count <= _PACKED_INTS and joined.replace(b"-", b"").isdigit() and b"" not in members:
        most = max(map(len, members))
        width = 2 if most < 5 else 4 if most < 10 else 8
        return head + _allocated(8 + width * count)
    if count <= _PACKED and _fits(members, len(joined)):
        return head + _allocated(7 + _packed(members))
    return head + _table(count) + 24 * count + sum(map(_text, map(len, members)))


def _zset(item: Any) -> int:
    values = item["values"]
    head = _allocated(_head(item))
    members = [member for _, member in values]
    count = len(members)
    if count <= _PACKED and _fits(members, len(b"".join(members))):
        scores = sum([2 if score in _SMALL_SCORES else 10 for score, _ in values])
        return head + _allocated(7 + scores + _packed(members))
    # a node of the skip list has one level and a third on average
    return head + 32 + _table(count) + 63 * count + sum(map(_text, map(len, members)))


_SIZES: dict[str, Callable[[Any], int]] = {
    "string": _string,
    "hash": _hash,
    "list": _list,
    "set": _set,
    "sorted_set": _zset,
}
#: As Redis calls them.
_NAMES = {**{name: name.encode() for name in _SIZES}, "sorted_set": b"zset"}

Batch = tuple[list[bytes], list[bytes], list[int], list[bool], list[None]]
"""Names, types, bytes, whether they live for ever, and whether they are idle: a file has it not."""


class Dump:
    """An RDB file that is read from `copy`. `database` is the one that is being read, `announced`
    has the keys of each as the file says, `checksum` is known at the end."""

    def __init__(self, path: Path, copy: Path | None = None, database: int | None = 0) -> None:
        self.database = database
        self.announced: dict[int | None, int] = {}
        self.read = 0
        self.checksum = b""
        self._path = path
        try:
            from rdb import RdbDecoder
        except ImportError:
            raise UsageError("reading an RDB file requires rdb-py", "pip install rdb-py") from None
        try:
            self._items: Iterator[Any] = iter(RdbDecoder(copy or path))
        except OSError as error:
            raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
        except ValueError as error:
            with Path(path).open("rb") as file:
                if file.read(6) == b"VALKEY":
                    raise UsageError(
                        f"{path} is in Valkey's own format, which is not supported",
                        "'mngdb keys' without --rdb reads from the server",
                    ) from None
            raise UsageError(
                f"{path}: not a readable RDB file: {error}",
                "use the file that BGSAVE writes (dump.rdb), not an AOF",
            ) from None

    def batches(self) -> Iterator[Batch]:
        """All keys of `database`, which changes in between. Raises UsageError for a damaged
        file."""
        while items := self._some():
            begin = 0
            for at in [n for n, item in enumerate(items) if item["type"] not in _SIZES]:
                if at > begin:
                    yield self._batch(items[begin:at])
                begin = at + 1
                item = items[at]
                if item["type"] == "select_db":
                    self.database = item["db"]
                elif item["type"] == "resize_db":
                    self.announced[self.database] = item["db_size"]
                elif item["type"] == "checksum":
                    self.checksum = item["checksum"]
            if begin < len(items):
                yield self._batch(items[begin:])

    def _batch(self, items: list[Any]) -> Batch:
        self.read += len(items)
        return (
            [item["key"] for item in items],
            [_NAMES[item["type"]] for item in items],
            [_SIZES[item["type"]](item) for item in items],
            [item["expiry"] is None for item in items],
            [None] * len(items),
        )

    def _some(self) -> list[Any]:
        try:
            return list(islice(self._items, _BATCH))
        except ValueError as error:
            raise UsageError(
                f"{self._path}: damaged after {self.read:,} keys: {error}",
                "redis-check-rdb shows details; was it still being written?",
            ) from None
