"""What removed much is found in the log of each engine, wherever the log is cut into pieces."""

from __future__ import annotations

import datetime
import json
import random
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import bson
import pytest
from bson import Timestamp
from msgspec import Struct

from mngdb.engines.mongodb.oplog import position
from mngdb.engines.mongodb.removals import removals as of_mongodb
from mngdb.engines.postgres.removals import NAMES
from mngdb.engines.postgres.removals import removals as of_postgres
from mngdb.engines.redis.removals import removals as of_redis
from mngdb.engines.redis.wire import pack
from mngdb.errors import MngdbError, UsageError
from mngdb.ops.backup.moments import command, shown
from mngdb.ops.backup.removals import _later
from mngdb.snapshot import Piece, Point, Removal, Taken

_BEGIN, _END = 1000, 1_700_000_000.0


class Log(Struct, frozen=True):
    """A snapshot's log, in pieces."""

    pieces: Sequence[Piece]
    point: Point
    version: str = "17.10"
    streams: dict[str, bytes] = {}
    parents: tuple[()] = ()
    until: None = None
    stop: None = None

    @property
    def taken(self) -> Taken:
        """What leads to it."""
        words: Any = {"kind": "full", "product": "", "source": "", "position": {}}
        return Taken(version=self.version, log=self.point, **words)

    @property
    def names(self) -> tuple[str, ...]:
        """The streams of the snapshot."""
        return tuple(self.streams)

    def log(self) -> Iterator[Piece]:
        """Its pieces."""
        yield from self.pieces

    def read(self, name: str) -> Iterator[bytes]:
        """One of them."""
        yield self.streams[name]


def whole(data: bytes, begin: int) -> Piece:
    """A piece, each byte of which is there by the moment that is its position."""
    stamps = tuple((n, float(begin + n)) for n in range(1, len(data) + 1))
    return Piece(begin, begin + len(data), data, stamps)


def cut(data: bytes, begin: int, seed: int, sizes: Sequence[int]) -> list[Piece]:
    """A log in pieces of about these sizes, which overlap here and there."""
    chance, found, at = random.Random(seed), [], 0
    while at < len(data):
        part = data[at : at + chance.choice(sizes)]
        found.append(whole(part, begin + at))
        at = max(at + 1, at + len(part) - chance.choice((0, 0, 3)))
        if found[-1].end == begin + len(data):
            break
    return found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("before-last-flushall", "flushall"),
        ("before 'DROP TABLE orders'", "DROP TABLE orders"),
        ('before last "drop  orders";', '"drop orders"'),
        ("BEFORE flushdb", "flushdb"),
        ("2026-11-21 14:03:07", None),
        ("beforehand", None),
    ],
)
def test_a_time_may_name_a_command(text: str, found: str | None) -> None:
    assert command(text) == found


def test_a_time_that_names_none_is_refused() -> None:
    with pytest.raises(UsageError, match="names no command"):
        command("before ''")


# --- Redis

_LOOKS = b"*1\r\n$8\r\nFLUSHALL\r\n" * 3


def _packed(*commands: Sequence[Any]) -> list[bytes]:
    return [pack(one) for one in commands]


@pytest.mark.parametrize("seed", range(20))
def test_redis(seed: int) -> None:
    packed = _packed(
        *(("SELECT", "0"), ("SET", "FLUSHALL", _LOOKS), ("flushall", "ASYNC"), ("PING",)),
        *(("SELECT", "3"), ("MSET", *["k", _LOOKS] * 500), ("FLUSHDB",), ("DEL", "FLUSHDB")),
        *(("MULTI",), ("SET", "a", "b"), ("FLUSHALL",), ("EXEC",), ("SET", "a", "$")),
    )
    data, starts = b"".join(packed), [len(b"".join(packed[:n])) for n in range(len(packed) + 1)]
    found = list(of_redis(Log(cut(data, _BEGIN, seed, (1, 7, 100, 5000)), Point("a", _BEGIN))))
    assert [one.text for one in found] == ["FLUSHALL", "FLUSHDB 3", "FLUSHALL"]
    assert [one.position - _BEGIN for one in found] == [starts[2], starts[6], starts[10]]
    assert [one.moment - _BEGIN for one in found] == [starts[3], starts[7], starts[11]]
    assert "FLUSHALL" in found[1].commands


