"""Backups and drills on the file's schedule, each a command of its own: its memory goes with it."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence

from mngdb.agent.children import Children
from mngdb.agent.jobs import log
from mngdb.errors import LockedError, UsageError
from mngdb.lock import lock
from mngdb.ops.backup import archived, growth, keys, restore, schedule
from mngdb.ops.context import Context

#: Seconds between two looks at the clock.
INTERVAL = 10.0
#: Seconds that a command which starts or stops servers is waited for.
_PATIENCE = 15.0
#: Seconds that a snapshot waits for the archive.
_FOLLOWED = 10.0
#: Seconds between two drills of an instance, whatever came of the first.
_DRILL_AGAIN = 900.0


class Backups:
    """Takes what is due."""

    def __init__(self, context: Context, children: Children) -> None:
        self._context = context
        self._run = children.run
        self._drilled: dict[str, float] = {}

    def _await(self, names: Sequence[str]) -> None:
        """Before a snapshot, let the log be followed, so that it leads on from there."""
        deadline = time.monotonic() + _FOLLOWED
        while archived.behind(self._context, names) and time.monotonic() < deadline:
            time.sleep(0.2)

    def look(self) -> None:
        """Take the backups that are due, and remove those that are no longer kept. Raises
        MngdbError with the command's last words."""
        if self._busy():
            return
        if names := schedule.backups_due(self._context, time.time()):
            self._await(names)
            try:
                self._run("backup", "take", *names)
            finally:  # what one instance lacks keeps the store of the others from nothing
                self._run("backup", "prune", "--yes")
                growth.look(self._context)  # the first look saw an empty store

    def drill(self) -> None:
        """Make a drill that is due, one at a time; a job of its own, as no backup waits for one.
        Raises MngdbError with the command's last words, or why none can be made."""
        for wrong in keys.problems(self._context):
            raise UsageError(wrong.text, wrong.hint)
        now = time.time()
        if self._busy() or schedule.backups_due(self._context, now):
            return
        if name := next(filter(self._rested, schedule.drills_due(self._context, now)), None):
            self._drilled[name] = time.monotonic()
            self._run("drill", "--yes", name)

    def resume(self) -> None:
        """Start servers that a restore which was killed has left stopped. Raises MngdbError with
        the command's last words, OSError."""
        for name in restore.interrupted(self._context):

            def start(why: str, name: str = name) -> None:
                log(why)
                self._run("up", name)

            with contextlib.suppress(UsageError):  # a command is at it
                restore.resume(self._context, name, start)

    def _busy(self) -> bool:
        """Whether a command starts or stops servers."""
        try:
            with lock(self._context.stack.state / "lock", "agent", patience=_PATIENCE):
                return False
        except LockedError:
            return True

    def _rested(self, instance: str) -> bool:
        """Whether no drill of it was begun just now: one that lacks room is noted nowhere."""
        return time.monotonic() > self._drilled.get(instance, -math.inf) + _DRILL_AGAIN
