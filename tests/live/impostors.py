"""Strangers that listen where a server should: each says what makes a client give its password
away, and keeps every byte that it is told."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import bson

Speak = Callable[["Wire"], None]
_SALT = b"salt"


@dataclass
class Stranger:
    """Listens on a port of loopback until it is closed."""

    port: int
    speak: Speak
    heard: bytearray = field(default_factory=bytearray)
    calls: int = 0
    _listener: socket.socket = field(init=False)
    _open: set[socket.socket] = field(init=False, default_factory=set)

    def listen(self) -> None:
        """Take the port as soon as whoever was killed lets go of it."""
        end = time.monotonic() + 30
        while True:
            try:
                self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
                break
            except OSError:
                assert time.monotonic() < end, f"port {self.port} is taken"
                time.sleep(0.005)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                wire, _ = self._listener.accept()
            except OSError:
                return  # closed
            self.calls += 1
            self._open.add(wire)
            threading.Thread(target=self._talk, args=(wire,), daemon=True).start()

    def _talk(self, wire: socket.socket) -> None:
        with wire, contextlib.suppress(OSError, EOFError):
            self.speak(Wire(wire, self.heard))

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for wire in list(self._open):
            with contextlib.suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)


@dataclass
class Wire:
    """One connection; what comes in is kept."""

    socket: socket.socket
    heard: bytearray

    def some(self) -> bytes:
        """What there is. Raises EOFError at the end."""
        data = self.socket.recv(1 << 16)
        if not data:
            raise EOFError
        self.heard += data
        return data

    def exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            data = self.socket.recv(size - len(found))
            if not data:
                raise EOFError
            self.heard += data
            found += data
        return found

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)


@contextmanager
def listening(strangers: Mapping[int, Speak]) -> Iterator[list[Stranger]]:
    """Strangers on these ports."""
    with ExitStack() as stack:
        found = [Stranger(port, speak) for port, speak in strangers.items()]
        for one in found:
            one.listen()
            stack.callback(one.close)
        yield found


def forms(secret: str, login: str) -> list[bytes]:
    """A secret as it may be said: plain, in base64 wherever it begins there, and as PostgreSQL's
    MD5, that of MongoDB's older logins among them."""
    raw = secret.encode()
    found = [raw, hashlib.md5(raw + login.encode()).hexdigest().encode()]
    found.append(hashlib.md5(f"{login}:mongo:{secret}".encode()).hexdigest().encode())
    for shift in range(3):
        # of text that begins anywhere, whole groups of four letters stay the same
        coded = base64.b64encode(b"\0" * shift + raw)
        found.append(coded[4 if shift else 0 : -4])
    return found


def salted(secret: str, login: str = "postgres") -> bytes:
    """What PostgreSQL's MD5 sends of a secret, to `postgres_wants_md5`."""
    inner = hashlib.md5((secret.strip() + login).encode()).hexdigest()
    return b"md5" + hashlib.md5(inner.encode() + _SALT).hexdigest().encode()


def silent(wire: Wire) -> None:
    """Listens, and answers nothing."""
    while True:
        wire.some()


# --- PostgreSQL: https://www.postgresql.org/docs/current/protocol-message-formats.html


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def _authentication(code: int, rest: bytes = b"") -> bytes:
    return _message(b"R", struct.pack("!I", code) + rest)


_READY = _message(b"Z", b"I")
_LET_IN = (
    _authentication(0)
    + _message(b"S", b"server_version\x0017.5\0")
    + _message(b"S", b"client_encoding\0UTF8\0")
    + _message(b"S", b"standard_conforming_strings\0on\0")
    + _message(b"K", struct.pack("!II", 1, 1))
    + _READY
)


def _greeted(wire: Wire) -> None:
    """Up to a client's startup message: no encryption is offered."""
    while True:
        (size,) = struct.unpack("!I", wire.exactly(4))
        body = wire.exactly(size - 4)
        if body[:4] not in (struct.pack("!I", 80877103), struct.pack("!I", 80877104)):
            return
        wire.say(b"N")


def _told(wire: Wire) -> tuple[bytes, bytes]:
    kind = wire.exactly(1)
    (size,) = struct.unpack("!I", wire.exactly(4))
    return kind, wire.exactly(size - 4)


def _queries(wire: Wire) -> None:
    """Say yes to everything, and give no rows."""
    while True:
        kind, _ = _told(wire)
        done = _message(b"C", b"SELECT 0\0")
        if kind == b"Q":
            wire.say(done + _READY)
        elif kind == b"S":
            wire.say(_message(b"1", b"") + _message(b"2", b"") + _message(b"n", b"") + done)
            wire.say(_READY)
        elif kind == b"X":
            return


def _asks(code: int, rest: bytes = b"") -> Speak:
    def speak(wire: Wire) -> None:
        _greeted(wire)
        wire.say(_authentication(code, rest))
        _told(wire)
        wire.say(_LET_IN)
        _queries(wire)

    return speak


def postgres_trusts(wire: Wire) -> None:
    """Lets everybody in at once."""
    _greeted(wire)
    wire.say(_LET_IN)
    _queries(wire)


def _scram_begun(wire: Wire) -> None:
    _greeted(wire)
    wire.say(_authentication(10, b"SCRAM-SHA-256\0\0"))
    _, first = _told(wire)
    nonce = first.rpartition(b"r=")[2]
    salt = base64.b64encode(os.urandom(16))
    wire.say(_authentication(11, b"r=" + nonce + b"x,s=" + salt + b",i=4096"))


