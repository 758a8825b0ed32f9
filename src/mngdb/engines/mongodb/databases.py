"""The databases of a MongoDB server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest

from mngdb.engines.mongodb.client import Session
from mngdb.engines.mongodb.look import Ask
from mngdb.engines.mongodb.render import spec_of
from mngdb.model import DesiredInstance
from mngdb.spec.mongodb import MongodbGrant

#: MongoDB's own.
OWN = {"admin", "config", "local"}


def of_apps(session: Session, asked: DesiredInstance) -> list[str]:
    """Those that the file names; where it names none, as of a server that somebody else runs, all
    but MongoDB's own."""
    return sorted(of_file(asked) or every(session.command))


def of_file(asked: DesiredInstance) -> list[str]:
    """Those that the file names."""
    grants = asked.instance.granted(MongodbGrant).values()
    granted = (name for grant in grants for name in grant.names)
    return list(dict.fromkeys([*spec_of(asked).databases, *granted]))


def every(ask: Ask) -> list[str]:
    """All but MongoDB's own."""
    found = ask("listDatabases", nameOnly=True)["databases"]
    return [str(one["name"]) for one in found if one["name"] not in OWN]


def in_turns(names: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Database and collection, the first ones of each database before the second ones: where only
    so many are looked at, one database does not take the place of the others."""
    each = ([(database, name) for name in of_it] for database, of_it in names.items())
    return [one for turn in zip_longest(*each) for one in turn if one]
