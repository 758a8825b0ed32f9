"""Space that WiredTiger keeps and could give back.

https://www.mongodb.com/docs/manual/reference/command/compact/
"""

from __future__ import annotations

import json

from mngdb.engines.mongodb.client import Refused, Session
from mngdb.engines.mongodb.databases import of_apps
from mngdb.facts.bloat import Bloat, Bloated
from mngdb.model import DesiredInstance

#: Less than this, or than this share of the file, will be used again soon.
_SMALL, _SHARE = 1 << 20, 0.2


def look(session: Session, asked: DesiredInstance) -> Bloated:
    """Collections with free space, the most first."""
    found = []
    notes = []
    for database in of_apps(session, asked):
        for name, about in session.collections(database).items():
            if about["type"] != "collection":
                continue
            try:
                stats = session.command("collStats", name, on=database)
            except Refused as error:
                notes.append(f"{database}.{name} was skipped: {error.message}")
                continue
            wasted = int(stats["wiredTiger"]["block-manager"]["file bytes available for reuse"])
            size = int(stats["storageSize"])
            if wasted >= max(_SMALL, _SHARE * size):
                where = f"db.getSiblingDB({json.dumps(database)})"
                statement = f"{where}.runCommand({{compact: {json.dumps(name)}}})"
                found.append(Bloat(database, name, "collection", size, wasted, 0, "", statement))
    return Bloated(tuple(sorted(found, key=lambda one: -one.wasted)), "; ".join(notes))
