"""Streams in a store: cut into parts, each of them an object that is sealed by itself.

Parts are written and read side by side, so that several processors compress, encrypt and hash; one
that a busy store refuses is tried again alone.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, repeat
from types import TracebackType
from typing import Self, TypeVar

from mngdb import stopping, waits
from mngdb.stores import MissingError, Store, StoreError
from mngdb.stores.manifest import Part, Stream
from mngdb.stores.sealing import Opener, Sealer, UnreadableError, digest

T = TypeVar("T")

#: Bytes of a part. A few of them are in memory at a time.
PART = 8 << 20
#: Threads that read, and so parts that are worked on at a time; those that write are more where
#: there are few processors, since each of them waits for the disk, too, after each part.
_THREADS = max(2, min(4, len(os.sched_getaffinity(0))))
_WRITERS = 4
#: Seconds between two attempts of an object that the store did not take, the last one again and
#: again; and in which there are any: one that was away for ten minutes is asked once more. One that
#: has never answered this process may be set up wrongly.
_PAUSES, _PATIENCE, _FIRST = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0), 720.0, 30.0
#: Seconds after which people are told.
_SILENT = 2.0
#: The places of those that have answered.
_known: set[str] = set()

#: For mallopt(3): what is freed stays (M_TRIM_THRESHOLD), also where it was much
#: (M_MMAP_THRESHOLD), for any thread (M_ARENA_MAX).
_MALLOC = ((-1, 64 << 20), (-3, 32 << 20), (-8, 1))

#: Told of every part: bytes of the content, and bytes that they take in the store.
Progress = Callable[[int, int], None]


#: Bytes of a file's name that are a stream's: file systems take 255 in all, and the name of a file
#: that is being written is longer.
_LONGEST = 200
#: What no name in a store may have: a point at its beginning, and what is not ASCII's. The last
#: word of a stream's name has `%` for what its engine has escaped.
_UNSAFE, _IN_FOLDERS = re.compile(r"^\.|[^ -~]|[\\~]"), re.compile(r"^\.|[^ -~]|[\\~%]")


def object_key(snapshot: str, stream: str, number: int) -> str:
    """The key of a stream's part, in the snapshot whose keys begin with `snapshot`. Streams have
    names that apps chose; the manifest has them in full."""
    *folders, name = stream.split("/")
    words = (*(_safe(one, _IN_FOLDERS) for one in folders), _safe(name, _UNSAFE))
    return f"{snapshot}/{'/'.join(words)}.{number:06d}.zst.age"


def _safe(name: str, unsafe: re.Pattern[str]) -> str:
    found = unsafe.sub(lambda it: _percents(it[0]), name)
    if len(found) <= _LONGEST:
        return found
    mark = digest(name.encode(errors="surrogatepass"))[:16]
    return f"{found[: _LONGEST - 1 - len(mark)]}~{mark}"


def _percents(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode(errors="surrogatepass"))


def patiently(where: str, action: Callable[[], T]) -> T:
    """Do it, again and again while the store in a place is away: for ten minutes, or half of one
    where it has not answered this process before. What is waited for is said. Raises StoreError."""
    begun, pauses = time.monotonic(), chain(_PAUSES, repeat(_PAUSES[-1]))
    while True:
        try:
            done = action()
        except StoreError as error:
            if not error.passing:
                _known.add(where)
                raise
            pause, now = next(pauses), time.monotonic()
            patience = _PATIENCE if where in _known else min(_FIRST, _PATIENCE)
            if now + pause > begun + patience:
                raise
            if now + pause > begun + _SILENT:
                left = begun + patience - now
                waits.begin(f"{error.message}; trying again for at most {left:.0f} s")
        else:
            _known.add(where)
            waits.over(f"{where} answers again")
            return done
        stopping.sleep(pause)


def keep_memory() -> None:
    """Have the C library keep the memory of parts and segments for the next ones, in a process that
    works on many: to get it anew from the kernel for each costs as much as age does. Best before
    there are threads."""
    import ctypes

    with contextlib.suppress(AttributeError):  # another library than glibc
        for option in _MALLOC:
            ctypes.CDLL(None).mallopt(*option)


class StreamWriter:
    """Writes one stream: a file that only takes bytes. It is whole when the block ends without an
    error; `done` is then what the manifest says of it."""

    def __init__(
        self, store: Store, sealer: Sealer, snapshot: str, name: str, progress: Progress
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._snapshot = snapshot
        self._name = name
        self._progress = progress
        self._buffer, self._held = memoryview(bytearray(PART)), 0
        self._free: list[memoryview] = []
        self._size = 0
        self._parts: list[Part] = []
        self._begun = 0
        self._waiting: deque[Future[Part]] = deque()
        self._pool = ThreadPoolExecutor(_WRITERS, "mngdb-store")

    def write(self, data: bytes | memoryview) -> int:
        """Take the next bytes. Raises StoreError, also for what was written before."""
        left = memoryview(data)
        while left:
            piece, left = left[: PART - self._held], left[PART - self._held :]
            self._buffer[self._held : self._held + len(piece)] = piece
            self._held += len(piece)
            if self._held == PART:
                self._begin()
        return len(data)

    @property
    def done(self) -> Stream:
        """The stream as it is in the store."""
        return Stream(self._name, self._size, tuple(self._parts))

    def _begin(self) -> None:
        while len(self._waiting) >= _WRITERS:
            self._take()
        key = object_key(self._snapshot, self._name, self._begun)
        self._begun += 1
        self._size += self._held
        self._waiting.append(self._pool.submit(self._put, key, self._buffer[: self._held]))
        self._held = 0
        # the same memory again and again: new one costs the kernel as much as age does
        self._buffer = self._free.pop() if self._free else memoryview(bytearray(PART))

    def _put(self, key: str, data: memoryview) -> Part:
        sealed = self._sealer.seal(data)
        part = Part(len(data), len(sealed), digest(data), digest(sealed))
        self._free.append(data)
        patiently(self._store.place, lambda: self._store.put(key, sealed))
        return part

    def _take(self) -> None:
        part = self._waiting.popleft().result()
        self._parts.append(part)
        self._progress(part.size, part.stored)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                if self._held or not self._begun:
                    self._begin()
                while self._waiting:
                    self._take()
        finally:
            self._pool.shutdown(cancel_futures=True)


def read(
    store: Store, opener: Opener, snapshot: str, stream: Stream, progress: Progress
) -> Iterator[bytes]:
    """The content of a stream, part by part. What is not as the manifest says is told by the key of
    its object: raises UnreadableError, StoreError."""
    waiting: deque[Future[bytes]] = deque()
    todo = iter(range(len(stream.parts)))

    def fetch(number: int) -> bytes:
        part = stream.parts[number]
        key = object_key(snapshot, stream.name, number)
        sealed = fetched(store, key, part)
        try:
            return opener.open(sealed, part.size)
        except UnreadableError as error:
            raise UnreadableError(f"{store.place}/{key} {error.message}", error.hint) from None

    with ThreadPoolExecutor(_THREADS, "mngdb-store") as pool:
        try:
            while True:
                while len(waiting) <= _THREADS and (number := next(todo, None)) is not None:
                    waiting.append(pool.submit(fetch, number))
                if not waiting:
                    break
                data = waiting.popleft().result()
                part_size = len(data)
                yield data
                progress(part_size, part_size)
        finally:
            pool.shutdown(cancel_futures=True)


def fetched(store: Store, key: str, part: Part) -> bytes:
    """An object's bytes, which are those that were stored. Raises UnreadableError, StoreError."""
    try:
        data = patiently(store.place, lambda: store.get(key, part.stored))
    except MissingError:
        raise UnreadableError(f"{store.place}/{key} is missing") from None
    if len(data) != part.stored:
        raise UnreadableError(f"{store.place}/{key} has {len(data)} bytes instead of {part.stored}")
    if digest(data) != part.stored_sha256:
        raise UnreadableError(f"{store.place}/{key} is damaged: its SHA-256 does not match")
    return data
