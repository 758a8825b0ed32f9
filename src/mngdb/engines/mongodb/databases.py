"""The databases of a MongoDB server."""

from __future__ import annotations

from mngdb.engines.mongodb.client import Session

#: MongoDB's own.
_OWN = {"admin", "config", "local"}


def every(session: Session) -> list[str]:
    """Those of apps."""
    found = session.command("listDatabases", nameOnly=True)["databases"]
    return sorted(str(one["name"]) for one in found if one["name"] not in _OWN)
