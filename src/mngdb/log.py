"""What mngdb does, for whoever looks for a fault: programs run, queries asked, files written, and
the time each took. Off, the standard library's logging is not even imported.

Nothing secret is said here: who says something leaves out values, input and environment.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from mngdb.words import plain

_ROOT = "mngdb"
_FORMAT = "%(asctime)s.%(msecs)03dZ %(process)d %(name)s: %(message)s"
#: Characters of a line: a script or a statement may be long.
_MOST = 2000

_on = False


def on() -> bool:
    """Whether somebody reads it."""
    return _on


def start(stream: TextIO, first: str) -> None:
    """Write `first`, then a line for everything from now on. Streams that were given before go on
    getting theirs."""
    global _on
    import logging

    with suppress(OSError):
        print(first, file=stream, flush=True)
    formatter = logging.Formatter(_FORMAT, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logging.raiseExceptions = False  # a full disk, or a reader that left, ends nothing
    root = logging.getLogger(_ROOT)
    root.propagate = False
    root.setLevel(logging.DEBUG)
    root.addHandler(handler)
    _on = True


def say(module: str, text: str) -> None:
    """A line under the name of a module, where the log is on."""
    if _on:
        import logging

        line = plain(" ".join(text.split()))
        logging.getLogger(module).debug("%s", line if len(line) <= _MOST else f"{line[:_MOST]}…")


@contextmanager
def timed(module: str, what: Callable[[], str]) -> Iterator[None]:
    """A line for a piece of work, with its time, and the kind of error that ended it. `what` is
    called only where the log is on."""
    if not _on:
        yield
        return
    begun, end = time.monotonic(), ""
    try:
        yield
    except BaseException as error:
        end = f", {type(error).__name__}"  # its text may repeat what was sent
        raise
    finally:
        say(module, f"{what()} ({1000 * (time.monotonic() - begun):.1f} ms{end})")
