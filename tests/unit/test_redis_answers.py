"""What a Redis that is none may do with what it is asked: it neither fills the memory, nor has the
password printed."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from mngdb.engines.redis import adopt, client, wire
from mngdb.engines.redis.client import RefusedError, connect
from mngdb.engines.redis.look import Look
from mngdb.errors import ConnectError
from mngdb.findings import Seen
from mngdb.model import Access
from mngdb.secret import Secret

SECRET = "hunter2-hunter2"


@contextmanager
def stranger(speak: Callable[[socket.socket], None]) -> Iterator[Access]:
    """Answers one client."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as to, contextlib.suppress(OSError):
                speak(to)

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        yield Access("redis", "127.0.0.1", port, "admin", Secret(SECRET), options={})
        thread.join(10)


def repeats(to: socket.socket) -> None:
    """Refuses with the words that it was told."""
    while told := to.recv(4096):
        line = b" ".join(told.split())
        to.sendall(b"-ERR unknown command " + line + b"\r\n" + b"+OK\r\n" * (told.count(b"*") - 1))


def never_ends(to: socket.socket) -> None:
    to.sendall(b"$2147483647\r\n")
    while True:
        to.sendall(bytes(1 << 16))


def announces_more_than_there_is(to: socket.socket) -> None:
    to.sendall(b"*999999999\r\n" * 8)
    while True:
        to.sendall(b":1\r\n" * 4096)


@pytest.mark.parametrize("speak", [never_ends, announces_more_than_there_is])
def test_an_answer_without_end_is_refused(
    speak: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "_MOST", 1 << 20)
    with (
        stranger(speak) as access,
        pytest.raises(ConnectError, match="without end"),
        connect(access),
    ):
        pass


def test_an_answer_has_an_end_in_time_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "_LONGEST", 0.01)
    with (
        stranger(never_ends) as access,
        pytest.raises(ConnectError, match="without end"),
        connect(access),
    ):
        pass


def test_a_server_that_repeats_the_password_does_not_get_it_printed() -> None:
    with (
        stranger(repeats) as access,
        pytest.raises(ConnectError, match="unknown command") as caught,
        connect(access),
    ):
        pass
    assert SECRET not in str(caught.value)
    assert "***" in str(caught.value)


def test_nor_does_one_that_repeats_it_later() -> None:
    access = Access("redis", "127.0.0.1", 1, "admin", Secret(SECRET), options={})
    error = client._refused(wire.ReplyError(f"NOPERM {SECRET}"), access)
    assert isinstance(error, RefusedError)
    assert (error.message, error.code) == ("Redis refused: ***", "NOPERM")


@pytest.mark.parametrize("value", ["100mb", "-1", "", "9" * 5000])
def test_a_setting_that_is_no_number_is_a_note_when_a_server_is_adopted(value: str) -> None:
    settings = Seen[Mapping[str, str]]({"maxmemory": value, "maxclients": value})
    notes: list[str] = []
    nothing = Seen[Any](missing="not asked")
    assert dict(adopt._settings(Look(nothing, settings, nothing, ()), notes)) == {}
    assert [note.split()[0] for note in notes] == ["maxmemory", "maxclients"]


def test_bgsave_is_advised_for_a_snapshot_alone() -> None:
    at = Access("redis", "127.0.0.1", 6379, "shop", None, instance="queue")
    log = "MISCONF Errors writing to the AOF file: No space left on device"
    told = client.unwritable(at, log)
    assert "append-only file: No space left on device" in told.message
    assert "BGSAVE" not in str(told.hint)
    assert "mngdb shell queue -- BGSAVE" in str(client.unwritable(at, "MISCONF").hint)
