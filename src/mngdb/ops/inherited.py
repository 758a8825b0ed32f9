"""What a process has of whoever started it, beside its environment: sudo passes it on.

A member's shell could keep the audit log from growing, or have a server that is started end later.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from pathlib import Path

import msgspec

from mngdb.errors import UsageError

#: What servers and the agent inherit; for people, what it limits. sudo sets that of core dumps.
_LIMITS = {
    "FSIZE": "the size of a file (ulimit -f)",
    "NOFILE": "open files (ulimit -n)",
    "AS": "virtual memory (ulimit -v)",
    "DATA": "memory for data (ulimit -d)",
    "STACK": "the stack (ulimit -s)",
    "CPU": "CPU time (ulimit -t)",
    "NPROC": "processes (ulimit -u)",
}
_OOM = Path("/proc/self/oom_score_adj")


class Inherited(msgspec.Struct, frozen=True):
    """Limits by name, soft and hard, in the units of setrlimit(2); the scheduler's policy and the
    nice value; the processors; and how soon the kernel ends it for want of memory."""

    limits: dict[str, tuple[int, int]]
    policy: int
    nice: int
    processors: list[int]
    oom_score_adj: int


def observe() -> Inherited:
    """What this process has."""
    return Inherited(
        {name: resource.getrlimit(_number(name)) for name in _LIMITS},
        os.sched_getscheduler(0),
        os.getpriority(os.PRIO_PROCESS, 0),
        sorted(os.sched_getaffinity(0)),
        int(_OOM.read_text()),
    )


def restore(noted: Inherited, owner: str) -> None:
    """Have what was noted for `owner`, whoever started us. Raises UsageError where the kernel does
    not let us have it back."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, each program would seem to succeed
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for name, (soft, hard) in noted.limits.items():
        try:
            resource.setrlimit(_number(name), (soft, hard))
        except ValueError:
            raise _lower(f"limit on {_LIMITS.get(name, name)}", owner) from None
    try:
        if os.sched_getscheduler(0) != noted.policy:
            os.sched_setscheduler(0, noted.policy, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, 0, noted.nice)
    except OSError:
        raise _lower("CPU priority (nice, chrt)", owner) from None
    # what a member has changed can be changed back; what a session manager has set need not be
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, noted.processors)
    with contextlib.suppress(OSError):
        _OOM.write_text(str(noted.oom_score_adj))


def _lower(what: str, owner: str) -> UsageError:
    return UsageError(
        f"your shell's {what} is lower than that of {owner}'s last 'mngdb up'",
        f"use a new shell without it; if it is the machine's, {owner} runs 'mngdb up' with it",
    )


def _number(name: str) -> int:
    found: int = getattr(resource, f"RLIMIT_{name}")
    return found
