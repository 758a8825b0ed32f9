"""Commits that wait for the store must not wait for ever where the agent died: a process of its own
sets them free. It outlives the agent, whose end it sees at its standard input.

It goes by what the server says alone (who follows the log, and how far that is stored), so that it
does not matter what is wrong: the agent, the store, or the way to it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from mngdb.agent.jobs import Troubles, log
from mngdb.engines.protocol import Commits
from mngdb.errors import MngdbError
from mngdb.model import DesiredInstance
from mngdb.ops import service
from mngdb.ops.backup import commits
from mngdb.ops.backup.commits import Note, Pace
from mngdb.ops.context import Context
from mngdb.run import attended
from mngdb.snapshot import Held
from mngdb.spec.agent import AGENT
from mngdb.spec.stack import Instance

#: Seconds between two looks at a server, between two attempts to reach it, and to log in.
_LOOK, _AGAIN, _LOGIN = 0.2, 0.5, 5.0
#: Seconds for which it goes on without an agent, at the most.
_ALONE = 30.0
#: Seconds that the agent waits for it at the end, and before it starts another one: doubled each
#: time, up to the last figure, where one lives for less than `_SOUND`.
_END, _PAUSE, _LONGEST, _SOUND = 4.0, 1.0, 15.0, 10.0
#: The option of `mngdb agent` by which it is started, and what it is told at the end.
OPTION, _TOLD = "--guard", b"free\n"


class Guard:
    """The agent's side: starts the process, and another one where it dies. `changed` is called when
    commits begin or cease to wait."""

    def __init__(self, context: Context, changed: Callable[[], None]) -> None:
        self._context = context
        self._changed = changed
        self._over = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, name="guard", daemon=True)

    def start(self) -> None:
        """Begin, where commits of some instance are to wait."""
        if commits.waited(self._context):
            self._thread.start()

    def stop(self) -> None:
        """Have commits wait no longer, while the log is still followed."""
        self._over.set()
        child = self._child
        if child is None or child.stdin is None:
            return
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            child.stdin.write(_TOLD)
            child.stdin.close()
            child.wait(_END)

    def _keep(self) -> None:
        pause = _PAUSE
        while not self._over.is_set():
            begun = time.monotonic()
            try:
                child = self._child = attended([*service.command(self._context), AGENT, OPTION])
                for _ in child.stdout or ():
                    self._changed()
                child.wait()
            except OSError as error:
                log(f"guard of commits: {error}")
            pause = _PAUSE if time.monotonic() > begun + _SOUND else min(_LONGEST, 2 * pause)
            if not self._over.is_set():
                log(f"guard of commits: it ended; another one is started in {pause:g} s")
                self._over.wait(pause)


def run(context: Context) -> None:
    """The process itself: until the agent says so, or commits are free after its death."""
    files = tuple(path.absolute() for path in context.stack.files)
    context = replace(context, stack=replace(context.stack, files=files), keep_secrets=False)
    ending = _Ending()
    watches = [_Watch(context, one, ending) for one in commits.waited(context)]
    threads = [threading.Thread(target=one.run, daemon=True) for one in watches]
    signal.signal(signal.SIGTERM, lambda *_: ending.told.set())
    for thread in (*threads, threading.Thread(target=ending.listen, daemon=True)):
        thread.start()
    for thread in threads:
        thread.join()


class _Ending:
    """Whether the agent has ended, in order (`told`) or not (`alone` since a moment)."""

    def __init__(self) -> None:
        self.told = threading.Event()
        self.alone: float | None = None

    def listen(self) -> None:
        """Wait for it."""
        if os.read(sys.stdin.fileno(), len(_TOLD)):
            self.told.set()
        else:
            self.alone = time.monotonic()


class _Watch:
    """Looks after the commits of one instance."""

    def __init__(self, context: Context, instance: Instance, ending: _Ending) -> None:
        self._context = context
        self._instance = instance
        self._ending = ending
        self._troubles = Troubles()
        self._last = Note()
        self._noted = 0.0

    def run(self) -> None:
        """Until it is no longer needed."""
        self._note(Note())
        while True:
            try:
                self._follow()
            except MngdbError as error:
                self._troubles.tell(f"commits of {self._instance.name}", error.message, "")
            else:
                return
            if self._ending.told.is_set() or self._expired():
                return
            self._ending.told.wait(_AGAIN)

    def _expired(self) -> bool:
        alone = self._ending.alone
        return alone is not None and time.monotonic() > alone + _ALONE

    def _follow(self) -> None:
        """Over one session. Raises MngdbError."""
        context, instance = self._context, self._instance
        engine = context.engine(instance)
        asked = context.as_admin(instance)
        assert engine.commits is not None  # noqa: S101 — for mypy
        pace = Pace(instance.recovery_point)
        with context.reach(instance), engine.connect(context.admin(asked), _LOGIN) as session:
            self._troubles.tell(f"commits of {instance.name}", "", "looked after again")
            while not self._round(pace, engine.commits, session, asked):
                self._ending.told.wait(_LOOK)

    def _round(
        self, pace: Pace, server: Commits[Any], session: Any, asked: DesiredInstance
    ) -> bool:
        """Look, and do what is due. Returns whether that was the last time."""
        held, now = server.look(session, asked), time.monotonic()
        found = pace.look(held, now)
        if self._ending.told.is_set():
            if held.holds and self._instance.recovery_point == "sync":
                server.free(session, asked)
            self._note(replace(found, state="over"))
            return True
        if pace.frees(held, now):
            server.free(session, asked)
            found = replace(found, state="free")
        elif self._ending.alone is None and pace.holds(held, now):
            server.hold(session, asked)
            found = replace(found, state="held")
        self._note(found)
        return self._needless(held, now)

    def _needless(self, held: Held, now: float) -> bool:
        """Whether the agent has died and nothing is left to do: no commit waits, or it was told
        that they do, or another agent follows the log by now."""
        alone = self._ending.alone
        if alone is None:
            return False
        told = self._instance.recovery_point == "strict" and self._last.state == "stuck"
        followed = held.stored is not None and now > alone + _PAUSE
        return not held.holds or told or followed or self._expired()

    def _note(self, found: Note) -> None:
        """Keep it, and tell what has changed."""
        name, mode = self._instance.name, self._instance.recovery_point
        changed = found.state != self._last.state
        self._last = found
        if changed or time.monotonic() > self._noted + commits.NOTED:
            with contextlib.suppress(OSError):  # a full disk keeps nobody from being set free
                commits.note(self._context, name, found)
            self._noted = time.monotonic()
        if changed:
            log(f"commits of {name}: {commits.told(mode, found) or 'they wait for the store'}")
            with contextlib.suppress(OSError):  # the agent has died
                print(found.state, flush=True)
