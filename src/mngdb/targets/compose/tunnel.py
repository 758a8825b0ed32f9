"""A way to a server inside a container, without a published port: each connection to a unix socket
of ours is the standard input and output of a `docker exec`, whose other end is the server's port.

Both ends are what the official images have: bash with its /dev/tcp, and cat.
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

from mngdb import disk
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
    """Listens while it is open. `path` is the socket, in a folder that is made and removed."""

    docker: Docker
    container: str
    port: int
    path: Path
    _listener: socket.socket = field(init=False)
    _thread: threading.Thread = field(init=False)
    _children: list[subprocess.Popen[bytes]] = field(init=False, default_factory=list)

    def open(self) -> None:
        """Begin to listen. Raises OSError, MngdbError."""
        disk.private(self.path.parent)
        self.path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(64)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening, end what is left, remove the folder."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        deadline = time.monotonic() + _END
        for child in self._children:
            # its input ended when the driver closed the connection
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        shutil.rmtree(self.path.parent, ignore_errors=True)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed
            with connection:
                self._children = [child for child in self._children if child.poll() is None]
                self._children.append(self._connect(connection.fileno()))

    def _connect(self, handle: int) -> subprocess.Popen[bytes]:
        words = ["docker", "exec", "-i", self.container, "bash", "-c", _INSIDE, str(self.port)]
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
