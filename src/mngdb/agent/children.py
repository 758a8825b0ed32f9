"""The commands that the agent runs: their memory goes with them, what they wait for is in its log,
and they end with it, however it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import ExitStack

from mngdb.agent.jobs import log
from mngdb.errors import MngdbError
from mngdb.ops import service
from mngdb.ops.context import Context
from mngdb.run import heard
from mngdb.waits import WAITING

#: The option of `mngdb` that a command gets which the agent runs.
OPTION = "--with-agent"
#: Seconds that a command may take, and to end once the agent was killed.
_LIMIT, _ENDING = 24 * 3600.0, 10.0
#: Lines and letters that are kept of what a command says.
_LINES, _LETTERS = 40, 600


class Children:
    """Runs commands, of several threads, until it is asked to end."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._alone = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._over = threading.Event()

    def run(self, *words: str, limit: float = _LIMIT) -> str:
        """Run `mngdb WORDS` for at most `limit` seconds; not at all once they were asked to end.
        Returns its last words. Raises MngdbError with them where it fails."""
        name, begun, said = f"mngdb {' '.join(words)}", time.monotonic(), deque[str](maxlen=_LINES)
        with ExitStack() as held:
            with self._alone:  # what starts while they are asked to end would not hear it
                if self._over.is_set():
                    return ""
                argv = [*service.command(self._context), OPTION, *words]
                child, lines = held.enter_context(heard(argv, limit))
                self._running.add(child)
            held.callback(self._forget, child)
            for line in filter(None, map(str.strip, lines)):
                if line.startswith(WAITING):
                    log(f"{name}: {line}")
                else:
                    said.append(line)
            child.wait()
        told = "; ".join(said)[-_LETTERS:]
        if self._over.is_set():
            log(f"{name}: ended with the agent; what is due is done by the next one")
        elif child.returncode != 0:
            raise MngdbError(f"{name} failed: {told}")
        else:
            log(f"{name}: done in {time.monotonic() - begun:.0f} s")
        return told

    def _forget(self, child: subprocess.Popen[str]) -> None:
        with self._alone:
            self._running.discard(child)

    def end(self) -> None:
        """Ask all of them to end, as Ctrl-C does: none leaves a server or a snapshot half made."""
        with self._alone:
            self._over.set()
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
                child.wait()


def attend() -> None:
    """In such a command: end as `Children` has it end, also where nobody is left who could ask: the
    agent was killed, and with it went the other end of standard input."""
    threading.Thread(target=_attend, daemon=True).start()


def _attend() -> None:
    with contextlib.suppress(OSError):
        os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(_ENDING)
    os.kill(os.getpid(), signal.SIGKILL)
