"""Many queries in one round trip, with a time limit that holds when the server hangs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import psycopg
from psycopg import pq

from mngdb import log
from mngdb.dial import ready
from mngdb.engines.postgres.causes import first_line
from mngdb.engines.postgres.redact import redacted
from mngdb.errors import ConnectError
from mngdb.findings import Seen

#: SQLSTATE insufficient_privilege.
_DENIED = b"42501"
#: A row as the server wrote it: text, or None for NULL.
Row = list[bytes | None]


class Rows:
    """The rows of an answer, still as the driver has them: lists of many would be far larger."""

    def __init__(self, result: pq.abc.PGresult) -> None:
        self._result = result

    def __len__(self) -> int:
        return self._result.ntuples

    def __iter__(self) -> Iterator[Row]:
        value, columns = self._result.get_value, range(self._result.nfields)
        return ([value(row, column) for column in columns] for row in range(len(self)))

    def column(self, number: int) -> Iterator[bytes | None]:
        """One value of each row."""
        value = self._result.get_value
        return (value(row, number) for row in range(len(self)))


class Refusal(NamedTuple):
    """Why the server did not answer one query."""

    text: str
    denied: bool
    """Whether the login may not ask this."""


def ask(
    connection: psycopg.Connection[Any], queries: Mapping[str, str], timeout: float
) -> dict[str, Rows | Refusal]:
    """The rows of each query, each in a transaction of its own: one that is refused, or that waits
    for longer than the session lets it, spoils no other. `timeout` in seconds, for all of them.

    Raises ConnectError when the server is gone or too slow; the connection is then of no more use.
    """
    found: dict[str, Rows | Refusal] = {}
    deadline = time.monotonic() + timeout
    try:
        with log.timed(__name__, lambda: redacted("; ".join(queries.values()))):
            for name, result in _each(connection.pgconn, queries, deadline):
                if result is None or result.status == pq.ExecStatus.FATAL_ERROR:
                    state = result and result.error_field(pq.DiagnosticField.SQLSTATE)
                    found[name] = Refusal(_refusal(result), state == _DENIED)
                    log.say(__name__, f"{name}: {_refusal(result)}")
                else:
                    found[name] = Rows(result)
    except psycopg.Error as error:
        raise ConnectError(
            f"PostgreSQL closed the connection: {first_line(error)}", kind="down"
        ) from None
    return found


def ask_each(
    connection: psycopg.Connection[Any], queries: Mapping[str, str], timeout: float
) -> dict[str, Seen[list[Any]]]:
    """The rows of each query as JSON has them; one that is refused does not spoil the others, nor
    does a server that dies half way or is too slow: what it had said by then counts.
    Statements that begin with SET are run and have no answer. `timeout` in seconds, for all.

    Raises ConnectError when the server gave no answer at all.
    """
    found: dict[str, Seen[list[Any]]] = {}
    try:
        with log.timed(__name__, lambda: f"{len(queries)} queries: {', '.join(queries)}"):
            _ask_each(connection.pgconn, queries, time.monotonic() + timeout, found)
    except psycopg.Error as error:
        reason = f"PostgreSQL closed the connection: {first_line(error)}"
        if not found:
            raise ConnectError(reason, kind="down") from None
    except ConnectError as error:
        reason = error.message
        if not found:
            raise
    else:
        reason = "PostgreSQL did not answer: the reply is incomplete"
    return {name: found.get(name, Seen(missing=reason)) for name in queries}


def _ask_each(
    wire: pq.abc.PGconn,
    queries: Mapping[str, str],
    deadline: float,
    found: dict[str, Seen[list[Any]]],
) -> None:
    texts = {
        name: text
        if text.startswith("SET ")
        else f"SELECT coalesce(json_agg(q), '[]') FROM ({text}) q"  # noqa: S608
        for name, text in queries.items()
    }
    for name, result in _each(wire, texts, deadline):
        if result is None or result.status == pq.ExecStatus.FATAL_ERROR:
            found[name] = Seen(missing=_refusal(result))
        elif result.status == pq.ExecStatus.TUPLES_OK:
            # the server hands on what its files have, also what is no text
            said = (result.get_value(0, 0) or b"[]").decode(errors="replace")
            found[name] = Seen(json.loads(said))


def _each(
    wire: pq.abc.PGconn, queries: Mapping[str, str], deadline: float
) -> Iterator[tuple[str, pq.abc.PGresult | None]]:
    """What the server says to each query, all of them sent in one go."""
    wire.enter_pipeline_mode()
    for text in queries.values():
        wire.send_query_params(text.encode(), None)
        wire.pipeline_sync()
    while wire.flush():
        if not ready(wire.socket, max(0.0, deadline - time.monotonic()), write=True):
            raise ConnectError("PostgreSQL does not answer in time", "is it busy?", "down")
    for name in queries:
        yield name, _next(wire, deadline)
        while _next(wire, deadline) is not None:
            pass
        _next(wire, deadline)  # the end of this query's part
    wire.exit_pipeline_mode()


def _refusal(result: pq.abc.PGresult | None) -> str:
    text = result.error_message.decode(errors="replace").strip() if result else ""
    return f"PostgreSQL did not answer: {text.partition(chr(10))[0] or 'no result'}"


def _next(wire: pq.abc.PGconn, deadline: float) -> pq.abc.PGresult | None:
    while wire.is_busy():
        left = deadline - time.monotonic()
        if left <= 0 or not ready(wire.socket, left):
            raise ConnectError("PostgreSQL does not answer in time", "is it busy?", "down")
        wire.consume_input()
    return wire.get_result()
