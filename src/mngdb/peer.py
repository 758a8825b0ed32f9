"""Who holds a TCP socket of this machine: the kernel tells everybody.

https://docs.kernel.org/networking/proc_net_tcp.html: each end of a connection, and each socket that
listens, has a line of its own, with the account that made it and its inode.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

_LISTENS, _CONNECTED, _ENDED = "0A", "01", "06"


class End(Struct, frozen=True):
    """A socket. `inode` is 0 until a process has accepted its connection, and after the last one
    has closed it; `uid` says nothing then."""

    uid: int
    inode: int


def end(local: tuple[Any, ...], remote: tuple[Any, ...]) -> End | None:
    """The end at `local` (host, port, …) of the connection with `remote`; None: there is none on
    this machine, or not any more."""
    ends = [(str(host).partition("%")[0], port) for host, port, *_ in (local, remote)]
    tables = [("tcp6", ends)]
    if ":" not in ends[0][0]:
        # a server that listens to both families has the other one's addresses like this
        tables = [("tcp", ends), ("tcp6", [(f"::ffff:{host}", port) for host, port in ends])]
    for name, pair in tables:
        for words in _lines(name, " ".join(_hexadecimal(*one) for one in pair)):
            return End(int(words[7]), int(words[9]))
    return None


def listener(host: str, port: int) -> End | None:
    """The socket that takes connections to an address of this machine; None: there is none."""
    tables = {"tcp6": (host, "::")}
    if ":" not in host:
        mapped = f"::ffff:{host}"
        tables = {"tcp": (host, "0.0.0.0"), "tcp6": ("::", mapped)}  # noqa: S104 - compared
    for table, hosts in tables.items():
        wanted = {_hexadecimal(one, port) for one in hosts}
        for words in _lines(table, f":{port:04X} "):
            if words[3] == _LISTENS and words[1] in wanted:
                return End(int(words[7]), int(words[9]))
    return None


def clients(port: int) -> list[End]:
    """The clients' ends, where they are on this machine, of all connections to a port."""
    end = f":{port:04X}"
    return [
        End(int(words[7]), int(words[9]))
        for table in ("tcp", "tcp6")
        for words in _lines(table, f"{end} ")
        if words[3] == _CONNECTED and words[2].endswith(end)
    ]


def lingers(port: int) -> bool:
    """Whether a connection of this port has ended on this side, which then has it for a minute."""
    end = f":{port:04X}"
    return any(
        words[3] == _ENDED and words[1].endswith(end)
        for table in ("tcp", "tcp6")
        for words in _lines(table, f"{end} ")
    )


def sockets(pid: int) -> set[int]:
    """The inodes of the sockets that a process has open. Raises PermissionError for one of another
    account."""
    try:
        with os.scandir(f"/proc/{pid}/fd") as handles:
            links = [_link(handle.path) for handle in handles]
    except (FileNotFoundError, ProcessLookupError):
        return set()  # the process has ended
    return {int(link[8:-1]) for link in links if link.startswith("socket:[")}


def holds(pid: int, inode: int) -> bool:
    """Whether a process has the socket open. Raises PermissionError for one of another account."""
    wanted = f"socket:[{inode}]"
    try:
        with os.scandir(f"/proc/{pid}/fd") as handles:
            return any(_link(handle.path) == wanted for handle in handles)
    except (FileNotFoundError, ProcessLookupError):
        return False  # the process has ended


def _link(path: str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115 - of thousands
    except FileNotFoundError:
        return ""  # closed meanwhile


def _lines(table: str, part: str) -> Iterator[list[str]]:
    """The lines that contain `part`, in words; a busy machine has thousands of others."""
    path = Path(f"/proc/net/{table}")
    if path.exists():  # a kernel may be without IPv6
        with path.open() as lines:
            next(lines)
            yield from (line.split() for line in lines if part in line)


def _hexadecimal(host: str, port: int) -> str:
    """As the kernel prints it: each four bytes as a number of this machine."""
    packed = socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    words = [packed[at : at + 4] for at in range(0, len(packed), 4)]
    text = "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)
    return f"{text}:{port:04X}"
