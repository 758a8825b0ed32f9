"""The way to a server, for whoever opens it himself: its address, or the tunnel that leads into its
container."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from mngdb import log, stopping
from mngdb.errors import ConnectError
from mngdb.model import Access
from mngdb.spec.engine_info import ENGINE_INFO

#: The file in a tunnel's folder that holds the port below.
PORT = "port"
#: Where a tunnel takes TCP connections: drivers that encrypt do so over TCP alone.
LOOPBACK = "127.0.0.1"
#: Seconds between two looks whether a server has taken a connection: doubled each time.
_FIRST_LOOK, _LAST_LOOK = 0.0002, 0.05
#: Errors that also somebody else causes who listens at a server's port; others are of a server that
#: ends the connection, and so its proof, at once.
_DOUBTFUL = {"down", "busy", "tls", "stranger", "auth", "other"}
#: Seconds for a proof after an error.
_PROOF = 0.5


def dial(at: Access, timeout: float) -> socket.socket:
    """A connection on which nothing has been said yet. `timeout` in seconds, for each of its
    operations. Raises OSError."""
    with log.timed(__name__, lambda: f"connect to {at.socket or at.host}:{at.port}"):
        return _dial(at, timeout)


def _dial(at: Access, timeout: float) -> socket.socket:
    if at.socket is None:
        found = socket.create_connection((at.host, at.port), timeout)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return found
    found = socket.socket(socket.AF_UNIX)
    try:
        found.settimeout(timeout)
        found.connect(f"{at.socket}/{ENGINE_INFO[at.engine].socket_file(at.port)}")
    except BaseException:
        found.close()
        raise
    return found


def ready(wire: socket.socket | int, timeout: float, *, write: bool = False) -> bool:
    """Whether a connection has something to read, or takes what is written, within `timeout`
    seconds. Unlike select() it knows more than 1024 open files."""
    with selectors.PollSelector() as selector:
        selector.register(wire, selectors.EVENT_WRITE if write else selectors.EVENT_READ)
        return bool(selector.select(timeout))


def prove(at: Access, wire: socket.socket, timeout: float) -> None:
    """Make sure that a connection of `dial` leads to the server itself, before a secret is said
    that whoever listens could read. `timeout` in seconds, for the server to take the connection.

    Raises ConnectError (`stranger`) when it is somebody else who listens there, TimeoutError when
    nobody takes it, ConnectionResetError when the server turned us away (it may have said why).
    """
    holds = provable(at)
    if at.proof is None or holds is None:
        return
    deadline, pause = time.monotonic() + timeout, _FIRST_LOOK
    while (found := holds(wire)) is None:
        if time.monotonic() > deadline:
            raise TimeoutError("the connection was not accepted")
        stopping.sleep(pause)
        pause = min(_LAST_LOOK, 2 * pause)
    if not found:
        raise ConnectError(
            f"a process other than {at.proof.unit} listens on {at.host}:{at.port}: no password "
            "was sent to it",
            "stop that process, then run 'mngdb up'; or give the server another port in the file",
            "stranger",
        )


def provable(at: Access) -> Callable[[socket.socket], bool | None] | None:
    """`Proof.holds`, where a server is told from others by its process. Not where it is reached by
    a socket: that is in a folder of the server's own, nobody else listens there."""
    return at.proof.holds if at.proof is not None and at.socket is None else None


def blamed(at: Access, error: ConnectError) -> ConnectError:
    """Why a login failed: that somebody else listens there where that is so, else `error`."""
    if error.kind not in _DOUBTFUL or provable(at) is None:
        return error
    try:
        with dial(at, _PROOF) as wire:
            prove(at, wire, _PROOF)
    except ConnectError as found:
        return found
    except OSError:
        pass  # nobody listens, or nobody takes the connection
    return error


def tcp(at: Access) -> tuple[str, int]:
    """Host and port for a driver that encrypts. Raises OSError when the tunnel is not open."""
    if at.socket is None:
        return at.host, at.port
    return LOOPBACK, int(Path(at.socket, PORT).read_text())


def listens_widely(address: str) -> bool:
    """Whether a server that listens on this address does so on all of the machine's, or on one that
    is known all over the internet. A name can be either: it is not looked up."""
    if address in {"*", "::*"}:  # the second is Redis' word for the second half of the first
        return True
    found = _number(address)
    return found is not None and (found.is_unspecified or found.is_global)


def only_here(address: str) -> bool:
    """Whether only the machine itself reaches a server that listens on this address."""
    found = _number(address)
    return address == "localhost" or address.startswith("/") or bool(found and found.is_loopback)


def stays_here(at: Access) -> bool:
    """Whether the way to the server does not leave this machine, as far as its address says."""
    # several MongoDB hosts stand in one string, each with its port
    hosts = at.host.split(",")
    names = hosts if len(hosts) == 1 else [one.rpartition(":")[0] or one for one in hosts]
    return all(map(only_here, names))


def _number(address: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(address.strip("[]"))
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(address))  # `0`, as servers take it
    except OSError:
        return None
