"""A server as a process of its own: start it, know it again, stop it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import ClassVar

from msgspec import Struct

from mngdb import disk, stopping

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
#: Seconds between two looks at whether a server has given up stopping.
_LOOK = 0.5


class Process(Struct, frozen=True):
    """A running process, told apart from a later one with the same pid by its start."""

    pid: int
    started: str
    verdict: ClassVar[str] = ""
    said: ClassVar[str] = ""

    def alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        stat = _stat(self.pid)
        return stat is not None and stat[19] == self.started and not _ended(stat)

    def state(self) -> str:
        """Its state as proc(5) has it: R, S, D, T, …; empty: it has ended."""
        stat = _stat(self.pid)
        return stat[0] if stat is not None and stat[19] == self.started else ""

    def dead_but_there(self) -> bool:
        """Whether it has ended and its parent has not yet asked how (a zombie)."""
        stat = _stat(self.pid)
        return stat is not None and stat[19] == self.started and _ended(stat)

    def folder(self) -> Path | None:
        """The folder that it works in, where that is now; None: it was removed, or the process is
        not ours to look at."""
        try:
            found = Path(f"/proc/{self.pid}/cwd").readlink()
        except OSError:
            return None
        return found if found.is_dir() else None

    def family(self) -> list[int]:
        """Its pid and its children's."""
        return [self.pid, *children(Path(f"/proc/{self.pid}"))]

    def titles(self) -> list[str]:
        """What it and its children call themselves."""
        found = []
        for pid in self.family():
            with contextlib.suppress(OSError):  # ended in between
                said = Path(f"/proc/{pid}/cmdline").read_bytes()
                found.append(said.replace(b"\0", b" ").decode(errors="replace").strip())
        return found

    def memory(self, *, alone: bool = False) -> int:
        """Resident memory in bytes of it and its children (PostgreSQL has many), shared memory
        counted once per process that touched it; `alone`: its own."""
        total = 0
        for pid in [self.pid] if alone else self.family():
            try:
                fields = Path(f"/proc/{pid}/statm").read_text().split()
            except OSError:
                continue  # ended in between
            total += (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")
            if pid == self.pid:
                total += int(fields[2]) * os.sysconf("SC_PAGE_SIZE")
        return total

    def uptime(self) -> float:
        """Seconds since it started."""
        running = float(Path("/proc/uptime").read_text().split()[0])
        return max(0.0, running - int(self.started) / os.sysconf("SC_CLK_TCK"))

    def replaced(self) -> bool:
        """Whether the file that it was started from is another one by now: a package was upgraded,
        maybe to the same version with a fix."""
        try:
            return str(Path(f"/proc/{self.pid}/exe").readlink()).endswith(" (deleted)")
        except OSError:
            return False  # ended in between, or not ours to look at

    def signal(self, number: int) -> bool:
        """Send a signal to this very process. False if it has ended."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            # the handle keeps its meaning, so what is alive now is what gets the signal
            if not self.alive():
                return False
            signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)
        return True

    def kill_group(self) -> None:
        """End it at once, with what it started (it leads a session), and wait until all are gone:
        they write no more. Also what it left when it ended."""
        left = self._group()
        while left:
            for one in left:
                one.signal(signal.SIGKILL)
            time.sleep(0.005)  # it is part of cleaning up: not for Ctrl-C
            left = {one for one in left | self._group() if one.alive()}

    def _group(self) -> set[Process]:
        """It, its session's other processes and, as long as it lives, its children: some lead
        sessions of their own."""
        leader, mine = _stat(self.pid), str(self.pid)
        if leader is not None and leader[19] != self.started:
            return set()  # a later process has its pid: then none of its session is left
        found = set()
        for place in Path("/proc").iterdir():
            stat = _stat(int(place.name)) if place.name.isdigit() else None
            if stat is not None and mine in {stat[1], stat[3]} and not _ended(stat):
                found.add(Process(int(place.name), stat[19]))
        return found

    def stop(
        self, with_signal: int, timeout: float, stays: Callable[[], bool] = lambda: False
    ) -> bool:
        """Ask it to stop and wait. False if it still runs after `timeout` seconds, or as soon as
        it `stays`."""
        if not self.signal(with_signal):
            return True
        if self.state() == "T":  # a halted one takes no other signal
            for pid in self.family():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        begun = time.monotonic()
        look = begun + _LOOK
        while self.alive():
            now = time.monotonic()
            if now > begun + timeout:
                return False
            if now > look:
                if stays():
                    return False
                look = now + _LOOK
            stopping.sleep(0.01)
        return True


def child(pid: int) -> Process:
    """Our own child, which nobody has waited for yet. Raises ValueError for none."""
    stat = _stat(pid)
    if stat is None:
        raise ValueError(f"{pid} is not a child")
    return Process(pid, stat[19])


def find(pidfile: Path, uid: int, *folders: Path, log: Path | None = None) -> Process | None:
    """The process that a pid file names, if it is that very one, runs as `uid`, and works in one of
    `folders` or, after its folder was moved, still writes to `log`: a copied pid file names a
    process of another stack. Raises as `disk.own` for what is no pid file.

    The file holds the pid, its line of /proc/PID/stat and the machine's boot id, written by the
    launcher (`run.spawn`). An account other than root's may have changed it, so it is never
    trusted further than /proc agrees.
    """
    process = _named(pidfile, [uid])
    if process is None:
        return None
    try:
        ours = _owner(process.pid) == uid and (
            _works_in(process.pid, folders) or (log is not None and _writes_to(process.pid, log))
        )
    except (FileNotFoundError, ProcessLookupError):
        return None  # no such process
    return process if ours and process.alive() else None


def working_in(uids: Collection[int], *folders: Path, but: Path) -> Process | None:
    """The oldest process of one of `uids` that works in one of `folders`, and is neither the one
    that the pid file `but` names nor of its session: a server whose own pid file was lost."""
    other = _named(but, uids)
    found = []
    for place in Path("/proc").iterdir():
        with contextlib.suppress(OSError, IndexError):
            # the folder's owner is root for a process that may not be traced
            if not place.name.isdigit() or _owner(pid := int(place.name)) not in uids:
                continue
            mine = other is None or os.getsid(pid) != other.pid
            if mine and _works_in(pid, folders) and _named_as_started(place):
                stat = _stat(pid)
                if stat is not None and not _ended(stat):
                    found.append(Process(pid, stat[19]))
    return min(found, key=lambda one: (int(one.started), one.pid), default=None)


def holding(uid: int, path: Path) -> Process | None:
    """The process of `uid` that works in the folder of `path` and has that file open, also where
    either was removed: the holder of a lock, when its pid file was lost."""
    real = path.parent.resolve() / path.name
    names = {str(real), f"{real} (deleted)"}
    for place in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if not place.name.isdigit() or _owner(pid := int(place.name)) != uid:
                continue
            if pid != os.getpid() and _works_in(pid, [path.parent]):
                opened = {str(one.readlink()) for one in (place / "fd").iterdir()}
                stat = _stat(pid)
                if opened & names and stat is not None and not _ended(stat):
                    return Process(pid, stat[19])
    return None


def _named_as_started(place: Path) -> bool:
    """Whether a process calls itself as its program is called: a server's children say what they
    do (`postgres: checkpointer`)."""
    said = (place / "cmdline").read_bytes().replace(b"\0", b" ").split(b" ")[0]
    return Path(os.fsdecode(said)).name == (place / "exe").readlink().name


def record(pid: int) -> str:
    """What a pid file of `pid` holds."""
    stat = Path(f"/proc/{pid}/stat").read_text().rstrip("\n")
    return f"{pid}\n{stat}\n{_BOOT_ID.read_text()}"


def wait_for_init(pidfile: Path, uid: int, timeout: float) -> None:
    """Wait until init has taken note of the end of a server that was killed. Before that,
    PostgreSQL takes the pid in its lock file for a living one's, and does not start."""
    process = _named(pidfile, [uid])
    deadline = time.monotonic() + timeout
    while process is not None and process.dead_but_there() and time.monotonic() < deadline:
        stopping.sleep(0.01)


def _named(pidfile: Path, owners: Collection[int]) -> Process | None:
    """What a pid file says, if it is a whole one of this boot."""
    lines = (disk.read_own(pidfile, owners=owners) or "").splitlines()
    try:
        process = Process(int(lines[0]), lines[1].rsplit(")", 1)[1].split()[19])
        same_boot = lines[2].strip() == _BOOT_ID.read_text().strip()
    except (ValueError, IndexError):
        return None  # half a file, or none of ours
    return process if same_boot else None


def _owner(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("\nUid:", 1)[1].split()[0])


def _works_in(pid: int, folders: Sequence[Path]) -> bool:
    """Whether a process's working directory is one of `folders`, by inode: a folder that was moved
    is the same, one that was made again is not. One that was removed has its name alone."""
    cwd = Path(f"/proc/{pid}/cwd")
    try:
        found, named = cwd.stat(), str(cwd.readlink())
    except PermissionError:
        return False  # another account's
    if any(named == f"{folder} (deleted)" for folder in folders):
        return True
    for folder in folders:
        with contextlib.suppress(OSError):
            there = folder.stat()
            if (found.st_dev, found.st_ino) == (there.st_dev, there.st_ino):
                return True
    return False


def _writes_to(pid: int, log: Path) -> bool:
    """Whether a process's standard error is a file, by inode."""
    try:
        return Path(f"/proc/{pid}/fd/2").samefile(log)
    except (PermissionError, FileNotFoundError):
        return False


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on; the name before may hold anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return None


def _ended(stat: list[str]) -> bool:
    """Whether its last thread has ended: until then its ports and locks are not free."""
    state, threads = stat[0], int(stat[17])
    return state == "X" or (state == "Z" and threads <= 1)


def children(own: Path) -> list[int]:
    """The pids of a process's children, given its folder in /proc."""
    found = []
    for task in own.glob("task/*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except OSError:
            continue  # ended in between
    return found
