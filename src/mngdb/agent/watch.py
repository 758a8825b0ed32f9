"""Start servers again that died, and keep their logs from growing without end."""

from __future__ import annotations

import json
import os
import subprocess
import time
from functools import partial
from pathlib import Path

from msgspec import Struct

from mngdb import disk, room
from mngdb.agent import old_logs
from mngdb.agent.jobs import Troubles, log
from mngdb.errors import LockedError, MngdbError
from mngdb.lock import lock
from mngdb.model import Step
from mngdb.ops import audit, crashes
from mngdb.ops.context import Context
from mngdb.targets.process.logs import LOG_MAX
from mngdb.targets.protocol import Running
from mngdb.words import many

#: Seconds before a server that died again and again is started once more: doubled each time.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 300.0
#: A server that has run for so many seconds is sound: the next pause is the first one again.
_SOUND = 60.0
#: Seconds between two looks at the logs: an app can have a server write 100 MB in one.
LOGS_EVERY = 5.0
_MB = 1 << 20
_CHUNK = 1 << 20
#: A log that is flooded while it is copied is copied anew so many times.
_TRIES = 3


class _Trouble(Struct):
    """A server that died lately."""

    pause: float = _FIRST_PAUSE
    not_before: float = 0.0


class Watch:
    """Looks after the servers of this machine. `folder` keeps the counts."""

    def __init__(self, context: Context, folder: Path) -> None:
        self._context = context
        self._file = folder / "restarts.json"
        self._trouble: dict[str, _Trouble] = {}
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._members = context.stack.members
        found = {n: context.target(one.instance).watched for n, one in self._members.items()}
        self._watched = {name: watched for name, watched in found.items() if watched}
        self._sizes: dict[str, int] = {}
        self._logs = context.stack.source.logs
        self._logging = Troubles()
        self.restarts = dict.fromkeys(self._watched, 0)
        try:
            kept: dict[str, int] = json.loads(disk.read_own(self._file) or "{}")
            self.restarts |= {unit: int(kept.get(unit, 0)) for unit in self.restarts}
        except (ValueError, TypeError, AttributeError, RecursionError):
            log(f"{self._file} is damaged; the restart count is reset")

    def up(self, unit: str) -> bool:
        """Whether the unit's process runs."""
        return self._process(unit) is not None

    @property
    def units(self) -> list[str]:
        """The servers' units."""
        return list(self._watched)

    def data(self) -> list[Path]:
        """The servers' data folders."""
        return [watched.data(unit) for unit, watched in self._watched.items()]

    def look(self) -> None:
        """Start again what died. What `mngdb down` stopped has no pid file, and stays so."""
        for unit in self._watched:
            child = self._children.get(unit)
            if child is not None and child.poll() is not None:
                del self._children[unit]  # init is not its parent: we were
            if self._died(unit) and time.monotonic() >= self._due(unit):
                self._again(unit)

    def _died(self, unit: str) -> bool:
        process = self._process(unit)
        if process is not None and process.uptime() > _SOUND:
            self._trouble.pop(unit, None)
        return process is None and self._watched[unit].crashed(unit)

    def _process(self, unit: str) -> Running | None:
        servers = self._context.target(self._members[unit].instance).servers
        return servers.process(unit) if servers else None

    def _due(self, unit: str) -> float:
        found = self._trouble.get(unit)
        return found.not_before if found else 0.0

    def _again(self, unit: str) -> None:
        state = self._context.stack.state
        try:
            with lock(state / "lock", "agent", patience=0.0):
                # while we waited for nobody: `up` or `down` may just have been at it
                if self._died(unit):
                    self._start(unit)
        except LockedError:
            return  # a command works on the stack, and knows what it does
        except (MngdbError, OSError) as error:
            trouble = self._worse(unit)
            log(f"{unit} did not start: {error}; retrying in {trouble.pause:g} s")

    def _start(self, name: str) -> None:
        context, instance = self._context, self._members[name].instance
        asked = partial(context.asked, instance)
        self._children[name] = self._watched[name].start_again(instance, asked)
        self.restarts[name] += 1
        trouble = self._worse(name)
        log(f"{name} crashed; restarted ({many(self.restarts[name], 'restart')})")
        step: Step[None] = Step(
            instance.name, instance.engine, "restart", name, "it crashed", lambda _: None
        )
        audit.note(context.stack.state, "agent", step)
        disk.write(self._file, json.dumps(self.restarts), durable=False)
        crashes.note(context.stack.state, name)
        trouble.not_before = time.monotonic() + trouble.pause

    def _worse(self, unit: str) -> _Trouble:
        found = self._trouble.get(unit)
        if found is None:
            found = self._trouble[unit] = _Trouble()
        else:
            found.pause = min(_LONGEST_PAUSE, 2 * found.pause)
        found.not_before = time.monotonic() + found.pause
        return found

    def rotate(self) -> None:
        """Set large logs aside, the agent's own among them. A failure costs that log alone."""
        logs = {unit: watched.log(unit) for unit, watched in self._watched.items()}
        for name, path in {**logs, "the agent": self._file.with_name("agent.log")}.items():
            error = ""
            try:
                self._rotate(name, path)
            except MngdbError as failure:
                error = failure.message
            except OSError as failure:
                error = f"{path} cannot be set aside: {failure.strerror or failure}"
            self._logging.tell(name, error, "its log is set aside again")

    def _rotate(self, name: str, path: Path) -> None:
        size = path.stat().st_size if path.exists() else 0
        grown = size - self._sizes.get(name, size)
        self._sizes[name] = size
        whole = self._logs is not None
        if size > LOG_MAX:
            if self._logs is not None:  # what was set aside before may wait for room
                old_logs.keep(path, self._logs, time.time())
            lost = set_aside(path, whole=whole)
            self._sizes[name] = 0
            text = f"{path} was large; it is {path.name}.1 now"
            if lost:
                text += f", without the first {lost // _MB} MB"
            if grown > LOG_MAX:
                text = f"{name} floods its log: {grown // _MB} MB since the last look; {text}"
            log(text)
        if self._logs is not None:
            old_logs.keep(path, self._logs, time.time())


