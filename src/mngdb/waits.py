"""What this process waits for outside of it, such as a store: said on standard error, and to the
commands that meet its locks."""

from __future__ import annotations

import contextlib
import math
import sys
import threading
import time

from mngdb.lock import say_why
from mngdb.words import harmless

#: What such a line begins with.
WAITING = "waiting: "
#: Seconds between two of them: several threads may wait for the same.
_AGAIN = 60.0

_alone = threading.Lock()
_told = -math.inf
_why = ""


def begin(why: str) -> None:
    """Say what is waited for, unless that was done just now."""
    global _told, _why
    with _alone:
        now, fresh = time.monotonic(), not _why
        if fresh or now > _told + _AGAIN:
            _told, _why = now, why
            say_why(why)
            _say(WAITING + why)


def over(what: str) -> None:
    """Say that it has come to an end, where it was said that it is waited for."""
    global _why
    with _alone:
        if _why:
            _why = ""
            say_why("")
            _say(what)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # nobody reading it is no reason to stop working
        print(harmless(text), file=sys.stderr, flush=True)
