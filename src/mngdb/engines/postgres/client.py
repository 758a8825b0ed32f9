"""Connections to PostgreSQL, and the one place where its errors become ours."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.abc import RV, PQGen

from mngdb import dial
from mngdb.engines.postgres import causes, door
from mngdb.engines.postgres.causes import first_line
from mngdb.errors import ConnectError, StepError, UnobservableError
from mngdb.model import Access

_NAME = "mngdb"

#: A database's owner may give it settings that every session there begins with. An administrator's
#: session must not take these over: a search_path with functions of the owner's making would run
#: them with the administrator's rights, a role or a read-only default would keep it from its work.
_GUARDS = {
    "search_path": "pg_catalog,pg_temp",
    "role": "none",
    "default_transaction_read_only": "off",
    "statement_timeout": "60s",
    "lock_timeout": "15s",
    "idle_in_transaction_session_timeout": "0",
}
#: In the administrator's own database the server's settings are looked at, unchanged.
_MAIN_GUARDS = {"search_path": "pg_catalog,pg_temp", "role": "none"}


#: Seconds that an answer is waited for, to what only looks and to what changes something: the
#: latter longer than the server itself lets such a statement run.
_LOOKING, _CHANGING = 20.0, 65.0


class Connection(psycopg.Connection[Any]):
    """A connection that does not wait for ever on a server that froze or whose disk did."""

    patience = _CHANGING

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Raises psycopg.OperationalError after `patience` seconds; the connection is then over."""
        begun = time.monotonic()
        try:
            return super().wait(gen, interval, timeout or self.patience)
        except psycopg.OperationalError as error:
            if error.sqlstate is None and time.monotonic() - begun >= self.patience:
                self.pgconn.finish()
                told = f"no answer within {self.patience:g} s"
                raise psycopg.OperationalError(told) from None
            raise


class Session:
    """An administrator's connection, and one more at a time into other databases."""

    def __init__(self, access: Access, connection: Connection, timeout: float) -> None:
        self.access = access
        self.main = connection
        self.main.patience = _LOOKING
        self.timeout = timeout
        self._armed = False

    def rows(self, query: LiteralString | sql.Composed, *values: object) -> list[tuple[Any, ...]]:
        """The rows of a query in the administrator's database."""
        return rows(self.main, query, *values)

    def execute(self, *statements: sql.Composed) -> None:
        """Run statements in one transaction; all of them or none. Raises StepError."""
        self._arm()
        execute(self.main, *statements)

    def alone(self, statement: sql.Composed) -> None:
        """Run a statement that takes no transaction block (CREATE DATABASE). Raises StepError."""
        self._arm()
        execute(self.main, statement)

    def system(self, statement: sql.Composed) -> None:
        """Run ALTER SYSTEM or the like; this session goes on seeing the server's own settings."""
        execute(self.main, statement)

    def _arm(self) -> None:
        """Make the session fit for changes; not before, for its settings are looked at first."""
        if self._armed:
            return
        self.main.patience = _CHANGING
        guards = {name: value for name, value in _GUARDS.items() if name not in _MAIN_GUARDS}
        execute(
            self.main,
            *(
                sql.SQL("SET {} = {}").format(sql.Identifier(name), sql.Literal(value))
                for name, value in guards.items()
            ),
        )
        self._armed = True

    @contextmanager
    def inside(self, database: str) -> Iterator[psycopg.Connection[Any]]:
        """A connection into another database, closed at the end."""
        if database == self.main.info.dbname:
            self._arm()
            yield self.main
            return
        with open_connection(self.access, self.timeout, database) as connection:
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
    """Run statements in one round trip, which makes them one transaction. Raises StepError."""
    with _step_errors():
        connection.execute(sql.SQL("; ").join(statements))


@contextmanager
def _step_errors() -> Iterator[None]:
    try:
        yield
    except psycopg.errors.DiskFull as error:
        raise StepError(
            f"PostgreSQL's disk is full: {first_line(error)}", "free space, then run 'mngdb up'"
        ) from None
    except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable) as error:
        raise StepError(
            f"PostgreSQL was kept waiting: {first_line(error)}",
            "somebody holds a lock: 'select * from pg_stat_activity' shows who",
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
    with open_connection(access, timeout, access.database, guards=_MAIN_GUARDS) as connection:
        yield Session(access, connection, timeout)


@contextmanager
def open_connection(
    access: Access,
    timeout: float,
    database: str,
    *,
    admin: bool = True,
    guards: Mapping[str, str] = _GUARDS,
) -> Iterator[Connection]:
    """A connection in autocommit mode; without `admin` as an app has it. Raises ConnectError."""
    options = [f"-c {name}={value}" for name, value in guards.items()] if admin else []
    try:
        connection = _connect(access, timeout, database, " ".join(options), tls_parameters(access))
    except psycopg.OperationalError as error:
        raise causes.connect_error(
            access, error, database, lambda: _takes_tls(access, database)
        ) from None
    try:
        yield connection
    finally:
        connection.close()


def _connect(
    access: Access, timeout: float, database: str, options: str, tls: Mapping[str, str]
) -> Connection:
    host, port = access.socket or access.host, access.port
    more: dict[str, Any] = {**tls, "options": options}
    if access.socket is not None and access.tls:
        # libpq does not encrypt over a unix socket; it verifies `host`, and calls `hostaddr`
        host = access.host
        more["hostaddr"], port = dial.tcp(access)
    return Connection.connect(
        host=host,
        port=port,
        user=access.user,
        password=access.password.reveal() if access.password else None,
        dbname=database,
        connect_timeout=max(2, round(timeout)),
        application_name=_NAME,
        autocommit=True,
        **more,
    )


def _takes_tls(access: Access, database: str) -> bool:
    """Whether the login that was refused without encryption gets further with it."""
    if access.socket is not None:
        try:
            return door.offers_tls(access)
        except UnobservableError:
            return False  # what it said before it hung up is all that is known
    try:
        _connect(access, 5, database, "", {"sslmode": "require"}).close()
    except psycopg.OperationalError as error:
        return not re.search(r"does not support SSL|pg_hba\.conf", str(error))
    return True


def tls_parameters(access: Access) -> dict[str, str]:
    """libpq's parameters for encryption; a server with TLS is always verified."""
    if not access.tls:
        return {"sslmode": access.options.get("sslmode", "disable")}
    if access.ca is None:
        return {"sslmode": access.options.get("sslmode", "verify-full"), "sslrootcert": "system"}
    return {"sslmode": "verify-full", "sslrootcert": access.ca}


def wait(access: Access, deadline: float, timeout: float) -> AbstractContextManager[Session]:
    """An administrator's session, as soon as the server takes connections. `deadline` in
    time.monotonic() seconds."""
    while True:
        attempt = ExitStack()
        try:
            found = attempt.enter_context(session(access, timeout))
        except ConnectError as error:
            if error.kind not in {"down", "starting"} or time.monotonic() > deadline:
                raise
        else:
            return _held(attempt, found)
        time.sleep(0.01)


@contextmanager
def _held(resources: ExitStack, found: Session) -> Iterator[Session]:
    with resources:
        yield found