def set_aside(path: Path, *, whole: bool = False) -> int:
    """Copy a log, of a very large one the end unless it is kept `whole`, and empty it. Whoever
    writes it has it open to append, so it goes on at the new end; what it writes between the last
    byte copied and the emptying (microseconds) is lost, as with logrotate's copytruncate. A crash
    before the end leaves the log as it was, and at the worst the copy as well. Returns the bytes at
    the beginning of which there is no copy. Raises MngdbError where a flood is faster than the
    copy, and where the disk has no room for it: a log that is not kept `whole` waits for room until
    it is very large, and then the end that fits is copied."""
    copy = path.with_name(f"{path.name}.1")
    temporary = path.with_name(f".{path.name}.1")
    temporary.unlink(missing_ok=True)
    source = disk.own(path, os.O_RDWR)
    try:
        for _ in range(_TRIES):
            size = os.fstat(source).st_size
            free = room.for_copies(path.parent)
            very_large = size > 2 * LOG_MAX and not whole
            kept = LOG_MAX if very_large else size
            if kept > free and not very_large:
                raise MngdbError(f"{path} is not set aside: the disk has no room for a copy")
            kept = min(kept, free)
            os.lseek(source, size - kept, os.SEEK_SET)
            if _copy(source, temporary, free if whole else min(free, 2 * LOG_MAX)):
                temporary.replace(copy)
                os.ftruncate(source, 0)
                return size - kept
            temporary.unlink()
        raise MngdbError(f"{path} is not set aside: it grows faster than it is copied")
    finally:
        temporary.unlink(missing_ok=True)  # the disk may be full of it
        os.close(source)


def _copy(source: int, target: Path, most: int) -> bool:
    """The rest of an open file, with what is written to it meanwhile. Whether that was no more than
    so many bytes: a flood goes on while it is copied."""
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        while chunk := os.read(source, _CHUNK):
            most -= len(chunk)
            if most < 0:
                return False
            view = memoryview(chunk)
            while view:
                view = view[os.write(handle, view) :]
        return True
    finally:
        os.close(handle)
