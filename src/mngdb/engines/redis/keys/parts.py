"""An RDB file in parts that are read side by side, although the format has no marks to begin at.

A likely beginning is searched for. Whether it was one shows when the part before it is read: it
gets an end of file behind it, and its reader must come to that end just there.
https://github.com/redis/redis: rdb.h, rdb.c; https://rdb.fnordig.de/file_format.html
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from msgspec import Struct

from mngdb.engines.redis.keys.dump import Dump
from mngdb.engines.redis.keys.tally import Tally

#: "REDIS" and the version.
_HEADER = 9
#: End of file, and a checksum by which the end is known as ours.
_CHECKSUM = b"mngdb-ok"
_END = b"\xff" + _CHECKSUM
#: What a key may begin with: its expiry, what eviction knows of it, or its type.
_BEGINS = frozenset({0xFC, 0xFD, 0xF8, 0xF9, *range(32)})
#: Bytes to search for a beginning, bytes to try it with, and how often.
_SEARCH, _TRY, _TRIES = 1 << 16, 1 << 18, 300
#: Keys to read for that, and how many of them may be none.
_KEYS, _ASTRAY = 64, 48
_PR_SET_PDEATHSIG = 1


class Part(Struct, frozen=True):
    """Bytes of a file. `last`: they go to its end."""

    begin: int
    end: int
    last: bool


class Read(Struct, frozen=True):
    """What a part has. Database None: that of the last key of the part before."""

    tallies: dict[int | None, Tally]
    announced: dict[int | None, int]
    last: int | None
    """The database that it ends in."""
    proved: bool
    """Whether the next part begins where a key does."""


def alone(parent: int) -> None:
    """A terminal's Ctrl-C is for the parent; without it there is nothing to do."""
    gc.set_threshold(500_000)  # nothing here is a cycle, and looking for one takes long
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def cut(path: Path, size: int) -> Iterator[Part]:
    """Parts of about so many bytes, where beginnings are found. Raises OSError."""
    whole = path.stat().st_size
    begin = 0
    with path.open("rb") as file:
        header = file.read(_HEADER)
        target = size
        while target < whole - size // 2:
            file.seek(target)
            found = _beginning(header, file.read(_SEARCH + _TRY))
            if found is not None:
                yield Part(begin, target + found, last=False)
                begin = target = target + found
            target += size
    yield Part(begin, whole, last=True)


def read(path: Path, part: Part) -> Read:
    """Read a part of a file. Raises UsageError when that cannot be, OSError."""
    with path.open("rb") as file:
        header = file.read(_HEADER) if part.begin else b""
        with _memory(header) as copy:
            at = part.begin
            while at < part.end:
                at += os.sendfile(copy, file.fileno(), at, part.end - at)
            if not part.last:
                _write(copy, _END)
            dump = Dump(path, _named(copy), None)
            tallies: dict[int | None, Tally] = {}
            for batch in dump.batches():
                tallies.setdefault(dump.database, Tally()).add(dump.database or 0, *batch)
    for tally in tallies.values():
        tally.count()
    proved = part.last or dump.checksum == _CHECKSUM
    return Read(tallies, dump.announced, dump.database, proved)


def _beginning(header: bytes, data: bytes) -> int | None:
    """Where a key seems to begin. From about anywhere a reader finds its way after a few keys: what
    it takes for keys until then may be none, those after that are."""
    likely = (at for at, byte in enumerate(data[:_SEARCH]) if byte in _BEGINS)
    for at in islice(likely, _TRIES):
        for item in reversed(_keys(header, data[at : at + _TRY], _KEYS)[_ASTRAY:]):
            found = _whereabouts(header, data, at, item)
            if found is not None:
                return found
    return None


def _whereabouts(header: bytes, data: bytes, after: int, item: Any) -> int | None:
    """Where in `data` a key begins that a reader has found there: with its type, and its expiry in
    front. A name may be written in ways that are not looked for."""
    key = item["key"]
    length = len(key)
    written = bytes([length]) if length < 64 else bytes([0x40 | length >> 8 & 0x3F, length & 0xFF])
    name = data.find(written + key, after)
    if name < 0:
        return None
    # in front stand the type and, before that, up to 20 bytes of expiry, idle time, frequency
    for begin in range(name - 1, max(after, name - 22), -1):
        if data[begin] in _BEGINS and _keys(header, data[begin : begin + _TRY], 1) == [item]:
            return begin
    return None


def _keys(header: bytes, data: bytes, count: int) -> list[Any]:
    """So many keys as they seem to be there; none when it does not look like keys."""
    from rdb import RdbDecoder

    with _memory(header + data) as copy:
        try:
            found = list(islice(RdbDecoder(_named(copy)), count))
        except ValueError:
            return []
    return found if len(found) == count and all(item.get("key") for item in found) else []


@contextmanager
def _memory(content: bytes) -> Iterator[int]:
    """A file in memory that begins so: the decoder takes names of files only."""
    copy = os.memfd_create("mngdb-rdb")
    try:
        _write(copy, content)
        yield copy
    finally:
        os.close(copy)


def _write(copy: int, content: bytes) -> None:
    while content:
        content = content[os.write(copy, content) :]


def _named(copy: int) -> Path:
    return Path(f"/proc/self/fd/{copy}")
