"""The way to a server, for whoever opens it himself: its address, or the tunnel that leads into its
container."""

from __future__ import annotations

import socket
from pathlib import Path

from mngdb.model import Access, socket_file

#: The file in a tunnel's folder that holds the port below.
PORT = "port"
#: Where a tunnel takes TCP connections: drivers that encrypt do so over TCP alone.
LOOPBACK = "127.0.0.1"


def dial(at: Access, timeout: float) -> socket.socket:
    """A connection on which nothing has been said yet. `timeout` in seconds, for each of its
    operations. Raises OSError."""
    if at.socket is None:
        found = socket.create_connection((at.host, at.port), timeout)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return found
    found = socket.socket(socket.AF_UNIX)
    try:
        found.settimeout(timeout)
        found.connect(f"{at.socket}/{socket_file(at.engine, at.port)}")
    except BaseException:
        found.close()
        raise
    return found


def tcp(at: Access) -> tuple[str, int]:
    """Host and port for a driver that encrypts. Raises OSError when the tunnel is not open."""
    if at.socket is None:
        return at.host, at.port
    return LOOPBACK, int(Path(at.socket, PORT).read_text())
