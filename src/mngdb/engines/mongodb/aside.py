"""What a restore keeps in collections of its own until the end: users, roles and views.

A log is applied to them there as it is to all others, while the server's own stay as they are: its
logins are those of the file, with the vault's secrets. In the end, what neither the file names nor
the server has is merged, as mongorestore has it done, and the views are made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from bson.raw_bson import RawBSONDocument

from mngdb.engines.mongodb import collections, users
from mngdb.engines.mongodb.access import USERS_IN
from mngdb.engines.mongodb.client import RAW, Document, Session
from mngdb.engines.mongodb.collections import BUCKETS, Collection
from mngdb.model import DesiredInstance
from mngdb.snapshot import Saved

#: The server's own collections of logins, and where they are kept meanwhile.
LOGINS = {"admin.system.roles": "admin.temproles", "admin.system.users": "admin.tempusers"}
#: What the collection of a database's views is called, and where those of all of them are kept.
SYSTEM_VIEWS, VIEWS = ".system.views", "admin.tempviews"
_GROUP = 8 << 20
_ALL = (*LOGINS.values(), VIEWS)


def fill(session: Session, saved: Saved, views: Iterable[Collection]) -> None:
    """Keep the snapshot's users, roles and views. Raises StepError, Refused, ConnectError."""
    for name in _ALL:
        session.command("create", _own(name))
    for source, name in LOGINS.items():
        stream = f"{source.replace('.', '/', 1)}.bson"
        if stream in saved.names:  # a server that never had any has none
            for group, _ in collections.groups(saved.read(stream), _GROUP):
                _insert(session, name, [RawBSONDocument(x) for x in collections.documents(group)])
    documents = [{"_id": one.namespace, **one.options} for one in views]
    if documents:
        _insert(session, VIEWS, documents)


def settle(session: Session, asked: DesiredInstance) -> None:
    """Make them the server's. Raises Refused, ConnectError."""
    for source, name in LOGINS.items():
        there = {str(one["_id"]) for one in found(session, _own(source))}
        every = {"_id": {"$in": sorted(users.ids(asked) | there)}}
        session.command("delete", _own(name), deletes=[{"q": every, "limit": 0}])
    session.command(
        "_mergeAuthzCollections",
        db="",
        drop=False,
        tempUsersCollection=LOGINS["admin.system.users"],
        tempRolesCollection=LOGINS["admin.system.roles"],
    )
    for view in found(session, _own(VIEWS)):
        database, _, name = view.pop("_id").partition(".")
        if not view["viewOn"].startswith(BUCKETS):  # a time series has made its own
            session.command("create", name, on=database, **view)


def remove(session: Session) -> None:
    """Remove the collections in which they were kept."""
    for name in _ALL:
        session.command("drop", _own(name))


def forget_views(session: Session, database: str) -> None:
    """Remove the views of a database."""
    every = {"_id": {"$regex": f"^{re.escape(database)}\\."}}
    session.command("delete", _own(VIEWS), deletes=[{"q": every, "limit": 0}])


def found(session: Session, collection: str) -> Iterator[Document]:
    """The documents of a collection of `admin`."""
    for batch in session.batches(USERS_IN, collection):
        yield from (dict(RawBSONDocument(bytes(one), RAW)) for one in batch)


def _own(name: str) -> str:
    return name.partition(".")[2]


def _insert(session: Session, name: str, documents: Sequence[object]) -> None:
    session.command("insert", _own(name), documents=documents)
