"""A program that makes a data folder is ended with everything that it started."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from mngdb import stopping
from mngdb.model import Unit
from mngdb.targets.local.prepare import Preparation
from mngdb.targets.process.logs import Started

#: Has a child that goes on writing when the shell alone is killed, as initdb's and cp's do.
_WRITES = 'while :; do mkdir -p "$1/base"; echo x >> "$1/base/1"; done & wait'


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that nobody has interrupted yet."""
    monkeypatch.setattr(stopping, "_asked", threading.Event())


def _preparation(begun: list[int], then: Callable[[Path], None], folder: Path) -> Preparation:
    prepare = ("/bin/sh", "-c", _WRITES, "init", "{data}")
    unit = Unit("mng-pg", "postgres", "postgres", argv=("none",), files=(), prepare=prepare)

    def begin(argv: Sequence[str]) -> Started:
        process = subprocess.Popen(argv, start_new_session=True)
        begun.append(process.pid)
        then(folder)
        return Started(process, folder.parent / "log", 0)

    return Preparation(unit, None, begin, None, "owner")


def _at_once(_: Path) -> None:
    stopping.stop()


def _once_it_writes(folder: Path) -> None:
    def stop() -> None:
        while not (folder / "base").exists():
            time.sleep(0.005)
        stopping.stop()

    threading.Thread(target=stop, daemon=True).start()


@pytest.mark.parametrize("then", [_at_once, _once_it_writes])
def test_ctrl_c_leaves_nothing_that_writes(tmp_path: Path, then: Callable[[Path], None]) -> None:
    folder, begun = tmp_path / "data.new", list[int]()
    folder.mkdir()
    try:
        with pytest.raises(KeyboardInterrupt):
            _preparation(begun, then, folder).make(folder)
        assert _session(begun[0]) == []
    finally:
        for pid in _session(begun[0]):
            os.kill(pid, 9)


def _session(leader: int) -> list[int]:
    """Processes of a session that still run."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            stat = (place / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue  # it ended in between
        if stat[3] == str(leader) and stat[0] not in "ZX":
            found.append(int(place.name))
    return found
