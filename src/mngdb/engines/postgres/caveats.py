"""What of a server its log does not bring back: logical slots, and the rows of unlogged tables."""

from __future__ import annotations

from collections.abc import Sequence

from mngdb.engines.postgres import client
from mngdb.errors import ConnectError, UnobservableError
from mngdb.snapshot import Taken

_DATABASES = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate"
_SLOTS = """
    SELECT slot_name::text FROM pg_replication_slots
    WHERE slot_type = 'logical' AND NOT temporary ORDER BY 1
"""
_UNLOGGED = """
    SELECT format('%I.%I.%I', current_database(), relnamespace::regnamespace::text, relname)
    FROM pg_class WHERE relkind = 'r' AND relpersistence = 'u' ORDER BY 1
"""
#: In `Taken.notes`: names of slots.
SLOTS = "logical_slots"
#: Names that are told.
_SHOWN = 10


def slots(session: client.Session) -> list[str]:
    """Logical replication slots of a live server. Raises UnobservableError."""
    return session.names(_SLOTS)


def caveats(session: client.Session, taken: Taken) -> tuple[str, ...]:
    """What a restored server has not of what `taken` was of. Raises UnobservableError."""
    tables: list[str] = []
    for database in session.names(_DATABASES):
        try:
            with session.inside(database) as inside:
                tables += [name for (name,) in client.rows(inside, _UNLOGGED)]
        except (ConnectError, UnobservableError):
            continue  # one that lets nobody in
    found = []
    if lost := taken.notes.get(SLOTS):
        found.append(
            f"logical replication slots are not restored: {_some(lost)}; their subscribers have to "
            "be set up again"
        )
    if taken.missing:
        found.append(f"not in the snapshot: {_some(list(taken.missing))}")
    if tables and taken.kind != "logical":
        found.append(f"unlogged tables are restored empty: {_some(tables)}")
    return tuple(found)


def _some(names: Sequence[str]) -> str:
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
