"""A session with a Redis server, and the one place where the driver's errors are translated."""

from __future__ import annotations

import contextlib
import re
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import hiredis

from mngdb import stopping
from mngdb.dial import dial
from mngdb.engines.redis.acl import ADMIN
from mngdb.engines.redis.wire import ReplyError, Wire, pack
from mngdb.errors import ConnectError, StepError
from mngdb.model import Access
from mngdb.spec.agent import MONITOR
from mngdb.tls_probe import accepts_tls

#: Seconds between two tries while a server starts, and while it loads its data: to prove that it
#: is the server takes from the processor that it loads with.
_POLL, _LEISURE = 0.005, 0.05
#: Seconds that a server may take to say that it is loading its data.
_LOADING = 2.0
#: Seconds for a question that finds out what a server speaks, at most.
_PROBE = 2.0
#: Codes that say nothing to people beyond the words after them.
_SILENT = frozenset({"NOPERM", "OOM", "READONLY"})
#: Logins of ours that may ask not to be let go when others have taken all memory of
#: `maxmemory-clients`: the administrator and the monitor.
_STAY = frozenset({ADMIN, MONITOR})
#: Seconds between tries of who was let go before the login, on servers of ours: thousands of new
#: connections take a tenth of the memory after a moment.
_PAUSES = (0.1, 0.5, 1.0)
_DRIVER = (OSError, hiredis.ProtocolError)


class RefusedError(StepError):
    """The server answered with an error. `code` is Redis' first word: NOPERM, OOM, MISCONF, …"""

    def __init__(self, message: str, hint: str | None = None, code: str = "ERR") -> None:
        super().__init__(message, hint)
        self.code = code


class Session:
    """One connection. Not for several threads."""

    def __init__(self, wire: Wire, access: Access) -> None:
        self._wire = wire
        self.access = access

    def limit(self, timeout: float | None) -> None:
        """Wait at most `timeout` seconds for the answer from now on; None: any time."""
        self._wire.limit(timeout)

    def ask(self, *command: str) -> Any:
        """One command. Raises RefusedError, or ConnectError when the connection is gone."""
        answer = self.ask_all([command])[0]
        if isinstance(answer, RefusedError):
            raise answer
        return answer

    def ask_all(self, commands: Sequence[Sequence[str]]) -> list[Any]:
        """Many commands in one round trip; a refused one gives its RefusedError as the answer."""
        try:
            answers = self._wire.ask(commands)
        except _DRIVER as error:
            raise _connect_error(error, self.access) from error
        return [
            _refused(one, self.access) if isinstance(one, ReplyError) else one for one in answers
        ]

    def send(self, data: bytes) -> None:
        """Commands that are packed already, for `answers`. Raises ConnectError."""
        try:
            self._wire.send(data)
        except _DRIVER as error:
            raise _connect_error(error, self.access) from error

    def stream(self, *command: str) -> BinaryIO:
        """One command whose answer is no answer, as the bytes come; the session is of no more use
        but for this. Raises ConnectError; reading raises OSError."""
        self.send(pack(command))
        return self._wire.bytes()

    def file(self) -> BinaryIO:
        """What the server answers from now on, as the bytes come: for `send`, and nothing else.
        Reading raises OSError."""
        return self._wire.bytes()

    def receive(self, into: memoryview, timeout: float) -> int:
        """The next bytes of an answer that is none, as they come: how many; 0: there were none for
        `timeout` seconds. Raises ConnectError."""
        try:
            return self._wire.receive(into, timeout)
        except _DRIVER as error:
            raise _connect_error(error, self.access) from error

    def replies(self, count: int, reader: hiredis.Reader) -> list[Any]:
        """The next answers to what was sent, see Wire.answers; one that is an error is a
        hiredis.ReplyError. Raises ConnectError."""
        try:
            return self._wire.answers(count, reader)
        except _DRIVER as error:
            raise _connect_error(error, self.access) from error

    def answers(self, count: int, reader: hiredis.Reader) -> list[Any]:
        """The same. Raises RefusedError for an answer that is an error."""
        found = self.replies(count, reader)
        if hiredis.ReplyError in map(type, found):
            wrong = next(one for one in found if type(one) is hiredis.ReplyError)
            raise _refused(ReplyError(str(wrong)), self.access)
        return found


@contextmanager
def connect(access: Access, timeout: float = 10.0) -> Iterator[Session]:
    """A session that has answered PING. `timeout` in seconds, for connecting and each answer.

    Raises ConnectError with the kind of the cause.
    """
    deadline = time.monotonic() + timeout
    pauses = iter(_PAUSES if access.proof is not None else ())
    while True:
        try:
            wire = _login(access, timeout)
            break
        except ConnectError as error:
            pause = next(pauses, timeout) if _hung_up(error.__cause__) else timeout
            if time.monotonic() + pause >= deadline:
                raise
        stopping.sleep(pause)
    try:
        yield Session(wire, access)
    finally:
        wire.close()


