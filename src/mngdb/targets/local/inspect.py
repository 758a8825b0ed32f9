"""Fills in `facts.host`: what the kernel says of our servers, and of the machine under them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from mngdb.errors import UnobservableError
from mngdb.facts.host import Folder, MachineFacts, Process, ServerFacts
from mngdb.findings import see
from mngdb.room import closed
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.spec.stack import Instance, Stack
from mngdb.spec.target_models import Local
from mngdb.targets.local.runner import LocalRunner
from mngdb.targets.process import boot, machine
from mngdb.targets.process.processes import children

_PROC = Path("/proc")
_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_NO_LIMIT = 1 << 62
#: STA_UNSYNC of adjtimex(2).
_UNSYNCHRONIZED = 0x40
#: Lines that show a password.
_SHOWS = re.compile(
    r"\bpassword\s+(?:e?'[^']|\$)|^\s*auth\s+\S|requirepass\s+[^\s\"]|\bpwd\s*:\s*['\"]"
    r"|\bacl\s+setuser\b.*\s>\S|\w+://[^\s/:@]*:[^\s@]+@",
    re.IGNORECASE | re.MULTILINE,
)


def server(host: LocalRunner, instance: Instance) -> ServerFacts:
    """Everything that is judged of one server. What cannot be seen is a reason, no error."""
    folder = host.layout.unit(instance.unit)
    folders = [folder.conf, folder.run, folder.sockets]
    return ServerFacts(
        engine=instance.engine,
        version=instance.spec.version or "",
        uid=host.layout.uid(instance.unit),
        process=see(lambda: process(_pid(host, instance.unit))),
        data=see(lambda: data_folder(folder.data)),
        open_to_others=see(lambda: tuple(open_to_others(folders, [folder.log]))),
        bind=tuple(instance.spec.bind),
        files=instance.spec.files,
        tasks=instance.spec.tasks,
        backlog=instance.spec.backlog,
        somaxconn=int((_PROC / "sys/net/core/somaxconn").read_text()),
    )


def _pid(host: LocalRunner, unit: str) -> int:
    found = host.process(unit)
    if found is None:
        raise UnobservableError(f"{unit} is not running")
    return found.pid


def process(pid: int, proc: Path = _PROC) -> Process:
    """What the kernel says of a process. Raises UnobservableError if it is gone, or not ours."""
    own = proc / str(pid)
    try:
        status, limits = _status(own), _limits(own)
        return Process(
            uid=int(status["Uid"].split()[1]),
            capabilities=int(status["CapEff"], 16),
            open_files=limits["Max open files"],
            processes=min(
                [
                    limits["Max processes"],
                    *machine.group_limits(own, "pids", "pids.max", "pids.max"),
                ]
            ),
            core=limits["Max core file size"],
            huge_pages=status.get("THP_enabled", "1") == "1" and _huge_pages_for_all(),
            swapped=sum(_swapped(proc / str(one)) for one in [pid, *children(own)]),
            oom_adjustment=int((own / "oom_score_adj").read_text()),
            listening=machine.listening(pid),
            replaced=_replaced(own),
        )
    except (FileNotFoundError, ProcessLookupError):
        raise UnobservableError(f"process {pid} has just exited") from None
    except PermissionError:
        raise UnobservableError(
            f"process {pid} belongs to another account: only root can inspect it"
        ) from None


def _status(own: Path) -> dict[str, str]:
    lines = (line.split(":", 1) for line in (own / "status").read_text().splitlines())
    return {name: value.strip() for name, value in lines}


def _limits(own: Path) -> dict[str, int]:
    """The limits in force (the soft ones)."""
    found = re.findall(r"^(.+?) {2,}(\S+) +\S+", (own / "limits").read_text(), re.MULTILINE)
    return {
        name: _NO_LIMIT if value == "unlimited" else int(value)
        for name, value in found
        if value == "unlimited" or value.isdigit()
    }


def _huge_pages_for_all() -> bool:
    try:
        text = _HUGE_PAGES.read_text()
    except FileNotFoundError:
        return False  # a kernel without them
    return "[always]" in text


def _swapped(own: Path) -> int:
    try:
        return int(_status(own).get("VmSwap", "0").split()[0]) << 10
    except (FileNotFoundError, ProcessLookupError):
        return 0  # a child that has just ended


def _replaced(own: Path) -> str:
    path = str((own / "exe").readlink())
    return path.removesuffix(" (deleted)") if path.endswith(" (deleted)") else ""


def data_folder(path: Path) -> Folder:
    """A data folder and its file system. Raises UnobservableError."""
    try:
        found, room = path.stat(), os.statvfs(path)
    except OSError as error:
        raise UnobservableError(f"{path}: {error.strerror}") from None
    mount, filesystem = _mounted(path)
    return Folder(
        path=str(path),
        uid=found.st_uid,
        mode=stat.S_IMODE(found.st_mode),
        filesystem=filesystem,
        free=room.f_bavail / max(1, room.f_blocks - room.f_bfree + room.f_bavail),
        free_bytes=room.f_bavail * room.f_frsize,
        inodes_free=room.f_favail / room.f_files if room.f_files else None,
        closed=closed(room),
        mount=str(mount),
    )


def _mounted(path: Path) -> tuple[Path, str]:
    """The mount that a path lies on, and its kind: the one mounted last at the longest prefix."""
    real = path.resolve()
    best, kind = Path("/"), "unknown"
    for line in (_PROC / "self/mountinfo").read_text(errors="surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        mounted = Path(re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), before.split()[4]))
        if real.is_relative_to(mounted) and len(mounted.parts) >= len(best.parts):
            best, kind = mounted, after.split()[0]
    return best, kind


def open_to_others(folders: list[Path], files: list[Path]) -> Iterator[str]:
    """Files (those in `folders` included) that others may read or write, and folders that others
    may list or write to: passing through is what the servers' account needs."""
    for folder in dict.fromkeys(folders):
        if not folder.is_dir():
            raise UnobservableError(f"{folder} does not exist")
        if folder.stat().st_mode & 0o066:
            yield f"{folder} ({stat.S_IMODE(folder.stat().st_mode):o})"
        files = [*files, *(path for path in sorted(folder.iterdir()) if path.is_file())]
    for path in files:
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            continue  # gone in between, or never written
        if mode & 0o077 and path.suffix != ".crt":
            yield f"{path} ({stat.S_IMODE(mode):o})"


