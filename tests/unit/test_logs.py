"""What is read in the servers' logs when they do not write."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mngdb.engines import log_search
from mngdb.errors import MngdbError
from mngdb.facts.denied import Denials
from mngdb.ops import logs as followed
from mngdb.spec.engine_info import bare_login
from mngdb.targets.process import log_messages, logs
from mngdb.targets.process.logs import LogFile


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "12:M 30 Nov 2026 06:06:44.7 # Can't save in background: fork: Cannot allocate memory",
            ("Can't save in background: fork: Cannot allocate memory", errno.ENOMEM),
        ),
        (
            "7:C 30 Nov 2026 06:06:44.776 # Write error saving DB on disk: No space left on device",
            ("Write error saving DB on disk: No space left on device", errno.ENOSPC),
        ),
        (
            "7:M 30 Nov 2026 06:06:44.7 # Can't save in background: fork: Resource temporarily "
            "unavailable",
            ("Can't save in background: fork: Resource temporarily unavailable", errno.EAGAIN),
        ),
        ("7:M 30 Nov 2026 06:06:44.776 # Background saving error", None),
        (
            "2026-11-30 06:06:44.776 UTC [7] 692c5c34.1a2b XX000 a@a\tx\tLOG:  could not write "
            'file "pgss_query_texts.stat": Resource temporarily unavailable',
            None,
        ),
        (
            '2026-11-30 06:06:44.776 UTC [7] LOG:  could not write file "x": Resource temporarily '
            "unavailable",
            None,
        ),
        ("2026-11-30 06:06:44.776 UTC [7] P0001 a@a\tx\tERROR:  x: Permission denied", None),
    ],
)
def test_what_kept_a_server_from_writing(line: str, told: tuple[str, int] | None) -> None:
    lines = ["a line before", line, "7:M 30 Nov 2026 06:06:44.810 # later"]
    assert log_messages.failure(lines) == told


def test_a_login_is_named_with_or_without_its_word() -> None:
    assert [bare_login(name) for name in ("role legacy", "legacy", "database x")] == [
        "legacy",
        "legacy",
        "database x",
    ]


def test_the_last_lines_are_whole_whatever_a_piece_ends_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_PIECE", 7)
    path = tmp_path / "server.log"
    lines = ["", "a line longer than a piece", "b", "", "c" * 20, "d"]
    for end in ("", "\n"):
        path.write_text("\n".join(lines) + end)
        for count in range(len(lines) + 2):
            assert logs.last(path, count) == lines[len(lines) - min(count, len(lines)) :]
        assert b"".join([*LogFile(path, None).back()][::-1]) == path.read_bytes()


def _bytes_read() -> int:
    """What this process has read of files so far."""
    return int(Path("/proc/self/io").read_text().split()[1])


def test_a_hole_in_a_log_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    path.write_text("before\n")
    os.truncate(path, 3 << 30)
    with path.open("a") as log:
        log.write("\nafter\nlast\n")
    begun = _bytes_read()
    assert logs.last(path, 2) == ["after", "last"]
    assert logs.last(path, 50) == ["after", "last"]
    *_, end = LogFile(path, None).back()
    assert end == b""
    assert _bytes_read() - begun < 100 << 20


def test_what_was_set_aside_of_a_log_is_read_too(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "server.log", None)
    log.path.write_text("new\n")
    (tmp_path / "server.log.1").write_text("old\n")
    # one that was replaced by it may have had more
    assert [*log.back()] == [b"new\n", b"old\n", b""]
    assert [log.last(count) for count in range(3)] == [[], ["new"], ["old", "new"]]
    assert log.last(9) == ["old", "new"]
    (tmp_path / "server.log.1").rename(tmp_path / "server.log.20261130T000000Z.gz")
    assert [*log.back()] == [b"new\n", b""]


def test_a_log_that_its_server_no_longer_writes_to_is_told(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    with path.open("a") as written:
        kept = os.dup(2)
        try:
            os.dup2(written.fileno(), 2)
            log = LogFile(path, os.getpid())
            assert log.lost() == ""
            path.rename(tmp_path / "server.log.old")
            assert "moved or removed" in log.lost()
            path.touch()
            assert "moved or removed" in log.lost()
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def test_a_search_tells_how_far_back_it_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    pieces = [b"%d" % (now - age) for age in (60, 600, 4000, 9000)]

    def searched(*given: bytes) -> tuple[list[int], float | None]:
        found, seen = log_search.look_back(given, lambda one: [int(now - int(one))], float)
        return [round(one, -1) for one in found], seen

    assert searched(*pieces) == ([4000, 600, 60], None)
    assert searched(*pieces[:2]) == ([600, 60], None)
    assert searched(*pieces[:2], b"")[1] == pytest.approx(600, abs=2)
    monkeypatch.setattr(log_search, "_BYTES", 5)
    found, seen = searched(*pieces)
    assert found == [60]
    assert seen == pytest.approx(60, abs=2)
    assert "the last 1m are visible" in Denials(seen=seen).unseen


def test_a_line_with_several_words_is_found_once() -> None:
    found = [*log_search.lines_with(b"a\nb ERROR\nc ERROR FATAL", re.compile(b"FATAL|ERROR"))]
    assert found == [(2, 9, "b ERROR"), (10, 23, "c ERROR FATAL")]


def test_what_is_new_in_a_log_is_read_once_also_when_it_was_set_aside(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "server.log", None)
    assert log.since("") == (b"", "")
    log.path.write_text("a\nb\n")
    new, mark = log.since("")
    assert new == b"a\nb\n"
    assert log.since(mark) == (b"", mark)
    with log.path.open("a") as file:
        file.write("c\nhalf")
    new, mark = log.since(mark)
    assert new == b"c\n"
    with log.path.open("a") as file:
        file.write(" whole\nd\n")
    log.path.rename(tmp_path / "server.log.1")
    # by now longer than the old one was
    log.path.write_text("e\n" * 20)
    new, mark = log.since(mark)
    assert new == b"half whole\nd\n" + b"e\n" * 20
    log.path.write_text("f\n")
    assert log.since(mark)[0] == b"f\n"


def test_of_very_much_that_is_new_the_end_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_FRESH_MAX", 10)
    log = LogFile(tmp_path / "server.log", None)
    log.path.write_text("a\n")
    _, mark = log.since("")
    with log.path.open("a") as file:
        file.write("0123456\n" * 100)
    new, mark = log.since(mark)
    assert new == b"6\n0123456\n"
    assert log.since(mark)[0] == b""


def test_the_logs_of_others_are_followed_where_one_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Fake:
        def __init__(self, name: str) -> None:
            self.name = name

        def follow(self, _count: int) -> Iterator[str]:
            yield "first"
            if self.name == "closed":
                raise PermissionError(errno.EACCES, "Permission denied", "/closed/server.log")
            if self.name == "broken":
                raise ZeroDivisionError
            yield "second"

    monkeypatch.setattr(followed, "_log", lambda _, name: Fake(name))
    errors: list[MngdbError] = []
    context: Any = None
    lines = [*followed.follow(context, ["open", "closed"], 1, errors.append)]
    assert sorted(lines) == [("closed", "first"), ("open", "first"), ("open", "second")]
    assert [one.message for one in errors] == ["/closed/server.log: Permission denied"]
    # a fault of ours is one
    with pytest.raises(ZeroDivisionError):
        [*followed.follow(context, ["open", "broken"], 1, errors.append)]
