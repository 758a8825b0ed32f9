"""The logs that the agent sets aside."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from mngdb.agent import watch
from tests.live.scrapes import until


def test_a_line_that_is_written_meanwhile_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that appends, as servers do, while its log is set aside; only between the last byte
    copied and the emptying it writes nothing."""
    path = tmp_path / "written.log"
    writer = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    stop, count, gate = threading.Event(), 0, threading.Lock()
    reads: list[int] = []

    def write() -> None:
        nonlocal count
        while not stop.is_set():
            with gate:
                os.write(writer, f"line {count}\n".encode())
                count += 1
            time.sleep(0.002)

    def read_on(handle: int, size: int) -> bytes:
        gate.acquire()
        found = os.read(handle, size)
        if found:
            gate.release()
            reads.append(len(found))
            if len(reads) < 4:
                more = count
                until(lambda: count > more)
        return found

    def empty(handle: int, size: int) -> None:
        os.ftruncate(handle, size)
        gate.release()

    monkeypatch.setattr(
        watch, "os", SimpleNamespace(**{**vars(os), "read": read_on, "ftruncate": empty})
    )
    thread = threading.Thread(target=write)
    thread.start()
    try:
        until(lambda: count > 50)
        watch.set_aside(path)
        copied = count
        until(lambda: count > copied + 10)
    finally:
        stop.set()
        thread.join()
        os.close(writer)
    old = path.with_name("written.log.1").read_text().splitlines()
    new = path.read_text().splitlines()
    assert len(reads) >= 4
    assert len(old) > 50
    assert new
    assert old + new == [f"line {number}" for number in range(count)]