def postgres_breaks_off(wire: Wire) -> None:
    """Begins SCRAM, and says after the first message that the client is in."""
    _scram_begun(wire)
    wire.say(_LET_IN)
    _told(wire)
    _queries(wire)


def postgres_signs_wrongly(wire: Wire) -> None:
    """Goes through all of SCRAM without knowing the verifier."""
    _scram_begun(wire)
    _told(wire)
    wire.say(_authentication(12, b"v=" + base64.b64encode(os.urandom(32))) + _LET_IN)
    _queries(wire)


postgres_wants_cleartext = _asks(3)
postgres_wants_md5 = _asks(5, _SALT)


# --- Redis: https://redis.io/docs/latest/develop/reference/protocol-spec/


def _commands(wire: Wire) -> Iterator[list[bytes]]:
    buffer = b""
    while True:
        buffer += wire.some()
        while (found := _command(buffer)) is not None:
            words, buffer = found
            yield words


def _command(buffer: bytes) -> tuple[list[bytes], bytes] | None:
    line, end, rest = buffer.partition(b"\r\n")
    if not end:
        return None
    if line[:1] != b"*":
        return line.split(), rest
    words = []
    for _ in range(int(line[1:])):
        match = re.match(rb"\$(\d+)\r\n", rest)
        if match is None or len(rest) < match.end() + int(match[1]) + 2:
            return None
        words.append(rest[match.end() : match.end() + int(match[1])])
        rest = rest[match.end() + int(match[1]) + 2 :]
    return words, rest


def redis_says_ok(wire: Wire) -> None:
    """Answers everything with OK."""
    for _ in _commands(wire):
        wire.say(b"+OK\r\n")


def redis_wants_a_login(wire: Wire) -> None:
    """Refuses everything until there is a login, and then has what INFO and HELLO ask."""
    logged_in = False
    for words in _commands(wire):
        name = words[0].upper()
        if name == b"HELLO":
            logged_in = logged_in or len(words) > 2
            wire.say(b"%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n")
        elif name == b"AUTH":
            logged_in = True
            wire.say(b"+OK\r\n")
        elif not logged_in:
            wire.say(b"-NOAUTH Authentication required.\r\n")
        elif name == b"PING":
            wire.say(b"+PONG\r\n")
        else:
            wire.say(b"$21\r\nredis_version:8.2.3\r\n\r\n")


# --- MongoDB: https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/

_OP_REPLY, _OP_QUERY, _OP_MSG = 1, 2004, 2013
_HELLO = {
    "ok": 1.0,
    "helloOk": True,
    "ismaster": True,
    "isWritablePrimary": True,
    "maxWireVersion": 17,
    "minWireVersion": 0,
    "maxBsonObjectSize": 16 << 20,
    "maxMessageSizeBytes": 48_000_000,
    "maxWriteBatchSize": 100_000,
}


def _mongodb(answer: Callable[[dict[str, Any]], dict[str, Any]]) -> Speak:
    def speak(wire: Wire) -> None:
        while True:
            size, number, _, code = struct.unpack("<iiii", wire.exactly(16))
            body = wire.exactly(size - 16)
            if code == _OP_QUERY:
                document = bson.decode(body[body.index(b"\0", 4) + 9 :])
            else:
                document = bson.decode(body[5:])
            reply = bson.encode(answer(document))
            if code == _OP_QUERY:
                head = struct.pack("<iqii", 8, 0, 0, 1)
                kind = _OP_REPLY
            else:
                head, kind = struct.pack("<IB", 0, 0), _OP_MSG
            whole = head + reply
            wire.say(struct.pack("<iiii", 16 + len(whole), 1, number, kind) + whole)

    return speak


def _hello(document: Mapping[str, Any], *mechanisms: str) -> dict[str, Any] | None:
    if not {"hello", "ismaster", "isMaster"} & document.keys():
        return None
    return {**_HELLO, "saslSupportedMechs": list(mechanisms)}


def _wants_plain(document: dict[str, Any]) -> dict[str, Any]:
    found = _hello(document, "PLAIN", "MONGODB-CR")
    return found or {"ok": 1.0, "conversationId": 1, "done": True, "payload": b"", "nonce": "00"}


def _breaks_off(document: dict[str, Any]) -> dict[str, Any]:
    """Begins SCRAM, and says after the first message that the client is in."""
    if "saslStart" in document:
        return {"ok": 1.0, "conversationId": 1, "done": False, "payload": _server_first(document)}
    found = _hello(document, "SCRAM-SHA-256", "SCRAM-SHA-1")
    return found or {"ok": 1.0, "conversationId": 1, "done": True, "payload": b""}


def _signs_wrongly(document: dict[str, Any]) -> dict[str, Any]:
    """Goes through all of SCRAM without knowing the verifier."""
    if "saslContinue" in document:
        wrong = b"v=" + base64.b64encode(os.urandom(32))
        return {"ok": 1.0, "conversationId": 1, "done": True, "payload": wrong}
    return _breaks_off(document)


def _server_first(document: Mapping[str, Any]) -> bytes:
    nonce = bytes(document["payload"]).rpartition(b"r=")[2]
    salt = base64.b64encode(os.urandom(28))
    return b"r=" + nonce + b"x,s=" + salt + b",i=15000"


mongodb_wants_plain = _mongodb(_wants_plain)
mongodb_breaks_off = _mongodb(_breaks_off)
mongodb_signs_wrongly = _mongodb(_signs_wrongly)