def _login(access: Access, timeout: float) -> Wire:
    """A connection that is logged in and has answered PING. Raises ConnectError."""
    # part of the time is for asking why nobody answers a greeting of TLS
    probe = min(_PROBE, timeout / 3)
    try:
        wire = Wire(access, timeout - probe if access.tls else timeout)
    except _DRIVER as error:
        raise _connect_error(error, access, probe) from error
    try:
        _greet(wire, access, timeout, 0.0 if access.tls else probe)
    except BaseException:
        wire.close()
        raise
    return wire


def _greet(wire: Wire, access: Access, timeout: float, probe: float) -> None:
    """Log in. Raises ConnectError."""
    wire.limit(timeout)
    hello = [["AUTH", access.user, access.password.reveal()]] if access.password else []
    if access.database not in {"", "0"}:
        hello.append(["SELECT", access.database])
    stay = [["CLIENT", "NO-EVICT", "ON"]] if access.user in _STAY else []
    try:
        # the login is the password itself: nobody but the server may have it
        wire.prove(access, timeout)
        answers = wire.ask([*hello, *stay, ["PING"]])
    except _DRIVER as error:
        raise _connect_error(error, access, probe) from error
    # one before version 7 does not know it, and lets nobody go
    del answers[len(hello) : len(hello) + len(stay)]
    for answer in answers:
        if isinstance(answer, ReplyError) and str(answer).startswith("LOADING"):
            raise _loading(wire, access)
        # who may not PING is in all the same, and the administrator has to mend what PING tells
        passes = ("NOPERM", "MISCONF") if access.user in _STAY else ("NOPERM",)
        if isinstance(answer, ReplyError) and not str(answer).startswith(passes):
            raise _connect_error(answer, access) from None


def _hung_up(error: BaseException | None) -> bool:
    """Whether the server closed the connection."""
    text = str(error)
    return isinstance(error, OSError) and ("closed by server" in text or "reset by peer" in text)


@contextmanager
def wait(access: Access, deadline: float) -> Iterator[Session]:
    """A session with a server that may still be starting or loading its data.

    Raises ConnectError (`down` or `starting`) past `deadline` (a time.monotonic() value), and at
    once for causes that waiting does not cure.
    """
    while True:
        left = deadline - time.monotonic()
        # one that loads looks at its clients once every 2 MB
        opened = connect(access, timeout=max(_LOADING, min(10.0, left)))
        try:
            session = opened.__enter__()
            break
        except ConnectError as error:
            if error.kind not in {"down", "starting"}:
                raise
            if left <= 0:
                raise
            stopping.sleep(_LEISURE if error.kind == "starting" else _POLL)
    try:
        yield session
    finally:
        opened.__exit__(None, None, None)


def _loading(wire: Wire, access: Access) -> ConnectError:
    """How far a server is that reads its data from the disk: INFO answers meanwhile, to logins that
    may ask."""
    said = ""
    with contextlib.suppress(*_DRIVER):
        answer = wire.ask([["INFO", "persistence"]])[0]
        found = dict(re.findall(r"^(loading_\w+):(.*?)\r?$", str(answer), re.MULTILINE))
        if "loading_loaded_perc" in found:
            eta = found.get("loading_eta_seconds", "-1")
            left = "" if eta.startswith("-") else f", {eta} s left"
            said = f": LOADING {found['loading_loaded_perc']} %{left}"
    text = f"Redis at {place(access)} is loading its data{said}"
    return ConnectError(text, "it answers once all data is loaded", "starting")


def place(access: Access) -> str:
    """host:port for people."""
    host = f"[{access.host}]" if ":" in access.host else access.host
    return f"{host}:{access.port}"


def _speaks_plain(access: Access, timeout: float) -> bool:
    """Whether the server answers a PING without TLS; it takes a TLS greeting for a long line."""
    try:
        with dial(access, timeout) as plain:
            plain.sendall(b"PING\r\n")
            return plain.recv(1) in {b"+", b"-"}
    except OSError:
        return False


def _hidden(text: str, access: Access) -> str:
    """A server's words without the password: it may repeat what it was sent."""
    secret = access.password.reveal() if access.password else ""
    return text.replace(secret, "***") if secret else text


def _refused(error: ReplyError, access: Access) -> RefusedError:
    text = _hidden(str(error), access)
    first, _, rest = text.partition(" ")
    code = first if first.isupper() and first.isalpha() else "ERR"
    return RefusedError(f"Redis refused: {rest if code in _SILENT else text}", code=code)


