"""The commands that the agent runs: what they wait for is in its log, and they end with it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence

from mngdb.agent.jobs import log
from mngdb.errors import MngdbError
from mngdb.run import heard
from mngdb.waits import WAITING

#: Lines and letters that are kept of what a command says.
_LINES, _LETTERS = 40, 600


class Children:
    """Runs commands, of several threads, until it is asked to end."""

    def __init__(self) -> None:
        self._alone = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._over = False

    def run(self, argv: Sequence[str], name: str, limit: float) -> None:
        """Run one for at most `limit` seconds; in the log it is called `name`. Raises MngdbError
        with its last words where it fails."""
        begun, said = time.monotonic(), deque[str](maxlen=_LINES)
        with heard(argv, limit) as (child, lines), self._kept(child):
            for line in filter(None, map(str.strip, lines)):
                if line.startswith(WAITING):
                    log(f"{name}: {line}")
                else:
                    said.append(line)
        if self._over:
            log(f"{name}: ended with the agent; what is due is done by the next one")
        elif child.returncode != 0:
            raise MngdbError(f"{name} failed: {'; '.join(said)[-_LETTERS:]}")
        else:
            log(f"{name}: done in {time.monotonic() - begun:.0f} s")

    @contextlib.contextmanager
    def _kept(self, child: subprocess.Popen[str]) -> Iterator[None]:
        with self._alone:
            self._running.add(child)
            if self._over:
                child.send_signal(signal.SIGINT)
        try:
            yield
        finally:
            with self._alone:
                self._running.discard(child)

    def end(self) -> None:
        """Ask all of them to end, as Ctrl-C does: none leaves a server or a snapshot half made."""
        with self._alone:
            self._over = True
            for child in self._running:
                child.send_signal(signal.SIGINT)

    def ended(self, seconds: float) -> None:
        """Wait so long for those that were asked to end, then kill the others: the next command
        removes what they leave."""
        deadline = time.monotonic() + seconds
        with self._alone:
            left = list(self._running)
        for child in left:
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
