"""A command on a terminal of a width of its own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

#: Lines of the terminal.
_HIGH = 50


def screen(command: Sequence[str | Path], columns: int, cwd: Path, env: Mapping[str, str]) -> str:
    """What a command writes to a terminal that is so many columns wide, colours included."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _HIGH, columns, 0, 0))
    there = {name: value for name, value in env.items() if name not in {"COLUMNS", "NO_COLOR"}}
    found = b""
    with subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=cwd,
        env={**there, "TERM": "xterm-256color"},
    ):
        os.close(theirs)
        with contextlib.suppress(OSError):  # its end
            while chunk := os.read(ours, 65536):
                found += chunk
    os.close(ours)
    return found.decode().replace("\r\n", "\n")
