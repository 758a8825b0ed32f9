"""Commands of the replication protocol and their answers.

https://www.postgresql.org/docs/current/protocol-replication.html
"""

from __future__ import annotations

import time

from psycopg import pq

from mngdb import dial
from mngdb.engines.postgres.causes import first_line
from mngdb.engines.postgres.client import Session
from mngdb.errors import ConnectError, StepError

#: Seconds between two looks whether an answer has come.
_LOOK = 1.0


class RefusedError(StepError):
    """What the server refused, in its words. `code` is the SQLSTATE."""

    def __init__(self, result: pq.abc.PGresult) -> None:
        hint = _field(result, pq.DiagnosticField.MESSAGE_HINT)
        super().__init__(f"PostgreSQL refused: {_said(result)}", hint or None)
        self.code = _field(result, pq.DiagnosticField.SQLSTATE)


def _said(result: pq.abc.PGresult) -> str:
    return _field(result, pq.DiagnosticField.MESSAGE_PRIMARY) or first_line(
        RuntimeError(result.error_message.decode(errors="replace"))
    )


def _field(result: pq.abc.PGresult, name: pq.DiagnosticField) -> str:
    return (result.error_field(name) or b"").decode(errors="replace")


def rows(wire: pq.abc.PGconn, command: str, patience: float | None = None) -> list[tuple[str, ...]]:
    """The only result of a command, NULL as an empty text. Raises RefusedError, ConnectError."""
    wire.send_query(command.encode())
    found = next_rows(wire, patience)
    while result(wire, patience) is not None:
        pass
    return found


def next_rows(wire: pq.abc.PGconn, patience: float | None = None) -> list[tuple[str, ...]]:
    """The next result's rows. Raises StepError in the server's words."""
    found = result(wire, patience)
    if found is None or found.status not in {pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK}:
        raise StepError("PostgreSQL ended the command before it was complete")
    return [
        tuple((found.get_value(row, column) or b"").decode() for column in range(found.nfields))
        for row in range(found.ntuples)
    ]


def result(wire: pq.abc.PGconn, patience: float | None = None) -> pq.abc.PGresult | None:
    """The next result; None: there is no more. Waits for `patience` seconds, None: as long as it
    takes. Raises RefusedError, ConnectError, psycopg.OperationalError."""
    begun = time.monotonic()
    while patience is not None and wire.is_busy():
        dial.ready(wire.socket, _LOOK)
        wire.consume_input()
        if wire.is_busy() and time.monotonic() > begun + patience:
            raise ConnectError(f"PostgreSQL did not answer within {patience:g} s", None, "busy")
    found = wire.get_result()
    if found is not None and found.status == pq.ExecStatus.FATAL_ERROR:
        raise RefusedError(found)
    return found


def drain(wire: pq.abc.PGconn, patience: float | None = None) -> None:
    """Read the rest of an answer, before which no other command is taken. As `result`."""
    while result(wire, patience) is not None:
        pass


def branch(session: Session, system: str, timeline: str) -> str:
    """The name of a timeline of a cluster (`mngdb.snapshot.Point`). Two copies of a cluster that
    were both restored from it begin a timeline of the same number: the moment when it began tells
    them apart. Raises UnobservableError."""
    began = ""
    if timeline != "1" and session.rows(_MAY)[0][0]:
        began = "".join(f"-{moment:x}" for (moment,) in session.rows(_BEGAN, _history(timeline)))
    return f"{system}-{timeline}{began}"


_MAY = "SELECT has_function_privilege('pg_ls_waldir()', 'EXECUTE')"
_BEGAN = "SELECT extract(epoch FROM modification)::bigint FROM pg_ls_waldir() WHERE name = %s"


def _history(timeline: str) -> str:
    return f"{int(timeline):08X}.history"


def timeline(of: str) -> int:
    """The number of the timeline that a branch is."""
    return int(of.split("-")[1])


def lsn(text: str) -> int:
    """A position as a number."""
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def text(position: int) -> str:
    """A position as PostgreSQL writes it."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"
