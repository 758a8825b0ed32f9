"""Files that are whole or not there, and folders that are nobody else's."""

from __future__ import annotations

import os
import resource
import stat
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from mngdb import disk
from mngdb.errors import MngdbError
from mngdb.ops import crashes, probes, unfinished, wishes
from mngdb.ops.backup import chain
from mngdb.run import Account
from mngdb.secret import Secret
from mngdb.targets.atlas.auth import Credentials, Tokens
from mngdb.targets.atlas.journal import Journal
from mngdb.targets.compose.notes import Notes
from mngdb.targets.process import log_messages


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_file_is_replaced_at_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o666)
    disk.write(path, "new")
    assert (path.read_text(), mode(path)) == ("new", 0o600)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    texts = {letter * 300_000 for letter in "ab"}
    disk.write(path, "a" * 300_000)
    seen = set()

    def write() -> None:
        for text in sorted(texts) * 10:
            disk.write(path, text)

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        seen.add(path.read_text())
    assert seen <= texts


def test_a_link_in_the_files_place_is_replaced_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    (tmp_path / "file").symlink_to(victim)
    disk.write(tmp_path / "file", "secret")
    assert victim.read_text() == "untouched"
    assert not (tmp_path / "file").is_symlink()


def test_what_cannot_take_the_files_place_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError):
        disk.write(tmp_path / "file", "text")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_disk_that_takes_no_more_is_named_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="too large") as caught:
            disk.write(path, "x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.filename == str(path)
    assert (path.read_text(), [p.name for p in tmp_path.iterdir()]) == ("old", ["file"])


def test_a_private_folder_is_made_and_mended(tmp_path: Path) -> None:
    assert mode(disk.private(tmp_path / "run")) == 0o700
    (tmp_path / "run").chmod(0o777)
    assert mode(disk.private(tmp_path / "run")) == 0o700


def test_a_link_in_a_private_folders_place_is_refused_and_its_target_untouched(
    tmp_path: Path,
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir(mode=0o755)
    (tmp_path / "run").symlink_to(victim)
    with pytest.raises(MngdbError, match="not a directory"):
        disk.private(tmp_path / "run")
    assert mode(victim) == 0o755


@pytest.mark.root
def test_somebody_elses_folder_is_refused_and_untouched(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.mkdir(mode=0o755)
    os.chown(path, 12345, 12345)
    with pytest.raises(MngdbError, match="belongs to another user"):
        disk.private(path, owner=Account("nobody", 65534, 65534))
    assert (path.stat().st_uid, mode(path)) == (12345, 0o755)


@pytest.mark.root
def test_files_and_folders_are_given_to_their_owner(tmp_path: Path) -> None:
    owner = Account("nobody", 65534, 65534)
    disk.write(tmp_path / "file", "x", owner=owner)
    disk.private(tmp_path / "run", owner=owner)
    assert {(tmp_path / n).stat().st_uid for n in ("file", "run")} == {65534}


def test_a_folder_that_is_still_written_to_is_removed_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data.new-1"
    (path / "inner").mkdir(parents=True)
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                (path / "inner" / str(number)).touch()
            except OSError:
                return  # it is gone

    tries: list[float] = []

    def wait(seconds: float) -> None:
        tries.append(seconds)
        if len(tries) == 3:
            stop.set()
            writer.join()

    monkeypatch.setattr(disk, "time", SimpleNamespace(sleep=wait))
    writer = threading.Thread(target=write)
    writer.start()
    disk.remove(path)
    writer.join()
    assert not path.exists()


def test_what_a_killed_write_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    killed, own, young = ".shop.75ad960d", ".shop.previous", ".shop.01234567"
    for name in (killed, own, "shop", "shop.75ad960d", young):
        (tmp_path / name).write_text("x")
        if name != young:
            os.utime(tmp_path / name, (0, 0))
    (tmp_path / ".link.75ad960d").symlink_to("shop")
    (tmp_path / ".folder.75ad960d").mkdir()
    os.utime(tmp_path / ".link.75ad960d", (0, 0), follow_symlinks=False)
    os.utime(tmp_path / ".folder.75ad960d", (0, 0))
    disk.sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        *(own, "shop", "shop.75ad960d", young, ".link.75ad960d", ".folder.75ad960d")
    }


def test_the_nearest_folder_that_can_be_seen(tmp_path: Path) -> None:
    assert disk.nearest(tmp_path) == tmp_path
    assert disk.nearest(tmp_path / "none" / "below") == tmp_path
    assert disk.nearest(tmp_path / ("x" * 300) / "below") == tmp_path, "not even to be looked for"


def test_every_link_on_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/file").write_text("")
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "real/again").symlink_to(tmp_path / "folder/../folder/file")
    (tmp_path / "round").symlink_to("round")
    names = [one.relative_to(tmp_path.resolve()) for one in disk.links(tmp_path / "folder/again")]
    assert [str(one) for one in names] == ["folder", "real/again", "folder", "folder"]
    assert list(disk.links((tmp_path / "real/file").resolve())) == []
    assert len(list(disk.links(tmp_path / "round"))) == 40


@pytest.mark.parametrize(
    "content", [b"\xff", b"{", b"[" * 100_000, b'{"a": "b"}', b'{"a": "\xed\xa0\x80"}']
)
def test_a_damaged_note_is_none_whatever_it_says(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "note.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"note\.json is damaged"):
        disk.read_note(path, dict[str, int])
    assert disk.noted(path, dict[str, int], {"a": 7}) == {"a": 7}


def test_a_note_that_is_missing_or_empty_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "note.json"
    assert disk.read_note(path, dict[str, int]) is None
    path.write_text("")
    assert disk.noted(path, dict[str, int], {"a": 7}) == {"a": 7}
    path.write_text('{"a": 1}')
    assert disk.noted(path, dict[str, int], {}) == {"a": 1}


@pytest.mark.parametrize("content", ["[" * 100_000, "7", '[["redis", 1]]', '{"redis": [1]}'])
def test_damaged_notes_of_commands_are_none(tmp_path: Path, content: str) -> None:
    for name in ("crashes", "probes", "unfinished", "stopped"):
        (tmp_path / f"{name}.json").write_text(content)
    assert not crashes.since_up(tmp_path)
    assert not unfinished.read(tmp_path)
    assert wishes.stopped(tmp_path) == frozenset()
    assert probes.of(tmp_path, "redis") == []


def test_nested_too_deeply_is_damaged(tmp_path: Path) -> None:
    deep = "[" * 100_000
    compose, atlas = ("engine.json", "rendered.json"), ("journal.json", "token")
    for name in (*(f"compose/{one}" for one in compose), *(f"atlas/{one}" for one in atlas)):
        disk.folder((tmp_path / name).parent)
        disk.write(tmp_path / name, deep)
    notes = Notes(tmp_path)
    journal = Journal(tmp_path / "atlas")
    for read in (notes.known, notes.rendered, lambda: journal.of("cluster")):
        with pytest.raises(MngdbError, match="is damaged"):
            read()
    given = Credentials("name", Secret("x"), account=True)
    assert Tokens(given, tmp_path / "atlas", "url", lambda: ("new", 60)).token() == "new"
    assert chain.check(tmp_path, [deep.encode()]).problems == ("line 1 is damaged",)
    said = f'{{"msg": {deep}'
    assert log_messages.spoken([said])
    assert log_messages.cause(said) == said
