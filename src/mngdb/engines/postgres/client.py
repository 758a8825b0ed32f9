"""Connections to PostgreSQL, and the one place where its errors become ours."""

from __future__ import annotations

import contextlib
import copy
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from typing import Any, LiteralString

import psycopg
from msgspec.structs import replace
from psycopg import sql
from psycopg.abc import RV, Buffer, PQGen, Query
from psycopg.adapt import Loader

from mngdb import dial, log, stopping
from mngdb.engines.postgres import auth_probe, causes, locktable
from mngdb.engines.postgres import guards as guarding
from mngdb.engines.postgres.access import proof, tls_parameters
from mngdb.engines.postgres.causes import first_line
from mngdb.engines.postgres.guards import GUARDS
from mngdb.engines.postgres.redact import redacted
from mngdb.errors import ConnectError, OvertakenError, StepError, UnobservableError
from mngdb.model import Access
from mngdb.secret import Secret

#: What our sessions are called on the server.
NAME = "mngdb"
#: The first libpq that has require_auth.
_LIBPQ = 160000
#: Seconds to find out who listens.
_PROBE = 2.0

#: The database that belongs to nobody but the administrator: nobody else gives it settings.
_MAINTENANCE = "postgres"
#: There, the server's own settings are looked at, so that these few alone stand before them.
_MAIN_GUARDS = {name: GUARDS[name] for name in ("search_path", "role", "local_preload_libraries")}
#: What such a session takes on before it changes something.
_CHANGES = (
    "default_transaction_read_only",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
)
#: Where commits wait for the store, ours do not: the agent may be what they would wait for.
_LOCAL = {"synchronous_commit": "local"}
#: Our statements set passwords: the verifiers go neither into pg_stat_statements, which the monitor
#: reads, nor into the log, where a statement that waited or failed would stand.
_DISCREET = {
    "pg_stat_statements.track_utility": "off",
    "log_min_error_statement": "panic",
    "log_min_duration_statement": "-1",
}
#: Seconds for which what databases carry is taken as known.
_FRESH = 10.0


#: Seconds that an answer is waited for, to what only looks and to what changes something: the
#: latter longer than the server itself lets such a statement run.
_LOOKING, _CHANGING = 20.0, 65.0


#: Connections that nobody logs in by are closed after authentication_timeout (10 s on a server of
#: ours): until then they may hold every place. Seconds to wait for one, and between two attempts,
#: for those who have so much time.
_FULL, _PAUSE, _UNHURRIED = 12.0, 0.2, 5.0


#: A database or a role of that name is there by now.
_EXISTS = (
    psycopg.errors.DuplicateDatabase,
    psycopg.errors.DuplicateObject,
    psycopg.errors.UniqueViolation,
)
#: A database or a role of that name is not there, or not any more.
_GONE = (psycopg.errors.UndefinedObject, psycopg.errors.InvalidCatalogName)
#: Seconds to wait for a statement to be canceled.
_CANCEL = 1.0
#: Bytes of the databases whose size we may ask for, an external server's administrator not of all.
SIZE: LiteralString = """
SELECT sum(pg_database_size(oid))::bigint FROM pg_database
WHERE has_database_privilege(oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE')
"""
_WAITED = "a session holds a lock: 'mngdb locks' shows which"


class WaitedError(StepError):
    """Somebody else held a lock for longer than we wait, or changed the same at that moment."""


class _Text(Loader):
    """Text as the server hands it on from its files, where any byte may stand."""

    def load(self, data: Buffer) -> str:
        return bytes(data).decode(errors="replace")


class Connection(psycopg.Connection[Any]):
    """A connection that does not wait for ever on a server that froze or whose disk did."""

    patience = _CHANGING

    def execute(self, query: Query, *values: Any, **more: Any) -> psycopg.Cursor[Any]:
        with log.timed(__name__, lambda: f"{self.info.dbname}: {_text(query)}"):
            return super().execute(query, *values, **more)

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


def _text(query: Query) -> str:
    """A query without its literals and values."""
    if isinstance(query, sql.Composable):
        return redacted(query.as_string())
    return redacted(query if isinstance(query, str) else "a query")


