"""Many queries in one round trip, with a time limit that holds when the server hangs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import pq

from mngdb import log
from mngdb.dial import ready
from mngdb.engines.postgres.causes import first_line
from mngdb.engines.postgres.redact import redacted
from mngdb.errors import ConnectError, UnobservableError
from mngdb.findings import Seen

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


def ask(connection: psycopg.Connection[Any], queries: Sequence[str], timeout: float) -> list[Rows]:
    """The rows of each query. `timeout` in seconds, for all of them together.

    Raises ConnectError when the server is gone or too slow (the connection is then of no more
    use), and UnobservableError when it refuses a query.
    """
    with log.timed(__name__, lambda: redacted("; ".join(queries))):
        return _ask(connection.pgconn, queries, time.monotonic() + timeout)


def _ask(wire: pq.abc.PGconn, queries: Sequence[str], deadline: float) -> list[Rows]:
    found: list[Rows] = []
    try:
        # the simple protocol takes several statements at once
        wire.send_query(";".join(queries).encode())
        while (result := _next(wire, deadline)) is not None:
            if result.status == pq.ExecStatus.TUPLES_OK:
                found.append(Rows(result))
            elif result.status not in {pq.ExecStatus.COMMAND_OK, pq.ExecStatus.EMPTY_QUERY}:
                text = result.error_message.decode(errors="replace").strip().partition("\n")[0]
                _drain(wire, deadline)
                raise UnobservableError(f"PostgreSQL did not answer: {text}")
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
    wire.enter_pipeline_mode()
    for text in queries.values():
        plain = text.startswith("SET ")
        asked = text if plain else f"SELECT coalesce(json_agg(q), '[]') FROM ({text}) q"  # noqa: S608
        wire.send_query_params(asked.encode(), None)
        wire.pipeline_sync()
    while wire.flush():
        if not ready(wire.socket, max(0.0, deadline - time.monotonic()), write=True):
            raise ConnectError("PostgreSQL does not answer in time", "is it busy?", "down")
    for name in queries:
        result = _next(wire, deadline)
        if result is None or result.status == pq.ExecStatus.FATAL_ERROR:
            found[name] = Seen(missing=_refusal(result))
        elif result.status == pq.ExecStatus.TUPLES_OK:
            # the server hands on what its files have, also what is no text
            said = (result.get_value(0, 0) or b"[]").decode(errors="replace")
            found[name] = Seen(json.loads(said))
        _drain(wire, deadline)
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


def _drain(wire: pq.abc.PGconn, deadline: float) -> None:
    while _next(wire, deadline) is not None:
        pass
