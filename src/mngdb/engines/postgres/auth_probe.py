"""What a stranger meets at a PostgreSQL server's TCP port: protocol 3.0 by hand, since a driver
neither stops half way nor speaks what is outdated.

https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from __future__ import annotations

import socket
import struct
from contextlib import ExitStack
from typing import TYPE_CHECKING

from mngdb.dial import dial
from mngdb.errors import UnobservableError
from mngdb.facts.tls import Tls
from mngdb.model import Access
from mngdb.tls_probe import exactly, handshake, unverified

if TYPE_CHECKING:
    from mngdb.facts.postgres import Demand

_TIMEOUT = 2.0
_SSL_REQUEST = struct.pack("!II", 8, 80877103)
_PROTOCOL = 196608
_DEMANDS: dict[int, Demand] = {0: "nothing", 3: "cleartext", 5: "md5", 10: "scram"}


class _NoTlsError(UnobservableError):
    """The server does not offer TLS."""


def demand(at: Access, database: str, *, encrypted: bool) -> Demand:
    """What the server asks of the login. Raises UnobservableError."""
    wire = _greeted(at) if encrypted else _dial(at)
    try:
        if encrypted:
            wire = unverified().wrap_socket(wire)  # takes the plain one over
        words = ["user", at.user, "database", database, "application_name", "mngdb"]
        body = b"".join(word.encode() + b"\0" for word in words) + b"\0"
        wire.sendall(struct.pack("!II", len(body) + 8, _PROTOCOL) + body)
        kind = exactly(wire, 1)
        if kind != b"R":
            return "refused"
        _, code = struct.unpack("!II", exactly(wire, 8))
    finally:
        wire.close()
    return _DEMANDS.get(code, "other")


def offers_tls(at: Access) -> bool:
    """Whether the server takes TLS. Raises UnobservableError."""
    with _dial(at) as plain:
        return _offered(plain)


def tls(at: Access) -> Tls | None:
    """What a handshake comes to; None when the server offers none. Raises UnobservableError."""
    try:
        return handshake(lambda: _greeted(at), weak=True)
    except _NoTlsError:
        return None


def _dial(at: Access) -> socket.socket:
    """The same way that sessions take: a tunnel where there is one."""
    try:
        return dial(at, _TIMEOUT)
    except OSError as error:
        raise UnobservableError(f"{at.host}:{at.port} cannot be reached: {error}") from None


def _offered(plain: socket.socket) -> bool:
    plain.sendall(_SSL_REQUEST)
    return exactly(plain, 1) == b"S"


def _greeted(at: Access) -> socket.socket:
    """A connection on which TLS may begin."""
    with ExitStack() as stack:
        plain = stack.enter_context(_dial(at))
        if not _offered(plain):
            raise _NoTlsError("the server has no TLS")
        stack.pop_all()
    return plain
