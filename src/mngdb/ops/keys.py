"""`keys`: where the memory of keys goes, of a server or in a file that one wrote."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mngdb.engines.protocol import Diagnose, S, Verb
from mngdb.facts.keys import KeysReport, Progress, Wanted
from mngdb.ops import ask, registry
from mngdb.ops.context import Context


def live_keys(context: Context, name: str | None, wanted: Wanted, progress: Progress) -> KeysReport:
    """Read a server. Ctrl-C ends it with what was seen so far. Raises UsageError,
    UnobservableError."""

    def verb(engine: Diagnose[S]) -> Verb[S, KeysReport] | None:
        look = engine.keys
        return look and (lambda s, asked: look(s, asked, wanted, progress, interruptible))

    return ask.one(context, name, "keys", verb, "INSTANCE")


def file_keys(path: Path, wanted: Wanted, progress: Progress) -> KeysReport:
    """Read a file, by the engine that reads its own. Likewise. Raises UsageError."""
    look = next(one.keys_file for one in registry.every() if one.keys_file is not None)
    return look(path, wanted, progress, interruptible)


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C asks for an end, and the function given says so; the second is an end."""
    pressed: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def note(number: int, _: Any) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)
