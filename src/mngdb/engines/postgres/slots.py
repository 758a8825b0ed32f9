"""The replication slot by which the server keeps WAL until the archive has it."""

from __future__ import annotations

import time
from typing import LiteralString

from psycopg.sql import SQL, Literal

from mngdb import stopping
from mngdb.engines.postgres.client import Session
from mngdb.errors import StepError

#: Seconds that its reader may take to end.
_PATIENCE = 5.0


def drop(session: Session, slot: str) -> None:
    """Drop a slot, whose reader is ended. Raises StepError."""
    deadline = time.monotonic() + _PATIENCE
    while session.rows(_END, slot):
        if time.monotonic() > deadline:
            raise StepError(f"the replication slot {slot} is still read from", "run it again")
        stopping.sleep(0.05)
    session.execute(SQL(_DROP).format(Literal(slot)))


_END: LiteralString = """
    SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots
    WHERE slot_name = %s AND active
"""
_DROP: LiteralString = """
    SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = {}
"""