class Session:
    """An administrator's connection, and one more at a time into other databases."""

    def __init__(self, access: Access, connection: Connection, timeout: float) -> None:
        self.access = access
        self.main = connection
        self.main.patience = _LOOKING
        self.timeout = timeout
        #: Databases that this session copied from template0, and was not in since.
        self.copies: set[str] = set()
        self._armed = False
        self._carried: list[tuple[Any, ...]] = []
        self._carried_until = 0.0

    def rows(self, query: LiteralString | sql.Composed, *values: object) -> list[tuple[Any, ...]]:
        """The rows of a query in the administrator's database."""
        return rows(self.main, query, *values)

    def names(self, query: LiteralString, *values: object) -> list[str]:
        """The only column of a query's rows."""
        return [name for (name,) in self.rows(query, *values)]

    @property
    def superuser(self) -> bool:
        """Whether it is one's."""
        return self.main.info.parameter_status("is_superuser") == "on"

    def execute(self, *statements: sql.Composed) -> None:
        """Run statements in one transaction; all of them or none. Raises StepError."""
        execute(self.changing(), *statements)

    def changing(self) -> Connection:
        """The connection into the administrator's database, fit for changes."""
        self._arm()
        return self.main

    def alone(self, statement: sql.Composed) -> None:
        """Run a statement that takes no transaction block (CREATE DATABASE). Raises StepError."""
        self._arm()
        execute(self.main, statement)

    def copy(self, database: str, statement: sql.Composed) -> None:
        """As `alone`, with a statement that makes a database from template0."""
        self.alone(statement)
        self.copies.add(database)

    def system(self, statement: sql.Composed) -> None:
        """Run ALTER SYSTEM or the like; this session goes on seeing the server's own settings."""
        execute(self.main, statement)

    def _arm(self) -> None:
        """Make the session fit for changes; not before, for its settings are looked at first."""
        if self._armed:
            return
        self.main.patience = _CHANGING
        wanted = {name: GUARDS[name] for name in _CHANGES} | _LOCAL
        if self.superuser:
            wanted |= _DISCREET
        execute(
            self.main,
            *(
                sql.SQL("SET {} = {}").format(_setting(name), sql.Literal(value))
                for name, value in wanted.items()
            ),
        )
        self._armed = True

    @contextmanager
    def inside(
        self, database: str, timeout: float | None = None, **guards: str
    ) -> Iterator[Connection]:
        """A connection into another database, closed at the end; it begins with `guards` beside
        the usual ones. Raises ConnectError, of kind `database` when only this one is at fault."""
        if database == self.main.info.dbname and not guards:
            self._arm()
            yield self.main
            return
        self.copies.discard(database)
        wanted = {**self.carried(database), **GUARDS, **_LOCAL, **guards}
        try:
            entered = _open(self.access, timeout or self.timeout, database, wanted, self._major)
        except ConnectError as error:
            if error.kind != "down" or not self._alive():
                raise
            said = f"no session can start in the database {database}: {error.message}"
            raise ConnectError(said, error.hint, "database") from None
        with _ended(entered) as connection:
            yield connection

    def carried(self, database: str) -> dict[str, str]:
        """What a session there overrides beside the usual guards. Raises UnobservableError."""
        if time.monotonic() > self._carried_until:
            self._carried = self.rows(guarding.CARRIED, *guarding.CARRIED_VALUES)
            self._carried_until = time.monotonic() + _FRESH
        return guarding.carried(self._carried, database)

    def like(self, user: str, password: Secret) -> Session:
        """This session, whose `inside` enters other databases as somebody else."""
        found = copy.copy(self)
        found.access = replace(self.access, user=user, password=password)
        return found

    @property
    def _major(self) -> int:
        return self.main.info.server_version // 10_000

    def _alive(self) -> bool:
        try:
            return bool(self.rows("SELECT 1"))
        except UnobservableError:
            return False


def _setting(name: str) -> sql.Composable:
    return sql.SQL(".").join(map(sql.Identifier, name.split(".")))


