"""What goes by itself on a server of restored data, once it is live."""

from __future__ import annotations

from mngdb.engines.mongodb import look
from mngdb.engines.mongodb.client import Session

_SERVERS_OWN = frozenset({"admin", "config", "local"})
#: Collections that are told.
_SHOWN = 10


def caveats(session: Session) -> tuple[str, ...]:
    """See Backup.caveats. Raises StepError, UnobservableError."""
    names = [
        str(one["name"]) for one in session.command("listDatabases", nameOnly=True)["databases"]
    ]
    expiring = [
        f"{database}.{collection}"
        for database in names
        if database not in _SERVERS_OWN
        for collection, found in session.collections(database).items()
        if found["type"] == "collection" and _expires(session, database, collection)
    ]
    if not expiring:
        return ()
    more = f", and {len(expiring) - _SHOWN} more" if len(expiring) > _SHOWN else ""
    return (
        "TTL indexes remove nothing from a server beside the live one; with --replace, they remove "
        f"what has expired since: {', '.join(expiring[:_SHOWN])}{more}",
    )


def _expires(session: Session, database: str, collection: str) -> bool:
    every = look.indexes(session.command, database, collection)
    return any("expireAfterSeconds" in one.document for one in every)
