"""One command at a time on a stack.

The kernel drops the lock when its holder ends, however it ends, so a stale lock cannot exist; the
text in the file is only for people.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mngdb import disk
from mngdb.errors import LockedError
from mngdb.words import plain

#: A command may end meanwhile.
_PATIENCE = 1.0
#: What a command that was killed had started, and what holds its lock too, ends by itself; and the
#: agent holds it no longer than a server takes to start.
_PATIENCE_DEAD = 15.0
#: The command that is the agent's.
AGENT = "agent"
#: Of a command that is done: a server that it started has yet to let go of the lock.
_ENDED = "it has just ended"
#: Bytes of a note, and letters of what its command waits for.
_NOTE, _WHY = 1000, 200


#: Locks that this process holds: their handles, and the command.
_held: dict[Path, tuple[int, str]] = {}


def held(path: Path) -> int | None:
    """The handle of a lock that this process holds."""
    return _held[path][0] if path in _held else None


def say_why(text: str) -> None:
    """Have who meets a lock of this process read what it waits for; empty: for nothing any more."""
    for handle, command in list(_held.values()):
        with contextlib.suppress(OSError):  # it was let go just now
            _write(handle, command, text)


def _write(handle: int, command: str, why: str = "") -> None:
    note = {"pid": os.getpid(), "command": command} | ({"waits": plain(why)[:_WHY]} if why else {})
    # the longest note has this length: the old one is overwritten, on a full disk too
    os.pwrite(handle, json.dumps(note, ensure_ascii=False).encode()[:_NOTE].ljust(_NOTE), 0)


@contextmanager
def lock(path: Path, command: str, patience: float = _PATIENCE) -> Iterator[None]:
    """Hold the stack's lock, after at most `patience` seconds (longer when its holder is dead, and
    only what it started still ends). Raises LockedError naming the command that holds it."""
    handle = _take(path, patience)
    try:
        _write(handle, command)
        _held[path] = handle, command
        yield
        os.pwrite(handle, b" " * _NOTE, 0)
    finally:
        _held.pop(path, None)
        os.close(handle)


def _take(path: Path, patience: float) -> int:
    begun = time.monotonic()
    while True:
        try:
            handle = disk.own(path, os.O_RDWR | os.O_CREAT)
        except FileNotFoundError:
            if path.parent.exists():
                continue
            raise LockedError(
                "another mngdb is removing this stack", "wait until it finishes, then try again"
            ) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            command, pid = _holder(handle)
            os.close(handle)
            dead = pid is not None and not Path(f"/proc/{pid}").exists()
            short = dead or command == _ENDED or command.startswith(f"mngdb {AGENT} ")
            if time.monotonic() - begun > (_PATIENCE_DEAD if short and patience > 0 else patience):
                hint = "wait until it finishes, then try again"
                if pid is not None and _stopped(pid):
                    hint = f"it is stopped: kill -CONT {pid} ('fg' in its terminal) continues it"
                raise LockedError(
                    f"another mngdb is working on this stack: {command}", hint, command
                ) from None
            time.sleep(0.02)
            continue
        # `destroy` removes the file: what we hold then is a lock that nobody else sees
        if os.fstat(handle).st_nlink:
            return handle
        os.close(handle)


def _stopped(pid: int) -> bool:
    """Whether a process was stopped without being ended: by Ctrl-Z, say."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False  # it has ended


def _holder(handle: int) -> tuple[str, int | None]:
    """Who holds it, in words, and its pid."""
    text = os.pread(handle, _NOTE, 0)
    if text and not text.strip():
        return _ENDED, None
    try:
        note = json.loads(text)
        why = f", which waits: {note['waits']}" if "waits" in note else ""
        return f"mngdb {note['command']} (pid {note['pid']}){why}", int(note["pid"])
    except (ValueError, KeyError, TypeError):
        return "it has just started", None
