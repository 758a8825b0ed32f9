"""Brings a logical snapshot into a server that started empty, with raw BSON in `insert` commands.

Collections first, then documents, then indexes: an index that is built at once is built faster than
one that grows, and nothing that was allowed when the documents were written is refused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import bson
from bson.raw_bson import RawBSONDocument

from mngdb import stopping
from mngdb.engines.mongodb import collections, users
from mngdb.engines.mongodb.access import USERS_IN
from mngdb.engines.mongodb.client import Document, Refused, Session
from mngdb.engines.mongodb.collections import METADATA, Collection
from mngdb.errors import ConnectError, StepError
from mngdb.model import DesiredInstance
from mngdb.snapshot import Saved

#: Bytes of one `insert`, and how many go at a time; a message has at most 48 MB.
_GROUP = 8 << 20
_AT_ONCE = 2
_DURABLE = {"w": "majority", "j": True}
#: What logins are kept in: the collection that the server takes them from, as mongorestore has it
#: do, and the option that names it.
_LOGINS = {
    "system.roles": ("temproles", "tempRolesCollection"),
    "system.users": ("tempusers", "tempUsersCollection"),
}


def load(session: Session, asked: DesiredInstance, saved: Saved) -> None:
    """Make every collection of the snapshot, users and roles. Raises StepError."""
    wanted = sorted(_wanted(saved), key=lambda one: (one.kind == "view", one.namespace))
    try:
        present = {one.namespace for one in collections.every(session)}
        with _nothing_expires(session):
            for one in wanted:
                _make(session, one, one.namespace in present)
            with ThreadPoolExecutor(_AT_ONCE, "mngdb-load") as pool:
                for one in wanted:
                    if one.holder is not None:
                        _fill(session, pool, one, saved)
                    _index(session, one)
        _logins(session, asked, saved)
        # it waits until the disk has all that was written before
        session.command("appendOplogNote", data={"mngdb": "restored"}, writeConcern=_DURABLE)
    except (Refused, ConnectError) as error:
        raise StepError(f"MongoDB refused the restore: {error.message}", error.hint) from None


def _wanted(saved: Saved) -> Iterator[Collection]:
    for name in saved.names:
        if name.endswith(METADATA):
            database = name.partition("/")[0]
            one = collections.read(database, b"".join(saved.read(name)))
            if not one.internal:
                yield one


@contextmanager
def _nothing_expires(session: Session) -> Iterator[None]:
    """In the block, the server removes no documents whose time has come."""
    usual = session.command("getParameter", ttlMonitorEnabled=1)["ttlMonitorEnabled"]
    session.command("setParameter", ttlMonitorEnabled=False)
    try:
        yield
    finally:
        session.command("setParameter", ttlMonitorEnabled=usual)


def _make(session: Session, one: Collection, present: bool) -> None:
    """Make a collection. An empty one of that name, which was made for its indexes, is replaced.
    Raises StepError for one that has documents."""
    stopping.check()
    if present:
        if one.holder is not None and next(session.batches(one.database, one.holder), None):
            raise StepError(f"{one.namespace} has documents already")
        session.command("drop", one.name, on=one.database)
    options = {k: v for k, v in one.options.items() if k != "autoIndexId"}
    session.command("create", one.name, on=one.database, **options)


def _fill(session: Session, pool: ThreadPoolExecutor, one: Collection, saved: Saved) -> None:
    """Insert its documents, a capped collection's in their order."""
    assert one.holder is not None  # noqa: S101 — for mypy
    at_once = 1 if one.options.get("capped") else _AT_ONCE
    waiting: deque[Future[None]] = deque()
    for group in collections.groups(saved.read(one.stream), _GROUP):
        stopping.check()
        while len(waiting) >= at_once:
            waiting.popleft().result()
        waiting.append(pool.submit(_insert, session, one.database, one.holder, group))
    while waiting:
        waiting.popleft().result()


def _insert(session: Session, database: str, collection: str, group: Sequence[bytes]) -> None:
    reply = session.command(
        "insert",
        collection,
        on=database,
        limit=None,
        documents=[RawBSONDocument(document) for document in group],
        bypassDocumentValidation=True,
        writeConcern={"w": 1},  # what fails is restored anew
    )
    for error in reply.get("writeErrors", ()):
        raise StepError(f"{database}.{collection} does not take a document: {error['errmsg']}")


def _index(session: Session, one: Collection) -> None:
    """Build its indexes; those that came with it are there already."""
    specs = [x for x in one.indexes if x["name"] != "_id_" and not x.get("clustered")]
    if specs:
        session.command("createIndexes", one.name, on=one.database, limit=None, indexes=specs)


def _logins(session: Session, asked: DesiredInstance, saved: Saved) -> None:
    """Users and roles that neither the file names nor the server has: those have the vault's
    secrets and the file's rights."""
    named = users.ids(asked)
    merged: Document = {}
    try:
        for source, (target, option) in _LOGINS.items():
            stream = f"{USERS_IN}/{source}.bson"
            if stream not in saved.names:
                continue  # a server that never had any
            there = {str(one["_id"]) for one in found(session, source)}
            new = [
                document
                for group in collections.groups(saved.read(stream), _GROUP)
                for document in group
                if bson.decode(document)["_id"] not in named | there
            ]
            if new:
                merged[option] = f"{USERS_IN}.{target}"
                _insert(session, USERS_IN, target, new)
        if merged:
            session.command("_mergeAuthzCollections", db="", drop=False, **merged)
    finally:
        for name in merged.values():
            session.command("drop", name.partition(".")[2])


def found(session: Session, collection: str) -> Iterator[Document]:
    """The documents of a collection of `admin`."""
    for batch in session.batches(USERS_IN, collection):
        yield from bson.decode_all(batch)
