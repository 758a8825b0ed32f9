"""What a MongoDB server answers to a stranger: no driver, no login, one connection a question."""

from __future__ import annotations

import socket
import ssl
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import bson
from bson.errors import BSONError

from mngdb.errors import UnobservableError
from mngdb.facts.tls import Tls
from mngdb.tls_probe import exactly, handshake, unverified

#: Seconds for each question.
_PATIENCE = 2.0
_OP_MSG, _OP_COMPRESSED = 2013, 2012
#: zlib's number in an OP_COMPRESSED.
_ZLIB = 2
#: Bytes: no reply of the server is larger.
_MOST = 48_000_000
#: Bytes before a message's body.
_HEAD = 16

#: Host and port; a unix socket's path, and no port.
Address = tuple[str, int | None]


def answers_strangers(at: Address, tls: bool) -> bool:
    """Whether somebody without a login is told the databases. Raises UnobservableError."""
    reply = _ask(at, {"listDatabases": 1, "nameOnly": True, "$db": "admin"}, tls)
    return reply is not None and reply.get("ok") == 1


def answers_plain(at: Address) -> bool:
    """Whether the server talks without encryption. Raises UnobservableError."""
    return _ask(at, {"hello": 1, "$db": "admin"}, tls=False) is not None


def initiated(at: Address, tls: bool) -> bool:
    """Whether it is a member of a replica set, or needs none: one that was started with the name of
    a set and has no configuration waits for it. Raises UnobservableError."""
    reply = _ask(at, {"hello": 1, "$db": "admin"}, tls) or {}
    return not reply.get("isreplicaset") or "setName" in reply


def takes_zlib(at: Address, tls: bool) -> bool:
    """Whether a message that zlib compressed is read: a `hello` as it should be, which no version
    answers with anything else. Raises UnobservableError."""
    plain = struct.pack("<IB", 0, 0) + bson.encode({"hello": 1, "$db": "admin"})
    body = struct.pack("<iiB", _OP_MSG, len(plain), _ZLIB) + zlib.compress(plain)
    reply = _send(at, _OP_COMPRESSED, body, tls)
    if reply is None:
        if _send(at, _OP_MSG, plain, tls) is None:
            raise UnobservableError(f"{_place(at)} does not answer")
        return False  # it hangs up on this very message
    if reply[12:_HEAD] not in {struct.pack("<i", code) for code in (_OP_MSG, _OP_COMPRESSED)}:
        raise UnobservableError(f"{_place(at)} does not speak the MongoDB protocol")
    return True


def tls(at: Address) -> Tls | None:
    """How it takes TLS; None: not at all. Raises UnobservableError."""
    try:
        return handshake(lambda: _connect(at))
    except OSError:
        return None


def _connect(at: Address) -> socket.socket:
    host, port = at
    try:
        if port is not None:
            return socket.create_connection((host, port), _PATIENCE)
        found = socket.socket(socket.AF_UNIX)
        found.settimeout(_PATIENCE)
        found.connect(host)
    except OSError as error:
        raise UnobservableError(f"{_place(at)} cannot be reached: {error}") from None
    return found


def _place(at: Address) -> str:
    return at[0] if at[1] is None else f"{at[0]}:{at[1]}"


def _ask(at: Address, command: Mapping[str, Any], tls: bool) -> Mapping[str, Any] | None:
    """The reply to one command, or None when the server hangs up. `command` is an OP_MSG's body:
    https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/"""
    body = struct.pack("<IB", 0, 0) + bson.encode(command)
    reply = _send(at, _OP_MSG, body, tls)
    if reply is None:
        return None
    try:
        return bson.decode(reply[_HEAD + 5 :])
    except (BSONError, IndexError):
        raise UnobservableError(f"{_place(at)} does not speak the MongoDB protocol") from None


def _send(at: Address, code: int, body: bytes, tls: bool) -> bytes | None:
    """The message that comes back, or None when the server hangs up."""
    message = struct.pack("<iiii", _HEAD + len(body), 1, 0, code) + body
    with _connect(at) as plain:
        try:
            line = unverified().wrap_socket(plain) if tls else plain
            with line:
                line.sendall(message)
                head = exactly(line, 4)
                (size,) = struct.unpack("<i", head)
                return head + exactly(line, min(size, _MOST) - 4)
        except (ssl.SSLError, TimeoutError, ConnectionError):
            return None
