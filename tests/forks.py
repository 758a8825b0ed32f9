"""Starts `mngdb` as forks of a process that has imported mngdb and the libraries already, which is
what most of a short command's processor time goes into. `python -m tests.forks` is that process. It
runs no command itself, and nothing of one command is left for the next; a change of the code during
a run of the tests is not seen.
"""

from __future__ import annotations

import gc
import json
import os
import pkgutil
import re
import runpy
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import mngdb

#: What mngdb imports where it needs it.
_LIBRARIES = ("detect_secrets", "dotenv", "obstore", "psutil", "pyrage", "wcwidth", "zstandard")
#: Variables that a Python reads when it starts, which a fork does not.
_START = ("PYTHON", "LC_", "LANG", "LD_")
_LONGEST = 1 << 20


class Forks:
    """A running process to fork from; it ends with this one, or with `close`."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="mngdb-forks-")
        self._path = f"{self._folder}/socket"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self._path)
            listener.listen(64)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forks", str(listener.fileno())],
                cwd=Path(__file__).parents[1],
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
            )

    def close(self) -> None:
        """End the process; commands that run go on."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        shutil.rmtree(self._folder)

    def run(
        self,
        module: str,
        argv: list[str],
        cwd: Path,
        env: Mapping[str, str],
        stdin: str | None,
        timeout: float,
    ) -> subprocess.CompletedProcess[str]:
        """As subprocess.run, of a module with these words. Raises subprocess.TimeoutExpired."""
        with ExitStack() as held:
            call = held.enter_context(socket.socket(socket.AF_UNIX))
            call.connect(self._path)
            source = held.enter_context(tempfile.TemporaryFile())
            source.write((stdin or "").encode())
            source.seek(0)
            pipes = [os.pipe(), os.pipe()]
            ends = [held.enter_context(os.fdopen(read, "rb", buffering=0)) for read, _ in pipes]
            given = [source.fileno() if stdin is not None else 0, *(write for _, write in pipes)]
            words = [module, *argv]
            asked = json.dumps({"argv": words, "cwd": str(cwd), "env": dict(env)}).encode()
            assert len(asked) < _LONGEST
            socket.send_fds(call, [len(asked).to_bytes(4, "big")], given)
            for _, write in pipes:
                os.close(write)
            call.sendall(asked)
            try:
                out, err = _read(ends, time.monotonic() + timeout)
            except TimeoutError:
                raise subprocess.TimeoutExpired(argv, timeout) from None
            call.settimeout(timeout)
            code = int(call.recv(16) or b"-9")
        return subprocess.CompletedProcess(argv, code, out, err)


def forkable(env: Mapping[str, str]) -> bool:
    """Whether a command with this environment is the same as a fork."""
    now = {name: value for name, value in os.environ.items() if name.startswith(_START)}
    return now == {name: value for name, value in env.items() if name.startswith(_START)}


def _read(ends: list[Any], deadline: float) -> tuple[str, ...]:
    """All that comes out of the pipes until nobody writes any more. Raises TimeoutError."""
    found = {end: bytearray() for end in ends}
    with selectors.DefaultSelector() as selector:
        for end in ends:
            selector.register(end, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                data = os.read(key.fd, 1 << 16)
                found[key.fileobj] += data
                if not data:
                    selector.unregister(key.fileobj)
    return tuple(text.decode().replace("\r\n", "\n") for text in found.values())


# --- the process that forks


def _serve(listener: socket.socket) -> None:
    """Fork for each call. Returns in the fork that is to become the command."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        selector.register(0, selectors.EVENT_READ)
        while True:
            if any(key.fileobj == 0 for key, _ in selector.select()):
                os._exit(0)  # whoever started us is gone
            call = listener.accept()[0]
            if os.fork() == 0:
                break
            call.close()
    listener.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, fds, _, _ = socket.recv_fds(call, 4, 3)
    asked = json.loads(_exactly(call, int.from_bytes(size, "big")))
    command = os.fork()
    if command:
        _watch(command, call)
    call.close()
    _become(asked, fds)


def _exactly(call: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = call.recv(size - len(data))
        if not part:
            os._exit(1)
        data += part
    return data


def _watch(command: int, call: socket.socket) -> None:
    """Tell how the command ends; kill it when nobody waits for it any more. Never returns."""
    for fd in (1, 2):
        os.close(fd)
    with selectors.DefaultSelector() as selector:
        handle = os.pidfd_open(command)
        selector.register(handle, selectors.EVENT_READ)
        selector.register(call, selectors.EVENT_READ)
        if all(key.fileobj != handle for key, _ in selector.select()):
            os.kill(command, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
    try:
        call.sendall(str(code).encode())
    finally:
        os._exit(0)


def _become(asked: dict[str, Any], fds: list[int]) -> None:
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
    os.closerange(3, 64)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.argv = asked["argv"]
    sys.path[0] = asked["cwd"]


def _main() -> None:
    modules = [found.name for found in pkgutil.walk_packages(mngdb.__path__, "mngdb.")]
    for name in (*modules, *_LIBRARIES):
        if name != "mngdb.__main__":
            __import__(name)
    gc.freeze()  # a collection in a fork would copy all of it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _serve(socket.socket(fileno=int(sys.argv[1])))
    if sys.argv[0] != "mngdb":  # it has more engines, and builds the file's models with them
        for name in [*filter(re.compile(r"mngdb\b").match, sys.modules)]:
            del sys.modules[name]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
