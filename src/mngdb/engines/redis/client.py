"""A session with a Redis server, and the one place where the driver's errors are translated."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as DriverConnectionError
from redis.exceptions import TimeoutError as DriverTimeoutError
from redis.retry import Retry

from mngdb.errors import ConnectError, StepError
from mngdb.model import Access

#: Seconds between two tries while a server starts.
_POLL = 0.005
#: The driver cuts the error's first word off where it has a class for it.
_CODES: tuple[tuple[type[RedisError], str], ...] = (
    (NoPermissionError, "NOPERM"),
    (OutOfMemoryError, "OOM"),
    (ReadOnlyError, "READONLY"),
)


class RefusedError(StepError):
    """The server answered with an error. `code` is Redis' first word: NOPERM, OOM, MISCONF, …"""

    def __init__(self, message: str, hint: str | None = None, code: str = "ERR") -> None:
        super().__init__(message, hint)
        self.code = code

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.message, self.hint, self.code))


class Session:
    """One connection. Not for several threads."""

    def __init__(self, connection: Any, access: Access) -> None:
        self._connection = connection
        self.access = access

    def ask(self, *command: str) -> Any:
        """One command. Raises RefusedError, or ConnectError when the connection is gone."""
        answer = self.ask_all([command])[0]
        if isinstance(answer, RefusedError):
            raise answer
        return answer

    def ask_all(self, commands: Sequence[Sequence[str]]) -> list[Any]:
        """Many commands in one round trip; a refused one gives its RefusedError as the answer."""
        try:
            self._connection.send_packed_command(self._connection.pack_commands(commands))
            return [self._answer() for _ in commands]
        except (RedisError, OSError) as error:
            raise _connect_error(error, self.access) from error

    def _answer(self) -> Any:
        try:
            return self._connection.read_response()
        except ResponseError as error:
            return _refused(error)


@contextmanager
def connect(access: Access, timeout: float = 10.0) -> Iterator[Session]:
    """A session that has answered PING. `timeout` in seconds, for connecting and each answer.

    Raises ConnectError with the kind of the cause.
    """
    connection = _connection(access, timeout)
    try:
        session = Session(connection, access)
        try:
            connection.connect()
        except (RedisError, OSError) as error:
            raise _connect_error(error, access) from error
        pong = session.ask_all([["PING"]])[0]
        if isinstance(pong, RefusedError) and pong.code != "NOPERM":
            raise _connect_error(ResponseError(pong.message), access) from pong
        yield session
    finally:
        connection.disconnect()


@contextmanager
def wait(access: Access, deadline: float) -> Iterator[Session]:
    """A session with a server that may still be starting or loading its data.

    Raises ConnectError (`down` or `starting`) past `deadline` (a time.monotonic() value), and at
    once for causes that waiting does not cure.
    """
    while True:
        left = deadline - time.monotonic()
        opened = connect(access, timeout=max(0.1, min(10.0, left)))
        try:
            session = opened.__enter__()
            break
        except ConnectError as error:
            if error.kind not in {"down", "starting"}:
                raise
            if left <= 0:
                raise ConnectError(
                    f"Redis at {place(access)} is not ready yet: {error.message}",
                    "its log says why; a large data set takes a while to load",
                    error.kind,
                ) from error
            time.sleep(_POLL)
    try:
        yield session
    finally:
        opened.__exit__(None, None, None)


def place(access: Access) -> str:
    """host:port for people."""
    host = f"[{access.host}]" if ":" in access.host else access.host
    return f"{host}:{access.port}"


def _speaks_plain(access: Access) -> bool:
    """Whether the server answers a PING without TLS; it takes a TLS greeting for a long line."""
    try:
        with socket.create_connection((access.host, access.port), 2.0) as plain:
            plain.settimeout(2.0)
            plain.sendall(b"PING\r\n")
            return plain.recv(1) in {b"+", b"-"}
    except OSError:
        return False