class _Timex(ctypes.Structure):
    """struct timex, of which `status` counts here; the rest is room for what the kernel writes."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        *((name, ctypes.c_long) for name in ("offset", "freq", "maxerror", "esterror")),
        ("status", ctypes.c_int),
        ("room", ctypes.c_byte * 256),
    )


def synchronized() -> bool:
    """Whether the kernel's clock is (adjtimex(2))."""
    found = _Timex()
    try:
        told = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(found))
    except (OSError, AttributeError) as error:
        raise UnobservableError(f"adjtimex is not available: {error}") from None
    if told < 0:
        raise UnobservableError(f"adjtimex: {os.strerror(ctypes.get_errno())}")
    return not found.status & _UNSYNCHRONIZED


def histories(homes: Iterable[Path]) -> Iterator[str]:
    """Histories of clients that others may read, or that show a password."""
    names = {name for one in ENGINE_INFO.values() for name in one.histories}
    for path in sorted({home / name for home in homes for name in names}):
        try:
            mode, text = path.stat().st_mode, path.read_text(errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise UnobservableError(f"{path}: {error.strerror}") from None
        if mode & 0o077:
            yield f"{path} ({stat.S_IMODE(mode):o})"
        if _SHOWS.search(text):
            yield f"a password in {path}"


def _homes(stack: Stack) -> list[Path]:
    """Of this account, and of those that are called as the stack's servers are."""
    found = [Path.home()]
    for one in stack.instances.values():
        with contextlib.suppress(KeyError):
            found.append(Path(pwd.getpwnam(f"mngdb-{one.engine}").pw_dir))
    return found


def machine_facts(stack: Stack, proc: Path = _PROC) -> MachineFacts:
    """The machine, and what the stack asks of it."""
    text = (proc / "meminfo").read_text()
    there = {k: int(v) << 10 for k, v in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}
    memory = machine.memory()
    asked = {
        name: one.memory.of(memory) for name, one in stack.instances.items() if one.target.of(Local)
    }
    return MachineFacts(
        memory=memory,
        swap=there["SwapTotal"],
        available=there["MemAvailable"],
        overcommit=int((proc / "sys/vm/overcommit_memory").read_text()),
        commit_left=there["CommitLimit"] - there["Committed_AS"],
        asked=asked,
        forking={
            name: size
            for name, size in asked.items()
            if ENGINE_INFO[stack.instances[name].engine].forks
        },
        synchronized=see(synchronized),
        histories=see(lambda: tuple(histories(_homes(stack)))),
        boot=boot.comes_back(stack) if boot.needed(stack) else "Docker starts its containers again",
        boot_lost=boot.lost(stack),
        boots=boot.can(),
    )
