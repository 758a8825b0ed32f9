"""What a stranger meets at a PostgreSQL server's TCP port: protocol 3.0 by hand, since a driver
neither stops half way nor speaks what is outdated.

https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from __future__ import annotations

import os
import socket
import ssl
import struct
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mngdb.dial import dial
from mngdb.errors import UnobservableError
from mngdb.model import Access

if TYPE_CHECKING:
    from mngdb.facts.postgres import Demand, Tls

_TIMEOUT = 2.0
_SSL_REQUEST = struct.pack("!II", 8, 80877103)
_PROTOCOL = 196608
_DEMANDS: dict[int, Demand] = {0: "nothing", 3: "cleartext", 5: "md5", 10: "scram"}
#: Key exchange by ECDHE or RSA with AES: what TLS 1.0 and 1.1 had that is not broken by itself.
_OLD_CIPHERS = (0xC014, 0xC013, 0xC00A, 0xC009, 0x0039, 0x0033, 0x0035, 0x002F)
#: Without encryption, without a certificate, with RC4 or with triple DES.
_WEAK_CIPHERS = (
    *(0xC010, 0xC006, 0x003B, 0x0002, 0x0001),
    *(0xC019, 0xC018, 0x00A7, 0x00A6, 0x006D, 0x006C, 0x003A, 0x0034),
    *(0xC011, 0xC007, 0x0005, 0x0004, 0xC012, 0xC008, 0x0016, 0x000A),
)

#: RSA-PSS, RSA and ECDSA, SHA-1 with them: the server chooses.
_SIGNATURES = (0x0804, 0x0401, 0x0403, 0x0503, 0x0501, 0x0201, 0x0203, 0x0601)


def demand(at: Access, database: str, *, encrypted: bool) -> Demand:
    """What the server asks of the login. Raises UnobservableError."""
    wire = _dial(at)
    try:
        if encrypted:
            if not _offered(wire):
                raise UnobservableError("the server has no TLS")
            wire = _anybody().wrap_socket(wire)  # takes the plain one over
        words = ["user", at.user, "database", database, "application_name", "mngdb"]
        body = b"".join(word.encode() + b"\0" for word in words) + b"\0"
        wire.sendall(struct.pack("!II", len(body) + 8, _PROTOCOL) + body)
        kind = _exactly(wire, 1)
        if kind != b"R":
            return "refused"
        _, code = struct.unpack("!II", _exactly(wire, 8))
    finally:
        wire.close()
    return _DEMANDS.get(code, "other")


def offers_tls(at: Access) -> bool:
    """Whether the server takes TLS. Raises UnobservableError."""
    with _dial(at) as plain:
        return _offered(plain)


def tls(at: Access) -> Tls | None:
    """What a handshake comes to; None when the server offers none. Raises UnobservableError."""
    from mngdb.facts.postgres import Tls  # of `check`; sessions load this module, too

    with _dial(at) as plain:
        if not _offered(plain):
            return None
        with _anybody().wrap_socket(plain) as wire:
            version, der = wire.version() or "", wire.getpeercert(binary_form=True) or b""
    return Tls(
        version,
        _days(der),
        old=_takes(at, 0x0302, _OLD_CIPHERS),
        weak=_takes(at, 0x0303, _WEAK_CIPHERS),
    )


def _dial(at: Access) -> socket.socket:
    """The same way that sessions take: a tunnel where there is one."""
    try:
        return dial(at, _TIMEOUT)
    except OSError as error:
        raise UnobservableError(f"{at.host}:{at.port} cannot be reached: {error}") from None


def _offered(plain: socket.socket) -> bool:
    plain.sendall(_SSL_REQUEST)
    return _exactly(plain, 1) == b"S"


def _exactly(wire: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        more = wire.recv(size - len(found))
        if not more:
            raise UnobservableError("the server hung up in the middle")
        found += more
    return found


def _anybody() -> ssl.SSLContext:
    """Looks at any certificate: whom it vouches for, sessions judge."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _days(der: bytes) -> float:
    from cryptography.x509 import load_der_x509_certificate

    ends = load_der_x509_certificate(der).not_valid_after_utc
    return (ends.timestamp() - time.time()) / 86400


def _takes(at: Access, version: int, ciphers: Sequence[int]) -> bool:
    """Whether the server goes on after a ClientHello of this version with these ciphers. By hand:
    OpenSSL of today offers neither any more."""
    with _dial(at) as wire:
        if not _offered(wire):
            raise UnobservableError("the server offers no TLS any more")
        wire.sendall(_hello(version, ciphers))
        try:
            answer = _exactly(wire, 6)
        except (ConnectionError, UnobservableError):
            return False  # it hangs up
    # a handshake record that begins with ServerHello
    return answer[0] == 22 and answer[5] == 2


def _hello(version: int, ciphers: Sequence[int]) -> bytes:
    """RFC 5246, 7.4.1.2, with the extensions that elliptic curves and signatures need."""
    suites = b"".join(struct.pack("!H", one) for one in ciphers)
    extensions = b"".join(
        struct.pack("!HH", number, len(data)) + data
        for number, data in (
            (10, struct.pack("!HHHH", 6, 29, 23, 24)),  # groups: X25519, P-256, P-384
            (11, b"\x01\x00"),  # points are uncompressed
            (13, struct.pack("!H8H", 16, *_SIGNATURES)),
        )
    )
    body = struct.pack("!H", version) + os.urandom(32) + b"\0"
    body += struct.pack("!H", len(suites)) + suites + b"\x01\x00"
    body += struct.pack("!H", len(extensions)) + extensions
    message = b"\x01" + struct.pack("!I", len(body))[1:] + body
    return struct.pack("!BHH", 22, 0x0301, len(message)) + message
