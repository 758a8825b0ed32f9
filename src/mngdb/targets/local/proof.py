"""Whether who answers at a server's port is that server: the process that the pid file names."""

from __future__ import annotations

import os
import socket

from mngdb import peer
from mngdb.dial import ready
from mngdb.targets.process.processes import Process


def holds(wire: socket.socket, process: Process | None, uid: int) -> bool | None:
    """Whether `process`, which runs as `uid`, holds the far end of a connection; None: nobody has
    accepted it yet. Raises ConnectionResetError when the far end is closed."""
    end = peer.end(wire.getpeername(), wire.getsockname())
    if end is None or end.inode == 0:
        if ready(wire, 0):
            # Redis turns away whom it has no room for: it says why, and closes its end
            raise ConnectionResetError("connection closed by server")
        return None
    if process is None or end.uid != uid:
        return False
    if _held(process.pid, end):
        return True
    # PostgreSQL hands a connection to a child: looked for after it is known not to have it
    return any(_held(pid, end) for pid in process.family()[1:])


def _held(pid: int, end: peer.End) -> bool:
    try:
        return peer.holds(pid, end.inode)
    except PermissionError:
        # root in a container may lack CAP_SYS_PTRACE: then its account is the proof, which only
        # servers of ours run as; a process of our own account is just ending, and holds nothing
        return end.uid != os.geteuid()
