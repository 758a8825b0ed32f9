"""The limit of what snapshots read per second: `backup: {rate: 50mb/s}`."""

from __future__ import annotations

import threading
import time

from mngdb import stopping
from mngdb.snapshot import Writer


class Pace:
    """Holds whoever takes bytes, in any thread, so that all of them together take no more than
    `rate` per second."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._lock = threading.Lock()
        self._paid = 0.0
        """When (monotonic) all that was taken so far has had its time."""

    def take(self, size: int) -> None:
        """Take so many bytes: waits for the time that they have. Raises KeyboardInterrupt when the
        command stops."""
        with self._lock:
            now = time.monotonic()
            self._paid = max(self._paid, now) + size / self.rate
            wait = self._paid - now
        stopping.sleep(wait)


class PacedWriter:
    """A stream that is written at this pace."""

    def __init__(self, writer: Writer, pace: Pace) -> None:
        self._writer = writer
        self._pace = pace

    def write(self, data: bytes | memoryview) -> int:
        """Take the next bytes, once it is their time. Raises MngdbError."""
        self._pace.take(memoryview(data).nbytes)
        return self._writer.write(data)