def _connection(access: Access, timeout: float) -> Any:
    # Any: the driver types its commands, not its connections
    plain: Any = Connection
    encrypted: Any = SSLConnection
    options: dict[str, Any] = {
        "host": access.host,
        "port": access.port,
        "db": int(access.database or 0),
        "username": access.user if access.password is not None else None,
        "password": access.password.reveal() if access.password is not None else None,
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "decode_responses": True,
        # names on a foreign server may be any bytes
        "encoding_errors": "backslashreplace",
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
    }
    if not access.tls:
        return plain(**options)
    return encrypted(
        **options,
        ssl_cert_reqs="required",
        ssl_check_hostname=True,
        ssl_ca_certs=access.ca,
    )


def _refused(error: ResponseError) -> RefusedError:
    text = str(error)
    for kind, code in _CODES:
        if isinstance(error, kind):
            return RefusedError(f"Redis refused: {text}", code=code)
    first = text.split(" ", 1)[0]
    return RefusedError(
        f"Redis refused: {text}", code=first if first.isupper() and first.isalpha() else "ERR"
    )


def _connect_error(error: Exception, access: Access) -> ConnectError:
    """The cause of a failed login or a lost connection, in one sentence."""
    text = " ".join(str(error).split())
    at = f"Redis at {place(access)}"
    if isinstance(error, BusyLoadingError) or "LOADING" in text:
        return ConnectError(f"{at} is loading its data", "try again in a moment", "starting")
    if isinstance(error, AuthenticationError) or "NOAUTH" in text:
        if access.password is None or "Authentication required" in text:
            return ConnectError(
                f"{at} asks for a login and none was given", "give a user and its secret", "auth"
            )
        return ConnectError(
            f"{at} refuses the login {access.user!r}: its secret is not the server's, or the "
            "login is missing or switched off",
            "`mngdb up` gives the server the login and the secret of the vault",
            "auth",
        )
    if "max number of clients" in text:
        return ConnectError(
            f"{at} has as many clients as it takes",
            "close idle connections, or raise max_clients",
            "limit",
        )
    if "DENIED" in text:
        return ConnectError(
            f"{at} is in protected mode and takes connections from its own machine only",
            "connect from there, or give it a password and switch protected mode off",
            "hba",
        )
    if "MISCONF" in text or "No space left" in text:
        return ConnectError(
            f"{at} cannot write to its disk and takes no writes",
            "free space on the disk of its data folder; its log names the error",
            "disk",
        )
    if "DB index is out of range" in text:
        return ConnectError(
            f"{at} has no database number {access.database}", "use database 0", "database"
        )
    return _network_error(error, text, access, at)


def _network_error(error: Exception, text: str, access: Access, at: str) -> ConnectError:
    causes = []
    cause: BaseException | None = error
    while cause is not None:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return ConnectError(
            f"{at} has a certificate that is not trusted here",
            f"the CA in use is {access.ca or 'the system’s'}; it has to have signed for "
            f"{access.host}",
            "tls",
        )
    if any(isinstance(c, ssl.SSLError) for c in causes) or "SSL" in text:
        return ConnectError(
            f"{at} does not speak TLS as the client does", "compare `tls` on both sides", "tls"
        )
    if any(isinstance(c, ConnectionRefusedError) for c in causes):
        return ConnectError(
            f"nothing listens on {place(access)}", "start the server: `mngdb up`", "down"
        )
    if any(isinstance(c, FileNotFoundError) for c in causes) and access.ca:
        return ConnectError(f"the CA file {access.ca} is not there", "run `mngdb up`", "tls")
    if isinstance(error, DriverTimeoutError | TimeoutError):
        if access.tls and _speaks_plain(access):
            return ConnectError(f"{at} does not use TLS", "compare `tls` on both sides", "tls")
        return ConnectError(f"{at} does not answer", "is it reachable, is it busy?", "down")
    if isinstance(error, DriverConnectionError | OSError) and (
        "closed by server" in text or "reset by peer" in text
    ):
        # a TLS server hangs up on plain text; so does one that stops
        hint = "is it stopping?" if access.tls else "is it stopping, or does it expect TLS?"
        return ConnectError(f"{at} hung up", hint, "down" if access.tls else "tls")
    if isinstance(error, DriverConnectionError | OSError):
        return ConnectError(f"{at} cannot be reached: {text}", "check host, port, network", "down")
    return ConnectError(f"{at} answers with an error: {text}", None, "other")
