"""What the agent may do: as little as its work takes, from before its first thread on."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

#: prctl(2) and capabilities(7).
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 24, 38
_VERSION_3 = 0x20080522
#: As root: servers run as another account, which owns their files; that account is to be started
#: (SETUID, SETGID), stopped (KILL) and looked at (SYS_PTRACE), with limits of its own
#: (SYS_RESOURCE). The pages may be served on a low port.
KEPT = {
    "CHOWN": 0,
    "DAC_OVERRIDE": 1,
    "FOWNER": 3,
    "KILL": 5,
    "SETGID": 6,
    "SETUID": 7,
    "NET_BIND_SERVICE": 10,
    "SYS_PTRACE": 19,
    "SYS_RESOURCE": 24,
}


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def drop() -> None:
    """Give up what is not needed, for this process and all that it starts. No program that it runs
    gains anything by being set-user-ID; nobody else may read what it writes.

    Capabilities are each thread's own: to be called before there are others. Raises OSError.
    """
    os.umask(0o077)
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() == 0:
        _limit(libc)
    _ok(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def _limit(libc: ctypes.CDLL) -> None:
    wanted = sum(1 << number for number in KEPT.values())
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    for number in range(last + 1):
        if not wanted >> number & 1:
            # without SETPCAP (some containers) it cannot be; no_new_privs keeps them from coming
            # back all the same
            libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
    header, data = _Header(_VERSION_3, 0), (_Data * 2)()
    _ok(libc.capget(ctypes.byref(header), data))
    for index, word in enumerate(data):
        part = wanted >> 32 * index & 0xFFFFFFFF
        word.effective &= part
        word.permitted &= part
        word.inheritable = 0
    _ok(libc.capset(ctypes.byref(header), data))


def _ok(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