def _connect_error(error: Exception, access: Access, probe: float = 0.0) -> ConnectError:
    """The cause of a failed login or a lost connection, in one sentence. `probe` is the seconds
    that asking for it may take; 0: a connection that had been sound needs no asking."""
    text, shown = (" ".join(said.split()) for said in (str(error), _hidden(str(error), access)))
    at = f"Redis at {place(access)}"
    if text.startswith("LOADING"):
        return ConnectError(f"{at} is loading its data", "try again in a moment", "starting")
    if text.startswith("BUSY"):
        return _busy(text, access)
    if re.match(r"WRONGPASS|NOAUTH|ERR AUTH|ERR invalid password", text):
        if access.password is None or "Authentication required" in text:
            return ConnectError(
                f"{at} requires a login and none was given", "set a user and its secret", "auth"
            )
        return ConnectError(
            f"{at} refuses the login {access.user!r}: wrong secret, or the login does not exist "
            "or is disabled",
            "`mngdb up` sets the login and its secret from the vault",
            "auth",
        )
    if "max number of clients" in text:
        return ConnectError(
            f"{at} has reached its limit of clients",
            "close idle connections, or raise max_clients",
            "limit",
        )
    if "DENIED" in text:
        return ConnectError(
            f"{at} is in protected mode and accepts connections from its own machine only",
            "connect from there, or set a password and disable protected mode",
            "hba",
        )
    if "MISCONF" in text or "No space left" in text:
        return unwritable(access, shown)
    if "DB index is out of range" in text:
        return ConnectError(
            f"{at} has no database number {access.database}", "use database 0", "database"
        )
    return _network_error(error, shown, access, at, probe)


def unwritable(access: Access, text: str) -> ConnectError:
    """Of a server that takes no writes, since what it has does not come to its disk. It says the
    cause of what fails in its append-only file; that of a snapshot's stands in its log."""
    what, _, why = text.rpartition("Errors writing to the AOF file: ")
    said = f"its append-only file: {why}" if what else "a snapshot"
    mends = f"once its cause is gone: mngdb shell {access.instance} -- BGSAVE"
    if what:  # the server tries the file again each second
        mends = "once its cause is gone, Redis takes writes again"
    return ConnectError(
        f"Redis at {place(access)} could not save {said}, and refuses writes",
        f"'mngdb logs {access.instance}' shows the error; {mends}",
        "disk",
    )


def _busy(text: str, access: Access) -> ConnectError:
    """A script or function that does not end: until it does, Redis takes no other commands than
    those that end it."""
    said = re.search(r"only call (\w+ KILL)", text)
    command = said[1] if said else "SCRIPT KILL"
    what = "function" if command.startswith("FUNCTION") else "script"
    shell = f"mngdb shell {access.instance} --"
    return ConnectError(
        f"Redis at {place(access)} runs a {what} that does not finish and blocks all other clients",
        f"{shell} {command}; if that returns UNKILLABLE, the {what} has written data, and only "
        f"'{shell} SHUTDOWN NOSAVE' ends it: data not yet on disk is lost",
        "busy",
    )


def _network_error(
    error: Exception, text: str, access: Access, at: str, probe: float
) -> ConnectError:
    causes = []
    cause: BaseException | None = error
    while cause is not None:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return ConnectError(
            f"{at} has a certificate that is not trusted",
            f"the CA in use is {access.ca or 'the system’s'}; it has to sign a certificate for "
            f"{access.host}",
            "tls",
        )
    if access.socket is not None and any(isinstance(c, ssl.SSLEOFError) for c in causes):
        # the tunnel is there before the server is
        return ConnectError(
            f"Redis does not answer at {place(access)}", f"mngdb logs {access.instance}", "down"
        )
    if any(isinstance(c, ssl.SSLError) for c in causes) or "SSL" in text:
        return ConnectError(f"{at} failed the TLS handshake", "compare `tls` on both sides", "tls")
    if any(isinstance(c, ConnectionRefusedError) for c in causes):
        return ConnectError(
            f"Redis does not answer at {place(access)}", "start the server: `mngdb up`", "down"
        )
    if any(isinstance(c, FileNotFoundError) for c in causes) and access.ca:
        return ConnectError(f"the CA file {access.ca} does not exist", "run `mngdb up`", "tls")
    if isinstance(error, TimeoutError):
        if access.tls and probe and _speaks_plain(access, probe):
            return ConnectError(f"{at} does not use TLS", "compare `tls` on both sides", "tls")
        return ConnectError(f"{at} does not answer", "is it reachable? is it busy?", "down")
    if _hung_up(error):
        # a TLS server hangs up on plain text; so does one that stops
        if access.socket is not None:
            if not access.tls and probe and accepts_tls(lambda: dial(access, probe)):
                return ConnectError(f"{at} expects TLS", "compare `tls` on both sides", "tls")
            return ConnectError(
                f"Redis does not answer at {place(access)}", f"mngdb logs {access.instance}", "down"
            )
        hint = "is it stopping?" if access.tls else "is it stopping, or does it expect TLS?"
        return ConnectError(f"{at} closed the connection", hint, "down" if access.tls else "tls")
    if isinstance(error, OSError):
        return ConnectError(f"{at} cannot be reached: {text}", "check host, port, network", "down")
    return ConnectError(f"{at} returned an error: {text}", None, "other")
