"""Commits that wait until the store has them: for how long they may, and how they fare.

The agent's guard (`agent/guard.py`) looks at the server several times a second, and keeps here what
it saw for every command to see.
"""

from __future__ import annotations

import time
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from mngdb import disk
from mngdb.ops.context import Context
from mngdb.snapshot import Held
from mngdb.spec.base import RecoveryPoint
from mngdb.spec.stack import Instance

#: In the stack's own folder: a file for each instance.
_FOLDER = "commits"
#: Seconds for which the store may take nothing before `sync` waits for it no longer; commits that
#: wait for as long as the second are told; and for so long all has to go well before they wait.
_FREE, _LONG, _CALM = 5.0, 0.6, 1.0
#: Seconds for which nobody may follow the log before that is told, though no commit waits yet.
_GONE = 3.0
#: Seconds between two notes, and after which nobody looks any more.
NOTED, _STALE = 1.0, 6.0

#: `begins`: nothing is known yet; `held`: commits wait, and are stored; `stuck`: they wait, and are
#: not; `free`: they do not wait, although the file asks for it; `over`: the agent has ended;
#: `lost`: so has what would set them free, and they wait.
State = Literal["begins", "held", "stuck", "free", "over", "lost"]


class Note(Struct, frozen=True, kw_only=True):
    """How the commits of an instance fare. `late`: seconds for which the store has taken nothing;
    `waiting`: sessions that wait; `why`: what keeps them from waiting; `at`: when this was so
    (seconds since the epoch)."""

    state: State = "begins"
    late: float = 0.0
    waiting: int = 0
    why: str = ""
    at: float = 0.0


class Pace:
    """Judges how commits fare, from look to look. `now` in time.monotonic() seconds."""

    def __init__(self, mode: RecoveryPoint) -> None:
        self._mode = mode
        #: The store had everything up to `_mark` at `_since`, or it was the first look.
        self._mark, self._since = -1, 0.0
        #: What it had then, at the last time that it was more than before, or everything.
        self._stored, self._moved = -1, 0.0
        self._calm: float | None = None
        self._held = False

    def look(self, held: Held, now: float) -> Note:
        """How they fare."""
        stored = -1 if held.stored is None else held.stored
        if self._mark < 0 or stored >= self._mark:
            self._mark, self._since, self._moved = held.written, now, now
        elif stored > self._stored:
            self._moved = now
        self._stored = stored
        late = now - self._since
        if held.stored is None or late >= _CALM:
            self._calm = None
        elif self._calm is None:
            self._calm = now
        self._held = self._held or held.holds
        state = self._state(held, late)
        return Note(state=state, late=late, waiting=held.waiting, why=self._why(held, now))

    def _state(self, held: Held, late: float) -> State:
        if held.holds:
            return "stuck" if late > (_LONG if held.waiting else _GONE) else "held"
        return "free" if self._held or held.other or late > _FREE else "begins"

    def _why(self, held: Held, now: float) -> str:
        if held.other:
            return f"they wait for {held.other!r}, which is not mngdb's"
        if held.stored is None:
            return "nobody follows the log"
        behind = now - self._moved < _CALM
        return "the store is behind" if behind else "the store takes nothing of the log"

    def frees(self, held: Held, now: float) -> bool:
        """Whether commits that wait are to be set free, after this look: not while the store goes
        on, however far it is behind."""
        return self._mode == "sync" and held.holds and now - self._moved > _FREE

    def holds(self, held: Held, now: float) -> bool:
        """Whether commits may wait from now on, after this look."""
        calm = self._calm is not None and now - self._calm >= _CALM
        return self._mode == "sync" and not held.holds and not held.other and calm


def waited(context: Context) -> list[Instance]:
    """The instances whose commits are to wait for the store."""
    every = context.stack.instances.values()
    return [one for one in every if one.archived and one.recovery_point != "stream"]


def note(context: Context, instance: str, found: Note) -> None:
    """Keep how they fare. Raises OSError."""
    folder = disk.private(context.stack.state / _FOLDER)
    text = msgspec.json.encode(replace(found, at=time.time())).decode()
    disk.write(folder / instance, text + "\n", durable=False)


def read(context: Context, instance: str) -> Note:
    """How they fare, as far as it is known."""
    found = disk.noted(context.stack.state / _FOLDER / instance, Note, Note())
    if found.at > time.time() - _STALE:
        return found
    return replace(found, state="lost" if found.state in {"held", "stuck"} else "over")


def told(mode: RecoveryPoint, found: Note) -> str:
    """What is wrong with them, in words; empty: nothing."""
    if mode == "stream" or found.state == "held":
        return ""
    if found.state == "stuck":
        return f"commits wait for the store ({found.waiting or 'none'} now): {found.why}"
    if found.state == "free":
        return f"commits do not wait for the store: {found.why}"
    if mode == "strict" or found.state == "lost":
        return "commits wait for the store until the agent follows the log"
    return "commits do not wait for the store: the agent does not follow the log yet"
