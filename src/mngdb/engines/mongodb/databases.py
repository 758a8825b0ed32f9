"""The databases of a MongoDB server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest

from mngdb.engines.mongodb.client import Session

#: MongoDB's own.
_OWN = {"admin", "config", "local"}


def every(session: Session) -> list[str]:
    """Those of apps."""
    found = session.command("listDatabases", nameOnly=True)["databases"]
    return sorted(str(one["name"]) for one in found if one["name"] not in _OWN)


def in_turns(names: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Database and collection, the first ones of each database before the second ones: where only
    so many are looked at, one database does not take the place of the others."""
    each = ([(database, name) for name in of_it] for database, of_it in names.items())
    return [one for turn in zip_longest(*each) for one in turn if one]
