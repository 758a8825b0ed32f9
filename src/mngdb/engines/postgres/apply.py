"""Make a running server take its settings."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from psycopg import sql
from psycopg.sql import SQL, Identifier, Literal

from mngdb import stopping
from mngdb.engines.postgres.changes import OVERLAY
from mngdb.engines.postgres.client import Session
from mngdb.errors import StepError
from mngdb.model import Change

#: Settings that are lists of names: one quoted text would be one name with commas in it.
_LISTS = {
    "search_path",
    "temp_tablespaces",
    "session_preload_libraries",
    "shared_preload_libraries",
    "local_preload_libraries",
}
_PATIENCE = 5.0


def apply(session: Session, changes: Sequence[Change]) -> None:
    """Drop what ALTER SYSTEM laid over our files, or lay it over those of somebody else; then have
    the server read its files. Raises StepError."""
    if session.access.socket is None:
        for change in changes:
            session.system(
                SQL("ALTER SYSTEM SET {} = {}").format(Identifier(change.name), _value(change))
            )
    elif any(change.name == OVERLAY for change in changes):
        session.system(SQL("ALTER SYSTEM RESET ALL").format())
    before = session.rows("SELECT pg_conf_load_time()")[0][0]
    session.rows("SELECT pg_reload_conf()")
    deadline = time.monotonic() + _PATIENCE
    while session.rows("SELECT pg_conf_load_time()")[0][0] == before:
        if time.monotonic() > deadline:
            raise StepError(
                f"PostgreSQL did not reload its files within {_PATIENCE:g} s",
                f"see 'mngdb logs {session.access.instance}'",
            )
        stopping.sleep(0.01)
    wrong = (
        session.rows(
            "SELECT line_number, error FROM pg_hba_file_rules WHERE error IS NOT NULL LIMIT 1"
        )
        if session.access.socket
        else []
    )
    if wrong:
        raise StepError(f"PostgreSQL rejects line {wrong[0][0]} of pg_hba.conf: {wrong[0][1]}")


def _value(change: Change) -> sql.Composable:
    if change.name.lower() not in _LISTS:
        return Literal(change.wanted)
    return SQL(", ").join(Literal(one) for one in re.split(r"\s*,\s*", change.wanted))
