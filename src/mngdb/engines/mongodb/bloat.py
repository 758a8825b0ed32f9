"""Space that WiredTiger keeps and could give back.

https://www.mongodb.com/docs/manual/reference/command/compact/
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from mngdb.engines.mongodb.client import Session
from mngdb.facts.bloat import Bloat, Bloated

_SMALL = 1 << 20


def look(session: Session, databases: Iterable[str]) -> Bloated:
    """Collections with free space, the most first."""
    found = []
    for database in databases:
        there = session.client[database]
        for name in there.list_collection_names(filter={"type": "collection"}):
            stats = there.command("collStats", name)
            wasted = int(stats["wiredTiger"]["block-manager"]["file bytes available for reuse"])
            if wasted >= _SMALL:
                where = f"db.getSiblingDB({json.dumps(database)})"
                statement = f"{where}.runCommand({{compact: {json.dumps(name)}}})"
                size = int(stats["storageSize"])
                found.append(Bloat(database, name, "collection", size, wasted, 0, "", statement))
    return Bloated(tuple(sorted(found, key=lambda one: -one.wasted)))
