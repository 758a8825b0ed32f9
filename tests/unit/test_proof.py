"""Who is at the far end of a connection, as an ordinary account sees it."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import time
import traceback
from pathlib import Path

from mngdb.targets.local.proof import holds
from mngdb.targets.process.processes import Process

_PR_SET_DUMPABLE = 4


def _with_a_dead_child() -> int:
    """A process one of whose children has ended and is still listed."""
    pid = os.fork()
    if pid == 0:
        if os.fork() == 0:
            os._exit(0)
        signal.pause()
    return pid


def _trusted(pid: int) -> bool | None:
    """Whether a stranger, ourselves, is taken for the server `pid`."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    while not children.read_text().split():
        time.sleep(0.01)
    started = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[19]
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as wire:
        wire.connect(server.getsockname())
        with server.accept()[0]:
            return holds(wire, Process(pid, started), os.geteuid())


def test_a_server_whose_child_has_just_ended_is_told_from_a_stranger() -> None:
    """Its list of open files is root's then: nobody else may look."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if os.geteuid() == 0:
                os.setresuid(65534, 65534, 65534)
                ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
            server = _with_a_dead_child()
            try:
                time.sleep(0.1)
                code = 0 if _trusted(server) is False else 2
            finally:
                os.kill(server, signal.SIGKILL)
        except Exception:  # noqa: BLE001 - told; the exit code says so too
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