def test_redis_from_the_middle_of_a_piece() -> None:
    first, second = _packed(("FLUSHALL",), ("FLUSHDB",))
    found = list(of_redis(Log([whole(first + second, _BEGIN)], Point("a", _BEGIN + len(first)))))
    assert [one.text for one in found] == ["FLUSHDB"]


def test_redis_with_a_gap_is_told() -> None:
    with pytest.raises(MngdbError, match="missing"):
        list(of_redis(Log([whole(pack(("PING",)), _BEGIN + 1)], Point("a", _BEGIN))))


# --- MongoDB


def _entry(at: int, kind: str, where: str, what: dict[str, Any]) -> bytes:
    wall = datetime.datetime.fromtimestamp(at, datetime.UTC)
    one = {"op": kind, "ns": where, "o": what, "ts": Timestamp(at, 1), "wall": wall}
    return bson.encode(one)


def test_mongodb() -> None:
    entries = [
        _entry(1, "i", "shop.a", {"_id": 1, "op": "c", "drop": "no"}),
        _entry(2, "c", "shop.$cmd", {"drop": "a"}),
        _entry(3, "i", "shop.b", {"_id": 1}),
        _entry(4, "c", "shop.$cmd", {"drop": "b"}),
        _entry(5, "i", "other.b", {"_id": 1}),
        _entry(6, "c", "shop.$cmd", {"drop": "system.buckets.c"}),
        _entry(7, "c", "shop.$cmd", {"dropDatabase": 1}),
        _entry(8, "c", "config.$cmd", {"drop": "own"}),
        _entry(9, "c", "more.$cmd", {"drop": "a"}),
        _entry(10, "c", "admin.$cmd", {"applyOps": [{"op": "i", "ns": "more.b", "o": {}}]}),
        _entry(11, "c", "more.$cmd", {"dropDatabase": 1}),
    ]
    at = [position(Timestamp(n, 1)) for n in range(12)]
    pieces = [
        Piece(at[0], at[6], b"".join(entries[:6]), ()),
        Piece(at[4], at[11], b"".join(entries[4:]), ()),
    ]
    found = list(of_mongodb(Log(pieces, Point("a", at[1]))))
    assert [(one.text, one.position, one.moment) for one in found] == [
        ("drop shop.a", at[2] - 1, 2),
        ("drop shop.b", at[4] - 1, 4),
        ("drop shop.c", at[6] - 1, 6),
        ("dropDatabase shop", at[4] - 1, 4),
        ("drop more.a", at[9] - 1, 9),
        ("dropDatabase more", at[11] - 1, 11),
    ]


# --- PostgreSQL

_PAGE, _SEGMENT = 8192, 1 << 20


