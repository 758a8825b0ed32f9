"""The replication slot by which the server keeps WAL until the archive has it."""

from __future__ import annotations

import hashlib
import time
from typing import LiteralString

from psycopg.sql import SQL, Literal

from mngdb import stopping
from mngdb.engines.postgres.client import Session
from mngdb.errors import StepError
from mngdb.model import DesiredInstance

#: The longest name that PostgreSQL takes.
_LONGEST = 63
#: Seconds that its reader may take to end.
_PATIENCE = 5.0


def name(asked: DesiredInstance) -> str:
    """What it is called."""
    found = f"mngdb_{asked.stack}__{asked.instance.name}".replace("-", "_")
    if len(found) <= _LONGEST:
        return found
    return f"{found[: _LONGEST - 9]}_{hashlib.sha256(found.encode()).hexdigest()[:8]}"


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
