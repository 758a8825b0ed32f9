"""RESP over a socket: hiredis packs and parses, nothing else is needed.

redis-py is the field's driver for apps; importing it takes 0.1 to 0.2 s, most of it for its
asyncio half, and every command of ours would pay that. hiredis is the same team's parser.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, BinaryIO, cast

import hiredis

from mngdb import log
from mngdb.dial import dial, prove
from mngdb.engines.redis.redact import redacted
from mngdb.model import Access

_CHUNK = 1 << 16
#: The same, where thousands of answers are on their way.
_STREAM = 1 << 18
#: What an answer may have: bytes, and seconds from the first to the last. None that is asked for
#: comes near; a server that is none may send for ever.
_MOST, _LONGEST = 64 << 20, 60.0
_INCOMPLETE = object()


class ReplyError(Exception):
    """An answer that is an error: Redis' own words, the code first."""


class Wire:
    """A connection that is not logged in yet. Not for several threads. Raises OSError
    (ssl.SSLError and TimeoutError among them) and hiredis.ProtocolError."""

    def __init__(self, access: Access, timeout: float) -> None:
        context = ssl.create_default_context(cafile=access.ca) if access.tls else None
        self._socket = dial(access, timeout)
        try:
            if context is not None:
                self._socket = context.wrap_socket(self._socket, server_hostname=access.host)
        except BaseException:
            self._socket.close()
            raise
        # names on a foreign server may be any bytes
        self._reader = hiredis.Reader(
            encoding="utf-8",
            errors="backslashreplace",
            replyError=ReplyError,
            notEnoughData=_INCOMPLETE,
        )

    def prove(self, access: Access, timeout: float) -> None:
        """Make sure that this is the server, as its certificate has shown where there is TLS.
        Raises what `dial.prove` does; the words of a server that turned us away as OSError."""
        if isinstance(self._socket, ssl.SSLSocket):
            return
        try:
            prove(access, self._socket, timeout)
        except ConnectionResetError:
            raise OSError(str(self._answer())) from None

    def limit(self, timeout: float | None) -> None:
        """Seconds that the server may be silent from now on; None: any time."""
        self._socket.settimeout(timeout)

    def ask(self, commands: Sequence[Sequence[str]]) -> list[Any]:
        """Many commands in one round trip; a refused one gives its ReplyError as the answer."""
        with log.timed(__name__, lambda: redacted(commands)):
            return self._ask(commands)

    def _ask(self, commands: Sequence[Sequence[str]]) -> list[Any]:
        packed = [pack(command) for command in commands]
        self._socket.sendall(b"".join(packed))
        answers: list[Any] = []
        for _ in commands:
            try:
                answers.append(self._answer())
            except OSError:
                # a server that turns us away says why, then hangs up
                if answers and isinstance(answers[-1], ReplyError):
                    raise OSError(str(answers[-1])) from None
                raise
        return answers

    def _answer(self) -> Any:
        size, deadline = 0, 0.0
        try:
            while (answer := self._reader.gets()) is _INCOMPLETE:
                data = self._socket.recv(_CHUNK)
                if not data:
                    raise ConnectionResetError("connection closed by server")
                deadline = deadline or time.monotonic() + _LONGEST
                size += len(data)
                if size > _MOST or time.monotonic() > deadline:
                    raise hiredis.ProtocolError("an answer without end")
                self._reader.feed(data)
        except MemoryError:  # for as many parts as it announces
            raise hiredis.ProtocolError("an answer without end") from None
        return answer

    def send(self, data: bytes) -> None:
        """Commands that are packed already; their answers are taken by `answers`."""
        with log.timed(__name__, lambda: f"{len(data)} bytes of commands"):
            self._socket.sendall(data)

    def answers(self, count: int, reader: hiredis.Reader) -> list[Any]:
        """The next answers to what was sent. `reader` is one of `raw_reader`, always the same: it
        keeps what came too early."""
        found: list[Any] = []
        while True:
            found += islice(iter(reader.gets, _INCOMPLETE), count - len(found))
            if len(found) == count:
                return found
            data = self._socket.recv(_STREAM)
            if not data:
                raise ConnectionResetError("connection closed by server")
            reader.feed(data)

    def receive(self, into: memoryview, timeout: float) -> int:
        """What comes next, as it comes: how many bytes; 0: none within `timeout` seconds."""
        self._socket.settimeout(timeout)
        try:
            count = self._socket.recv_into(into)
        except TimeoutError:
            return 0
        if not count:
            raise ConnectionResetError("connection closed by server")
        if isinstance(self._socket, ssl.SSLSocket):
            # it gives 16 kB at a time, also where more has arrived
            self._socket.settimeout(0.0)
            with suppress(ssl.SSLWantReadError):
                while more := self._socket.recv_into(into[count:]):
                    count += more
            self._socket.settimeout(timeout)
        return count

    def bytes(self) -> BinaryIO:
        """What comes from now on, as it comes."""
        # SSLSocket's own type says less
        return cast(BinaryIO, self._socket.makefile("rb", buffering=_STREAM))

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def raw_reader() -> hiredis.Reader:
    """Gives text as bytes, and errors as hiredis.ReplyError."""
    # not False: that is equal to 0, an answer like any other
    return hiredis.Reader(notEnoughData=_INCOMPLETE)


def pack(command: Sequence[str | bytes]) -> bytes:
    """A command as it is sent."""
    packed: bytes = hiredis.pack_command(_words(command))
    return packed


def _words(command: Sequence[str | bytes]) -> Any:
    # Any: hiredis' own type says a tuple of one
    return tuple(command)