class Wal:
    """Writes a log as the server does: pages with headers, records that go on over their end."""

    def __init__(self, begin: int) -> None:
        self.begin = begin
        self.data = bytearray()

    @property
    def end(self) -> int:
        """The next record's position."""
        at = self.begin + len(self.data) + -len(self.data) % 8
        return at if at % _PAGE else at + self._header(at)

    @staticmethod
    def _header(at: int) -> int:
        return 24 if at % _SEGMENT else 40

    def _raw(self, data: bytes, flags: int = 0) -> None:
        while data:
            at = self.begin + len(self.data)
            if at % _PAGE == 0:
                size = self._header(at)
                self.data += struct.pack("<HH", 0xD116, flags | (2 if size > 24 else 0)).ljust(size)
                at += size
            part = data[: _PAGE - at % _PAGE]
            self.data += part
            data = data[len(part) :]

    def record(self, manager: int, info: int, who: int, content: bytes, flags: int = 0) -> int:
        """Write one, whose position is returned."""
        self._raw(bytes(-len(self.data) % 8))
        at, length = self.end, 24 + len(content)
        head = struct.pack("<IIQBBHI", length, who, 0, info, manager, 0, 0)
        self._raw(head + content, flags)
        return at

    def fill(self) -> None:
        """Write nothing into the rest of the segment."""
        while (at := self.begin + len(self.data)) % _SEGMENT:
            self._raw(bytes(_PAGE - at % _PAGE if at % _PAGE else _PAGE - self._header(at)))

    def commit(self, who: int, dropped: Sequence[tuple[int, int, int]], *, wide: bool) -> int:
        """The end of a transaction with two children and a dropped file."""
        form = "<iIQ" if wide else "<iII"
        items = b"".join(struct.pack(form, *one) for one in dropped)
        when = round((_END + who - 946_684_800) * 1e6)
        own = struct.pack("<qIQIIIIIII", when, 0x107, 5, 2, who + 1, who + 2, 1, 6, 6, 6)
        own += struct.pack("<i", len(dropped)) + items
        return self.record(1, 0x80, who, b"\xfe" + struct.pack("<I", len(own)) + own)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_postgres(seed: int, wide: bool) -> None:
    chance, wal = random.Random(seed), Wal(3 * _SEGMENT + 80)
    begin = wal.begin

    def others(who: int, commits: bool = True) -> int:
        for _ in range(chance.randrange(400)):
            wal.record(10, 0, who, chance.randbytes(chance.randrange(3000)))
        wal.record(1, 0, who, b"\xff\x08" + bytes(8)) if commits else None
        return wal.end

    others(7)
    table = wal.commit(20, [(2, 5, 99), (2, 5, 100), (2, 6, 100)], wide=wide)
    wal.record(0, 0x40, 0, b"")  # the rest of the segment is empty
    wal.fill()
    before = others(8)
    wal.record(10, 0, 30, b"the database's first")
    others(9)
    wal.commit(30, [(1, 5, 0)], wide=wide)
    others(10, commits=False)
    # a crash in the middle of a record, which the server then gives up
    wal.record(10, 0, 40, bytes(20_000))
    cut_off = (wal.begin + len(wal.data)) // _PAGE * _PAGE - wal.begin
    del wal.data[cut_off:]
    wal.record(10, 0, 41, b"what came instead", flags=8)
    last = wal.commit(50, [(2, 5, 100)], wide=wide)
    younger = wal.commit(60, [(2, 5, 998), (2, 5, 999)], wide=wide)
    names = {"5": ["shop", {"100": "public.orders", "101": "public.others"}]}
    log = Log(
        cut(bytes(wal.data), begin, seed, (9, 5000, 100_000)),
        Point("a", begin),
        "18.1" if wide else "17.10",
        {NAMES: json.dumps(names).encode()},
    )
    found = list(of_postgres(log))
    assert [(one.text, one.position, one.moment - _END) for one in found] == [
        ("DROP TABLE shop.public.orders", table, 20),
        ("DROP DATABASE shop", before, 30),
        ("DROP TABLE shop.public.orders", last, 50),
        ("DROP TABLE", younger, 60),
    ]
    assert [one.unnamed for one in found] == [False, False, False, True]


def test_an_older_drop_is_not_taken_for_a_later_one_without_a_name_in_silence() -> None:
    def dropped(moment: float, *, unnamed: bool = True) -> Removal:
        return Removal(1, moment, ("DROP TABLE",), "" if unnamed else "a.b", unnamed=unnamed)

    found = dropped(1000.0, unnamed=False)
    assert _later(found, [dropped(900.0)]) == ()
    (note,) = _later(found, [dropped(900.0), dropped(2000.0), dropped(3000.0)])
    assert note.count("1970-01-01") == 2
    assert f"'{shown(1999.999)}'" in note
