"""Reads the keys of an RDB file, in parts by all processors."""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

from mngdb.engines.redis.keys import parts, report
from mngdb.engines.redis.keys.dump import Batch, Dump
from mngdb.engines.redis.keys.names import shown
from mngdb.engines.redis.keys.scale import Scale
from mngdb.engines.redis.keys.tally import Tally
from mngdb.errors import UsageError
from mngdb.facts.keys import BigKey, Interruptible, KeysReport, Progress, Wanted

#: Bytes of a part: a second's work or so. Each processor gets several, so that none ends late.
_PART, _EACH = (8 << 20, 32 << 20), 8
#: Processors to use at most: each has a part in memory.
_PROCESSORS = 16

Stopped = Callable[[], bool]


class _Found:
    """What was read so far."""

    def __init__(self, only: int | None, progress: Progress) -> None:
        self.tally = Tally()
        self.read = 0
        self._announced: dict[int, int] = {}
        self._database = 0
        self._only = only
        self._begun = time.perf_counter()
        self._progress = progress

    def take(self, part: parts.Read) -> None:
        """Have the next part too."""
        for given, keys in part.announced.items():
            self._announced[self._database if given is None else given] = keys
        for given, tally in part.tallies.items():
            database = self._database if given is None else given
            self.read += tally.seen
            if self._only in {None, database}:
                self.tally.merge(tally, database)
        if part.last is not None:
            self._database = part.last
        self._tell()

    def add(self, dump: Dump, batch: Batch) -> None:
        """Have what a whole file gives next too."""
        database = dump.database or 0
        self.read += len(batch[0])
        self._announced = {n or 0: keys for n, keys in dump.announced.items()}
        if self._only in {None, database}:
            self.tally.add(database, *batch)
        self._tell()

    def _tell(self) -> None:
        took = time.perf_counter() - self._begun
        self._progress(self.read, sum(self._announced.values()), took)

    @property
    def databases(self) -> dict[int, int]:
        """Number of a database to its keys, as the file says."""
        return {n: keys for n, keys in self._announced.items() if self._only in {None, n}}


def look(
    path: Path, wanted: Wanted, progress: Progress, interruptible: Interruptible
) -> KeysReport:
    """The report. An interruption ends it with what was seen so far. Raises UsageError."""
    begun = time.perf_counter()
    with interruptible() as stopped:
        found = _side_by_side(path, _Found(wanted.database, progress), stopped)
        if found is None:
            found = _in_one(path, _Found(wanted.database, progress), stopped)
        complete = not stopped()
    tally, databases = found.tally, found.databases
    left = sum(databases.values()) - tally.seen
    notices = ["sizes are estimates for the encodings of Redis 8; a live server reports its own"]
    if complete and left > 0:
        notices.append(
            f"{left:,} keys are streams or module types, which cannot be read from a file"
        )
    big = [
        BigKey(kind, one.database, shown(one.key), one.size, 0, None)
        for kind, candidates in tally.candidates().items()
        for one in candidates[: wanted.top]
    ]
    big.sort(key=lambda one: -one.bytes)
    scale = Scale(tally.seen, tally.seen, True, False)
    return report.report(
        path.name, wanted, tally, scale, big,
        expected=sum(databases.values()), sampled=False, complete=complete, databases=databases,
        used_memory=None, seconds=time.perf_counter() - begun, server_seconds=None,
        notices=tuple(notices),
    )  # fmt: skip


def _in_one(path: Path, found: _Found, stopped: Stopped) -> _Found:
    dump = Dump(path)
    for batch in dump.batches():
        found.add(dump, batch)
        if stopped():
            break
    return found


def _side_by_side(path: Path, found: _Found, stopped: Stopped) -> _Found | None:
    """None: it cannot be read so. What is wrong with it shows when it is read in one."""
    processors = min(_PROCESSORS, len(os.sched_getaffinity(0)))
    try:
        size = path.stat().st_size
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    least, most = _PART
    if processors < 2 or size < 2 * least:
        return None
    each = max(least, min(most, size // (_EACH * processors)))
    # where this process is killed, nothing is left over that anybody has to hear of
    os.environ.setdefault("PYTHONWARNINGS", "ignore::UserWarning:multiprocessing.resource_tracker")
    try:
        with ProcessPoolExecutor(
            processors, get_context("spawn"), initializer=parts.alone, initargs=(os.getpid(),)
        ) as pool:
            try:
                return _taken(path, pool, parts.cut(path, each), 2 * processors, found, stopped)
            finally:
                pool.shutdown(cancel_futures=True)
    except (UsageError, OSError, BrokenProcessPool):
        # damaged, cut where no key begins, or too much for the memory that there is
        return None


@contextmanager
def _shielded() -> Iterator[None]:
    """What is started meanwhile is not ended by Ctrl-C before it can say that it ignores it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _taken(
    path: Path, pool: ProcessPoolExecutor, cut: Iterator[parts.Part], ahead: int, found: _Found,
    stopped: Stopped,
) -> _Found | None:  # fmt: skip
    """Every part in its order; so many are begun ahead."""
    waiting: deque[Future[parts.Read]] = deque()
    while True:
        for part in islice(cut, ahead - len(waiting)):
            with _shielded():  # it may start a worker
                waiting.append(pool.submit(parts.read, path, part))
        if not waiting or stopped():
            return found
        read = waiting.popleft().result()
        found.take(read)
        if not read.proved:
            return None