def rows(
    connection: psycopg.Connection[Any], query: LiteralString | sql.Composed, *values: object
) -> list[tuple[Any, ...]]:
    """The rows of a query. Raises UnobservableError with the server's own words."""
    try:
        return connection.execute(query, values or None).fetchall()
    except psycopg.errors.OutOfMemory as error:
        text, hint = locktable.cause(connection, error) or (first_line(error), None)
        raise UnobservableError(text, hint) from None
    except psycopg.Error as error:
        text = f"PostgreSQL did not answer: {first_line(error)}"
        waited = isinstance(error, psycopg.errors.LockNotAvailable)
        raise UnobservableError(text, _WAITED if waited else None) from None


def only_tables(connection: Connection) -> None:
    """Have the server refuse views and foreign tables of others from here on, where it can: they
    run their owner's code as us. A table can have become one since it was looked for. Raises
    StepError."""
    if guarding.restricts(connection.info.server_version):
        setting = "SET restrict_nonsystem_relation_kind = 'view, foreign-table'"
        execute(connection, sql.SQL(setting).format())


def execute(connection: psycopg.Connection[Any], *statements: sql.Composed) -> None:
    """Run statements in one round trip, which makes them one transaction. Raises StepError."""
    with _step_errors(connection):
        connection.execute(sql.SQL("; ").join(statements))


@contextmanager
def _step_errors(connection: psycopg.Connection[Any]) -> Iterator[None]:
    try:
        yield
    except psycopg.errors.OutOfMemory as error:
        raise StepError(*(locktable.cause(connection, error) or (first_line(error),))) from None
    except psycopg.errors.DiskFull as error:
        raise StepError(
            f"PostgreSQL's disk is full: {first_line(error)}", "free space, then run 'mngdb up'"
        ) from None
    except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable) as error:
        raise WaitedError(
            f"PostgreSQL timed out: {first_line(error)}",
            _WAITED,
        ) from None
    except psycopg.errors.InternalError_ as error:  # tuple concurrently updated
        raise WaitedError(
            f"PostgreSQL refused: {first_line(error)}",
            "if somebody changed the same just now, run 'mngdb up' again",
        ) from None
    except _EXISTS as error:
        text = f"PostgreSQL refused: {first_line(error)}"
        told = OvertakenError if error.diag.schema_name in {None, "pg_catalog"} else StepError
        raise told(text) from None
    except _GONE as error:
        raise StepError(
            f"PostgreSQL refused: {first_line(error)}",
            "if somebody removed it just now, run 'mngdb up' again",
        ) from None
    except psycopg.OperationalError as error:
        raise StepError(
            f"PostgreSQL closed the connection: {first_line(error)}", "run 'mngdb up' again"
        ) from None
    except psycopg.Error as error:
        raise StepError(f"PostgreSQL refused: {first_line(error)}") from None


@contextmanager
def connect(access: Access, timeout: float) -> Iterator[Session]:
    """A session of the administrator, the monitor, or of an app that is looked at from outside.
    Raises ConnectError."""
    if access.unasked:
        _known(access)
    guards = _MAIN_GUARDS if access.database == _MAINTENANCE else GUARDS
    with _ended(_open(access, timeout, access.database, guards)) as connection:
        yield Session(access, connection, timeout)


def _known(access: Access) -> None:
    """Where the login may be no proof, the process behind the port is. Raises ConnectError."""
    if dial.provable(access) is None:
        return
    with contextlib.suppress(OSError), dial.dial(access, _PROBE) as wire:
        dial.prove(access, wire, _PROBE)  # who is out of reach is told by the login


@contextmanager
def as_app(access: Access, timeout: float, database: str) -> Iterator[Connection]:
    """A connection as an app has it, with all that its database and login carry. Raises
    ConnectError."""
    with _ended(_open(access, timeout, database, {})) as connection:
        yield connection


