"""Connections to PostgreSQL, and the one place where its errors become ours."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from mngdb.errors import ConnectError, StepError, UnobservableError
from mngdb.model import Access

_NAME = "mngdb"


class Session:
    """An administrator's connection, and one more at a time into other databases."""

    def __init__(self, access: Access, connection: psycopg.Connection[Any], timeout: float) -> None:
        self.access = access
        self.main = connection
        self._timeout = timeout

    def rows(self, query: LiteralString | sql.Composed, *values: object) -> list[tuple[Any, ...]]:
        """The rows of a query in the administrator's database."""
        return rows(self.main, query, *values)

    def execute(self, *statements: sql.Composed) -> None:
        """Run statements in one transaction; all of them or none. Raises StepError."""
        execute(self.main, *statements)

    def alone(self, statement: sql.Composed) -> None:
        """Run a statement that takes no transaction block (CREATE DATABASE). Raises StepError."""
        with _step_errors():
            self.main.execute(statement)

    @contextmanager
    def inside(self, database: str) -> Iterator[psycopg.Connection[Any]]:
        """A connection into another database, closed at the end."""
        if database == self.main.info.dbname:
            yield self.main
            return
        with open_connection(self.access, self._timeout, database) as connection:
            yield connection


def rows(
    connection: psycopg.Connection[Any], query: LiteralString | sql.Composed, *values: object
) -> list[tuple[Any, ...]]:
    """The rows of a query. Raises UnobservableError with the server's own words."""
    try:
        return connection.execute(query, values or None).fetchall()
    except psycopg.Error as error:
        raise UnobservableError(f"PostgreSQL did not answer: {first_line(error)}") from None


def execute(connection: psycopg.Connection[Any], *statements: sql.Composed) -> None:
    """Run statements in one transaction. Raises StepError."""
    with _step_errors(), connection.transaction():
        for statement in statements:
            connection.execute(statement)


@contextmanager
def _step_errors() -> Iterator[None]:
    try:
        yield
    except psycopg.errors.DiskFull as error:
        raise StepError(
            f"PostgreSQL's disk is full: {first_line(error)}", "free space, then run 'mngdb up'"
        ) from None
    except psycopg.OperationalError as error:
        raise StepError(
            f"PostgreSQL went away: {first_line(error)}", "run 'mngdb up' again"
        ) from None
    except psycopg.Error as error:
        raise StepError(f"PostgreSQL refused: {first_line(error)}") from None


@contextmanager
def session(access: Access, timeout: float) -> Iterator[Session]:
    """An administrator's session. Raises ConnectError."""
    with open_connection(access, timeout, access.database) as connection:
        yield Session(access, connection, timeout)


@contextmanager
def open_connection(
    access: Access, timeout: float, database: str
) -> Iterator[psycopg.Connection[Any]]:
    """A connection in autocommit mode. Raises ConnectError."""
    try:
        connection = psycopg.connect(
            host=access.socket or access.host,
            port=access.port,
            user=access.user,
            password=access.password.reveal() if access.password else None,
            dbname=database,
            connect_timeout=max(2, round(timeout)),
            application_name=_NAME,
            autocommit=True,
            options="-c statement_timeout=60000 -c lock_timeout=15000",
            **tls_parameters(access),
        )
    except psycopg.OperationalError as error:
        raise connect_error(access, error, database) from None
    try:
        yield connection
    finally:
        connection.close()


def tls_parameters(access: Access) -> dict[str, str]:
    """libpq's parameters for encryption; a server with TLS is always verified."""
    if access.socket is not None:
        return {}
    if not access.tls:
        return {"sslmode": access.options.get("sslmode", "disable")}
    if access.ca is None:
        return {"sslmode": access.options.get("sslmode", "verify-full"), "sslrootcert": "system"}
    return {"sslmode": "verify-full", "sslrootcert": access.ca}


def wait(access: Access, deadline: float, timeout: float) -> None:
    """Wait until the server takes connections. `deadline` in time.monotonic() seconds."""
    while True:
        try:
            with open_connection(access, timeout, access.database):
                return
        except ConnectError as error:
            if error.kind not in {"down", "starting"} or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


#: What the server or libpq says, the kind, our sentence, what to do.
_CAUSES: tuple[tuple[str, str, str, str], ...] = (
    (
        r"starting up|not yet accepting|shutting down|in recovery mode",
        "starting",
        "PostgreSQL is starting or stopping",
        "wait a moment and try again",
    ),
    (
        r"password authentication failed",
        "auth",
        "PostgreSQL refuses the secret of {user}: it is wrong, or there is no such role",
        "'mngdb up' makes secret and server agree",
    ),
    (r"role .* does not exist", "auth", "PostgreSQL has no role {user}", "run 'mngdb up'"),
    (
        r"is not permitted to log in",
        "auth",
        "the role {user} is not permitted to log in",
        "the app may have left the file; 'mngdb plan' shows it",
    ),
    (
        r"no encryption|SSL off|requires? SSL",
        "tls",
        "PostgreSQL takes {user} only over an encrypted connection",
        "use the URL of 'mngdb env'",
    ),
    (
        r"server does not support SSL",
        "tls",
        "TLS is expected and the server has none",
        "run 'mngdb up', it restarts with TLS",
    ),
    (
        r"certificate verify failed|certificate",
        "tls",
        "the server's certificate is not one that the CA file knows",
        "run 'mngdb up'",
    ),
    (
        r"no pg_hba.conf entry|pg_hba.conf rejects",
        "hba",
        "pg_hba.conf has no line that lets {user} into {database}",
        "run 'mngdb up'",
    ),
    (
        r"Peer authentication failed",
        "hba",
        "the socket is for the owner of the stack only",
        "run mngdb as the account that ran 'mngdb up'",
    ),
    (
        r"database .* does not exist",
        "database",
        "the database {database} is missing",
        "run 'mngdb up'",
    ),
    (
        r"permission denied for database",
        "database",
        "{user} has no right to connect to {database}",
        "run 'mngdb up'",
    ),
    (
        r"too many (connections|clients)|remaining connection slots|connection limit",
        "limit",
        "PostgreSQL has no free connection for {user}",
        "see who holds them, or raise the limit",
    ),
    (r"No space left on device", "disk", "PostgreSQL's disk is full", "free space on it"),
    (
        r"Connection refused|No such file or directory|could not connect|Name or service|timeout|"
        r"Connection reset|closed the connection|Network is unreachable|No route",
        "down",
        "no PostgreSQL answers at {where}",
        "'mngdb status' shows what runs, 'mngdb up' starts it",
    ),
)


def connect_error(access: Access, error: psycopg.Error, database: str) -> ConnectError:
    """The cause of a failed login, told apart by the server's words (C locale on our servers)."""
    text = str(error)
    words = {
        "user": access.user,
        "database": database,
        "where": access.socket or f"{access.host}:{access.port}",
    }
    for pattern, kind, sentence, hint in _CAUSES:
        if re.search(pattern, text, re.IGNORECASE):
            return ConnectError(sentence.format(**words), hint, kind)
    return ConnectError(f"no login to PostgreSQL as {access.user}: {first_line(error)}")


def first_line(error: BaseException) -> str:
    """The first line of a driver's error: the statement's text and context come later."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
