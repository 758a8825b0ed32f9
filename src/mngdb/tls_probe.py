"""Which TLS a server accepts. Nothing is said over these connections, so nobody is verified.

What is outdated is asked for with a ClientHello written by hand: OpenSSL of today speaks neither
old versions nor weak ciphers.
"""

from __future__ import annotations

import os
import socket
import ssl
import struct
import time
from collections.abc import Callable, Sequence

from mngdb.errors import UnobservableError
from mngdb.facts.tls import Tls

#: A new connection that is ready for the client's greeting. Raises OSError or UnobservableError.
Open = Callable[[], socket.socket]

_OLD = {0x0301: "TLS 1.0", 0x0302: "TLS 1.1"}
_NEW = 0x0303
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
_HANDSHAKE, _SERVER_HELLO = 22, 2


def unverified() -> ssl.SSLContext:
    """For connections that carry no secret: accepts any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def accepts_tls(connect: Open) -> bool:
    """Whether a handshake succeeds."""
    try:
        with connect() as plain, unverified().wrap_socket(plain):
            return True
    except OSError:
        return False


def handshake(connect: Open, *, weak: bool = False) -> Tls:
    """What the server accepts; `weak`: of weak ciphers, too. Raises OSError when a handshake as of
    today fails, UnobservableError when its certificate or an answer cannot be read."""
    from cryptography.x509 import load_der_x509_certificate  # of `check`; sessions load this, too

    with connect() as plain, unverified().wrap_socket(plain) as wire:
        version, der = wire.version() or "", wire.getpeercert(binary_form=True) or b""
    try:
        ends = load_der_x509_certificate(der).not_valid_after_utc
    except ValueError as error:
        raise UnobservableError(f"its certificate cannot be read: {error}") from None
    return Tls(
        version,
        (ends.timestamp() - time.time()) / 86400,
        tuple(name for old, name in _OLD.items() if _accepts(connect, old, _OLD_CIPHERS)),
        weak and _accepts(connect, _NEW, _WEAK_CIPHERS),
    )


def exactly(wire: socket.socket, size: int) -> bytes:
    """That many bytes. Raises ConnectionResetError when the server hangs up before."""
    found = b""
    while len(found) < size:
        more = wire.recv(size - len(found))
        if not more:
            raise ConnectionResetError("the server hung up")
        found += more
    return found


def _accepts(connect: Open, version: int, ciphers: Sequence[int]) -> bool:
    """Whether the server goes on after a ClientHello of this very version with these ciphers."""
    with connect() as wire:
        try:
            wire.sendall(_hello(version, ciphers))
            answer = exactly(wire, 6)
        except ConnectionError:
            return False
        except TimeoutError:
            raise UnobservableError("it did not answer a TLS greeting in time") from None
    kind, spoken, message = struct.unpack("!BHxxB", answer)
    return (kind, spoken, message) == (_HANDSHAKE, version, _SERVER_HELLO)


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
    return struct.pack("!BHH", _HANDSHAKE, 0x0301, len(message)) + message
