"""Logs that are set aside are kept as long as the file asks, and no more of them than fits."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mngdb.agent import old_logs
from mngdb.agent.watch import set_aside
from mngdb.errors import MngdbError
from mngdb.facts.logs import LargeLog
from mngdb.ops import logs
from mngdb.spec.file import Logs
from mngdb.targets.process.logs import LOG_MAX
from tests.unit.spec import refused, stack

DAY = 86_400.0
NOW = 1_700_000_000.0


def put(folder: Path, age: float, size: int) -> Path:
    path = folder / f"mng-pg.log.{int(NOW - age)}Z.gz"
    path.write_bytes(b"x" * size)
    os.utime(path, (NOW - age, NOW - age))
    return path


def test_what_was_set_aside_is_compressed_and_private(tmp_path: Path) -> None:
    log = tmp_path / "mng-pg.log"
    log.write_bytes(b"connection\n" * 1000)
    set_aside(log)
    old_logs.keep(log, Logs.model_validate("365d"), NOW)
    (old,) = tmp_path.glob("*.gz")
    assert gzip.decompress(old.read_bytes()) == b"connection\n" * 1000
    assert old.stat().st_mode & 0o777 == 0o600
    assert log.read_bytes() == b""
    assert not (tmp_path / "mng-pg.log.1").exists()


def test_a_log_is_emptied_only_once_its_copy_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "mng-pg.log"
    log.write_bytes(b"connection\n")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    for name in ("replace", "ftruncate"):
        with monkeypatch.context() as patch:
            patch.setattr(Path if name == "replace" else os, name, killed)
            with pytest.raises(KeyboardInterrupt):
                set_aside(log)
        assert log.read_bytes() == b"connection\n"
    set_aside(log)
    assert (tmp_path / "mng-pg.log.1").read_bytes() == b"connection\n"
    assert log.read_bytes() == b""


def test_a_flood_is_kept_whole_where_logs_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "mng-pg.log"
    with log.open("wb") as file:
        file.truncate(2 * LOG_MAX + 1)
    set_aside(log, whole=True)
    assert (tmp_path / "mng-pg.log.1").stat().st_size == 2 * LOG_MAX + 1


@pytest.mark.parametrize("times", [1, 9])
def test_a_flood_that_goes_on_while_it_is_copied_fills_no_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    log, left, seek = tmp_path / "mng-pg.log", [*range(times)], os.lseek
    log.write_bytes(b"first\n")

    def flooded(source: int, *where: int) -> int:
        """As each copy begins."""
        if left:
            left.pop()
            with log.open("r+b") as file:
                file.truncate(log.stat().st_size + 2 * LOG_MAX)
                file.seek(0, os.SEEK_END)
                file.write(b"last\n")
        return seek(source, *where)

    monkeypatch.setattr(os, "lseek", flooded)
    if times == 1:
        lost = set_aside(log)
        copied = (tmp_path / "mng-pg.log.1").read_bytes()
        assert (len(copied), copied[-5:], lost > 0) == (LOG_MAX, b"last\n", True)
        assert log.stat().st_size == 0
    else:
        with pytest.raises(MngdbError, match="grows faster than it is copied"):
            set_aside(log)
        assert [*tmp_path.iterdir()] == [log]
        assert log.read_bytes()[:6] == b"first\n"


def test_a_copy_of_a_log_takes_no_room_that_the_servers_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, aside = tmp_path / "mng-pg.log", tmp_path / "mng-pg.log.1"
    usage = shutil.disk_usage(tmp_path)._replace(free=(64 << 20) + 3)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    log.write_bytes(b"connection\n")
    for whole in (False, True):
        with pytest.raises(MngdbError, match="no room"):
            set_aside(log, whole=whole)
        assert [*tmp_path.iterdir()] == [log]
    assert log.read_bytes() == b"connection\n"
    aside.write_bytes(b"connection\n")
    with pytest.raises(MngdbError, match="no room"):
        old_logs.keep(log, Logs.model_validate("365d"), NOW)
    assert aside.read_bytes() == b"connection\n"
    with log.open("r+b") as file:
        file.truncate(2 * LOG_MAX)
        file.seek(0, os.SEEK_END)
        file.write(b"end")
    with pytest.raises(MngdbError, match="no room"):
        set_aside(log, whole=True)
    assert set_aside(log) == 2 * LOG_MAX
    assert (aside.read_bytes(), log.read_bytes()) == (b"end", b"")


def test_a_log_without_room_is_told_by_doctor_and_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "mng-pg.log"
    log.write_bytes(b"connection\n")
    usage = shutil.disk_usage(tmp_path)._replace(free=90 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    def large(**source: object) -> LargeLog | None:
        context: Any = SimpleNamespace(
            stack=SimpleNamespace(agent=True, source=SimpleNamespace(**{"logs": True} | source)),
            target=lambda _: SimpleNamespace(watched=SimpleNamespace(log=lambda _: log)),
        )
        instance: Any = SimpleNamespace(unit="mng-pg")
        return logs.large(context, instance)

    assert large() is None
    os.truncate(log, LOG_MAX + 1)
    found = large()
    assert found is not None
    assert (found.folder, found.size, found.free) == (str(tmp_path), LOG_MAX + 1, 90 << 20)
    # the end that fits is kept
    assert large(logs=None) is None
    usage = usage._replace(free=200 << 20)
    assert large() is None
    # what was set aside before is first
    aside = tmp_path / "mng-pg.log.1"
    aside.touch()
    os.truncate(aside, 300 << 20)
    assert large() is not None


def test_what_fills_the_disk_does_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "mng-pg.log"
    log.write_bytes(b"connection\n")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            set_aside(log)
    assert [*tmp_path.iterdir()] == [log]
    set_aside(log)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", full)
        with pytest.raises(OSError, match="No space"):
            old_logs.keep(log, Logs.model_validate("365d"), NOW)
    assert {*tmp_path.iterdir()} == {log, tmp_path / "mng-pg.log.1"}


def test_the_old_and_the_many_go(tmp_path: Path) -> None:
    log = tmp_path / "mng-pg.log"
    new, middle, old = (put(tmp_path, days * DAY, 1 << 20) for days in (1, 20, 400))
    other = tmp_path / "mng-redis.log.1.gz"
    other.write_bytes(b"x")
    old_logs.keep(log, Logs.model_validate("365d"), NOW)
    assert (new.exists(), middle.exists(), old.exists()) == (True, True, False)
    small = Logs.model_construct(keep=Logs.model_validate("365d").keep, size=1 << 20)
    old_logs.keep(log, small, NOW)
    assert (new.exists(), middle.exists(), other.exists()) == (True, False, True)


def test_the_file_says_how_long() -> None:
    assert stack("redis:\nlogs: 365d").source.logs == Logs.model_validate({"keep": "365d"})
    assert "1d at least" in refused("redis:\nlogs: 1h")
    assert "at least 64mb" in refused("redis:\nlogs: {keep: 30d, size: 1mb}")
