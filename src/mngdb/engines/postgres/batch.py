"""Many queries in one round trip, with a time limit that holds when the server hangs."""

from __future__ import annotations

import select
import time
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import pq

from mngdb.engines.postgres.causes import first_line
from mngdb.errors import ConnectError, UnobservableError

#: A row as the server wrote it: text, or None for NULL.
Row = list[bytes | None]


def ask(
    connection: psycopg.Connection[Any], queries: Sequence[str], timeout: float
) -> list[list[Row]]:
    """The rows of each query. `timeout` in seconds, for all of them together.

    Raises ConnectError when the server is gone or too slow (the connection is then of no more
    use), and UnobservableError when it refuses a query.
    """
    deadline = time.monotonic() + timeout
    wire = connection.pgconn
    found: list[list[Row]] = []
    try:
        # the simple protocol takes several statements at once
        wire.send_query(";".join(queries).encode())
        while (result := _next(wire, deadline)) is not None:
            if result.status == pq.ExecStatus.TUPLES_OK:
                found.append(_rows(result))
            elif result.status not in {pq.ExecStatus.COMMAND_OK, pq.ExecStatus.EMPTY_QUERY}:
                text = result.error_message.decode(errors="replace").strip().partition("\n")[0]
                _drain(wire, deadline)
                raise UnobservableError(f"PostgreSQL did not answer: {text}")
    except psycopg.Error as error:
        raise ConnectError(f"PostgreSQL went away: {first_line(error)}", kind="down") from None
    return found


def _next(wire: pq.abc.PGconn, deadline: float) -> pq.abc.PGresult | None:
    while wire.is_busy():
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([wire.socket], [], [], left)[0]:
            raise ConnectError("PostgreSQL does not answer in time", "is it busy?", "down")
        wire.consume_input()
    return wire.get_result()


def _drain(wire: pq.abc.PGconn, deadline: float) -> None:
    while _next(wire, deadline) is not None:
        pass


def _rows(result: pq.abc.PGresult) -> list[Row]:
    value, columns = result.get_value, range(result.nfields)
    return [[value(row, column) for column in columns] for row in range(result.ntuples)]
