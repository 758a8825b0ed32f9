"""Ctrl-C for work that is done in threads: nothing new begins, and what is waited for ends.

A thread that has to stop meets KeyboardInterrupt, as the main one did.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

#: Seconds between two looks whether to go on.
_LOOK = 0.1

_asked = threading.Event()
_ends: dict[object, Callable[[], None]] = {}


def stop() -> None:
    """Let every thread stop before the next thing that it would do."""
    _asked.set()
    for end in list(_ends.values()):
        # a server that does not answer keeps the others waiting no longer
        threading.Thread(target=end, daemon=True).start()


def check() -> None:
    """Called before anything is changed. Raises KeyboardInterrupt where the command stops."""
    if _asked.is_set():
        raise KeyboardInterrupt


def sleep(seconds: float) -> None:
    """As time.sleep. Raises KeyboardInterrupt when the command stops."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        check()
        time.sleep(min(left, _LOOK))  # an event's wait goes by a clock that may be set
    check()


@contextlib.contextmanager
def late(seconds: float, do: Callable[[], None]) -> Iterator[None]:
    """When the block takes longer than that many seconds, `do` in another thread."""
    timer = threading.Timer(seconds, do)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def ended_by(end: Callable[[], None]) -> Iterator[None]:
    """What the block waits for is ended by `end`, called in another thread, when the command
    stops."""
    key = object()
    _ends[key] = end
    try:
        check()
        yield
    finally:
        del _ends[key]


@contextlib.contextmanager
def interruptible(told: Callable[[], None] = lambda: None) -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C asks for an end: `told` is called, and the function given says so. The
    second is an end."""
    pressed: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def note(number: int, _: Any) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)
        told()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)
