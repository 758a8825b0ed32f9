"""Whether a process runs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from mngdb.targets.process.machine import LINGERS, port_holder
from mngdb.targets.process.processes import Process

#: The first thread ends, another one runs on until it is told to stop.
_LEADER_ENDS = """
import ctypes, sys, threading
thread = threading.Thread(target=sys.stdin.read)
thread.start()
print("begun", flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""


def _fields(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def test_a_process_runs_until_its_last_thread_has_ended() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _LEADER_ENDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout
        assert child.stdin
        process = Process(child.pid, _fields(child.pid)[19])
        assert child.stdout.readline() == b"begun\n"
        end = time.monotonic() + 60
        while _fields(child.pid)[0] != "Z":
            assert time.monotonic() < end
            time.sleep(0.01)
        assert process.alive()
        assert not process.dead_but_there()
        child.stdin.close()
        assert os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert process.dead_but_there()
        assert not process.alive()
    assert not process.dead_but_there()


def test_a_port_that_a_connection_has_just_left_is_nobodys() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.bind(("127.0.0.1", 0))  # without SO_REUSEADDR
        client.connect(server.getsockname())
        port = client.getsockname()[1]
        client.close()
        server.accept()[0].close()
        assert port_holder("127.0.0.1", port) == LINGERS
