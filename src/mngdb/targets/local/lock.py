"""One command at a time on a stack.

The kernel drops the lock when its holder ends, however it ends, so a stale lock cannot exist; the
text in the file is only for people.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mngdb.errors import LockedError

#: A predecessor that was just killed may take this long to be gone.
_PATIENCE = 1.0


@contextmanager
def lock(path: Path, command: str) -> Iterator[None]:
    """Hold the stack's lock. Raises LockedError naming the command that holds it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LockedError(
                        f"another mngdb works on this stack: {_holder(handle)}",
                        "wait until it ends, then try again",
                    ) from None
                time.sleep(0.02)
        os.ftruncate(handle, 0)
        note = {"pid": os.getpid(), "command": command}
        os.pwrite(handle, json.dumps(note).encode(), 0)
        yield
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def _holder(handle: int) -> str:
    try:
        note = json.loads(os.pread(handle, 200, 0))
        return f"mngdb {note['command']} (pid {note['pid']})"
    except (ValueError, KeyError):
        return "it has just begun"
