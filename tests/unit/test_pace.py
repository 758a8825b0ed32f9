"""The limit of what snapshots read per second."""

from __future__ import annotations

import threading
import time

import pytest

from mngdb.ops.backup.pace import Pace, PacedWriter
from mngdb.spec.file import Backup


class Taken:
    """Counts bytes."""

    size = 0

    def write(self, data: bytes | memoryview) -> int:
        """Take them."""
        self.size += len(data)
        return len(data)


def test_several_streams_share_it() -> None:
    pace, streams = Pace(1_000_000), [Taken() for _ in range(4)]

    def work(stream: Taken) -> None:
        writer = PacedWriter(stream, pace)
        for _ in range(10):
            writer.write(bytes(20_000))

    begun = time.monotonic()
    threads = [threading.Thread(target=work, args=(one,)) for one in streams]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    took = time.monotonic() - begun
    assert sum(one.size for one in streams) == 800_000
    assert took == pytest.approx(0.8, rel=0.2)


def test_what_was_not_taken_is_not_saved_up() -> None:
    pace = Pace(1_000_000)
    pace.take(1)
    time.sleep(0.3)
    begun = time.monotonic()
    pace.take(200_000)
    assert time.monotonic() - begun > 0.19


@pytest.mark.parametrize(
    ("text", "rate"), [("50MB/s", 50 << 20), ("1.5 kb/s", 1536), ("1g/S", 1 << 30)]
)
def test_a_rate_as_people_write_it(text: str, rate: int) -> None:
    assert Backup(rate=text).rate == rate  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["50MB", "0b/s", "50/s", "fast", 50])
def test_what_is_no_rate(text: object) -> None:
    with pytest.raises(ValueError, match="not a rate"):
        Backup(rate=text)  # type: ignore[arg-type]
