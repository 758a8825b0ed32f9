"""A way to a server inside a container, without a published port: each connection to a socket of
ours is the standard input and output of a `docker exec`, whose other end is the server's port.

Both ends are what the official images have: bash with its /dev/tcp, and cat. Ours is a unix socket
in a private folder, and for drivers that encrypt over TCP alone a port of loopback besides, at
which nobody but this account is let in.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mngdb import disk, log
from mngdb.dial import LOOPBACK, PORT
from mngdb.peer import end
from mngdb.targets.compose.docker import Docker

#: Whichever side hangs up first, the other one is told at once.
_INSIDE = """\
exec 3<>"/dev/tcp/127.0.0.1/$0" || exit 1
cat <&3 & a=$!
cat <&0 >&3 & b=$!
wait -n
kill $a $b 2>/dev/null
wait
"""
#: Seconds in which every `docker exec` may end by itself after the connections were closed. One
#: that does not (its container is paused, the engine hangs) is killed: its input ends then, too.
_END = 0.1


@dataclass
class Tunnel:
    """Listens while it is open. `path` is the socket, in a folder that is made and removed; with
    `tcp` there is a file beside it that says the port."""

    docker: Docker
    container: str
    port: int
    path: Path
    tcp: bool = False
    _listeners: list[socket.socket] = field(init=False, default_factory=list)
    _threads: list[threading.Thread] = field(init=False, default_factory=list)

    def open(self) -> None:
        """Begin to listen. Raises OSError, MngdbError."""
        disk.private(self.path.parent)
        self.path.unlink(missing_ok=True)
        self._listen(socket.AF_UNIX, str(self.path))
        if self.tcp:
            _, port = self._listen(socket.AF_INET, (LOOPBACK, 0))
            disk.write(self.path.with_name(PORT), str(port), durable=False)

    def _listen(self, family: int, address: str | tuple[str, int]) -> Any:
        listener = socket.socket(family)
        self._listeners.append(listener)
        if family == socket.AF_INET:
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(address)
        listener.listen(64)
        here = listener.getsockname()
        thread = threading.Thread(target=self._serve, args=(listener, here), daemon=True)
        thread.start()
        self._threads.append(thread)
        return here

    def close(self) -> None:
        """Stop listening, end what is left, remove the folder."""
        for listener in self._listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for thread in self._threads:
            thread.join()
        shutil.rmtree(self.path.parent, ignore_errors=True)

    def _serve(self, listener: socket.socket, here: Any) -> None:
        children: list[subprocess.Popen[bytes]] = []
        while True:
            try:
                connection, peer = listener.accept()
            except OSError:
                break  # closed
            with connection:
                ours = listener.family == socket.AF_UNIX or _owner(peer, here) == os.geteuid()
                children = [child for child in children if child.poll() is None]
                if ours:
                    children.append(self._connect(connection.fileno()))
        deadline = time.monotonic() + _END
        for child in children:
            # its input ended when the driver closed the connection
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def _connect(self, handle: int) -> subprocess.Popen[bytes]:
        words = ["docker", "exec", "-i", self.container, "bash", "-c", _INSIDE, str(self.port)]
        log.say(__name__, f"docker exec -i {self.container}, to port {self.port}")
        return subprocess.Popen(
            words,
            stdin=handle,
            stdout=handle,
            stderr=subprocess.DEVNULL,
            env=self.docker.env,
            # Ctrl-C is for us: the driver ends its connection itself
            start_new_session=True,
            cwd=os.sep,
        )


def _owner(peer: tuple[str, int], here: tuple[str, int]) -> int | None:
    """The account that has connected from `peer`, on this machine; None: it has hung up."""
    found = end(peer, here)
    return found.uid if found and found.inode else None