@contextmanager
def replication(
    access: Access, timeout: float, name: str = NAME
) -> Iterator[psycopg.pq.abc.PGconn]:
    """A connection that speaks the replication protocol, physically; `name` is what the server
    knows it by. Raises ConnectError."""
    special = {"replication": "yes", "application_name": name}
    try:
        connection = _connect(access, timeout, "", "", tls_parameters(access), **special)
    except psycopg.OperationalError as error:
        raise causes.connect_error(access, error, "", lambda: _takes_tls(access, "")) from None
    with _ended(connection):
        yield connection.pgconn


@contextmanager
def _ended(connection: Connection) -> Iterator[Connection]:
    """Closed at the end. What it waits for is canceled when the command stops: the server would
    go on with it."""

    def cancel() -> None:
        with contextlib.suppress(psycopg.Error):  # it has ended, or nobody is there to end it
            connection.cancel_safe(timeout=_CANCEL)

    with closing(connection), stopping.ended_by(cancel):
        yield connection


def _open(
    access: Access,
    timeout: float,
    database: str,
    guards: Mapping[str, str],
    version: int = guarding.NEWEST,
) -> Connection:
    """A connection in autocommit mode that begins with `guards`. `version` is the server's major
    one, where it is known. Raises ConnectError."""
    full_until = time.monotonic() + (_FULL if timeout >= _UNHURRIED else 0)
    while True:
        options = guarding.options(guarding.known_to(guards, version))
        try:
            return _connect(access, timeout, database, options, tls_parameters(access))
        except psycopg.OperationalError as error:
            if version and "unrecognized configuration parameter" in str(error):
                version = guarding.before(version)  # an older server
                continue
            if "too many clients already" in str(error) and time.monotonic() < full_until:
                stopping.sleep(_PAUSE)
                continue
            cause = causes.connect_error(
                access, error, database, lambda: _takes_tls(access, database)
            )
            raise dial.blamed(access, cause) from None


def _connect(
    access: Access,
    timeout: float,
    database: str,
    options: str,
    tls: Mapping[str, str],
    **special: str,
) -> Connection:
    if psycopg.pq.version() < _LIBPQ:
        raise ConnectError(
            f"libpq {psycopg.pq.version() // 10_000} would send a password to any server that "
            "requests it",
            "install psycopg[binary], which includes its own libpq, or libpq 16 or later",
        )
    host, port = access.socket or access.host, access.port
    named = {"application_name": NAME, "options": options}
    more: dict[str, Any] = {**tls, **proof(access), **named, **special}
    if access.socket is not None and access.tls:
        # libpq does not encrypt over a unix socket; it verifies `host`, and calls `hostaddr`
        host = access.host
        more["hostaddr"], port = dial.tcp(access)
    with log.timed(__name__, lambda: f"connect to {host}:{port}/{database} as {access.user}"):
        connection = Connection.connect(
            host=host,
            port=port,
            user=access.user,
            password=access.password.reveal() if access.password else None,
            dbname=database,
            connect_timeout=max(2, round(timeout)),
            autocommit=True,
            **more,
        )
    connection.adapters.register_loader("text", _Text)
    return connection


def _takes_tls(access: Access, database: str) -> bool:
    """Whether the login that was refused without encryption gets further with it."""
    if access.socket is not None:
        try:
            return auth_probe.offers_tls(access)
        except UnobservableError:
            return False  # what it said before it hung up is all that is known
    try:
        _connect(access, 5, database, "", {"sslmode": "require"}).close()
    except psycopg.OperationalError as error:
        return not re.search(r"does not support SSL|pg_hba\.conf", str(error))
    return True


def wait(access: Access, deadline: float, timeout: float) -> AbstractContextManager[Session]:
    """An administrator's session, as soon as the server takes connections. `deadline` in
    time.monotonic() seconds."""
    while True:
        attempt = ExitStack()
        try:
            found = attempt.enter_context(connect(access, timeout))
        except ConnectError as error:
            if error.kind not in {"down", "starting"} or time.monotonic() > deadline:
                raise
        else:
            return _held(attempt, found)
        stopping.sleep(0.01)


@contextmanager
def _held(resources: ExitStack, found: Session) -> Iterator[Session]:
    with resources:
        yield found
