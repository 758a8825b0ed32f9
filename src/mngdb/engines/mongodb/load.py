"""Brings a logical snapshot into a server that started empty, with raw BSON in `insert` commands.

Collections first, then documents, then indexes: an index that is built at once is built faster than
one that grows, and nothing that was allowed when the documents were written is refused.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from bson import Timestamp
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument

from mngdb import log, stopping
from mngdb.engines.mongodb import aside, collections, oplog
from mngdb.engines.mongodb.client import QUICK, Document, Refused, Session
from mngdb.engines.mongodb.collections import METADATA, Collection
from mngdb.engines.mongodb.replay import Replay
from mngdb.errors import ConnectError, FillingError, StepError
from mngdb.model import DesiredInstance
from mngdb.snapshot import Saved

#: Bytes of one `insert`, and how many go at a time; a message has at most 48 MB.
_GROUP = 4 << 20
AT_ONCE = 2
#: Changes of one `update`.
_UPDATES = 1_000
#: The empty timestamp, and how it lies in a document.
_EMPTY, _HOLLOW = Timestamp(0, 0), re.compile(rb"\x11[^\x00]+\x00{9}")
_EVERY_DATE: CodecOptions[RawBSONDocument] = CodecOptions(
    document_class=RawBSONDocument, datetime_conversion=DatetimeConversion.DATETIME_MS
)


class _Documents(RawBSONDocument):
    """Several documents, one after the other, as a message has them. The driver copies what is
    `raw` of a document, and so all of them at once instead of each by itself."""

    def __init__(self, raw: bytes) -> None:  # not the parent's, which takes one
        self._several = raw

    @property
    def raw(self) -> bytes:
        """See bson.raw_bson."""
        return self._several


def load(session: Session, asked: DesiredInstance, saved: Saved) -> None:
    """Make every collection of the snapshot, users and roles, as they were at `Saved.until` where
    that is given. Raises StepError."""
    every = list(_every(saved, spare=asked.instance.role == "source"))
    wanted = [one for one in every if not one.internal]
    try:
        present = {one.namespace for one in collections.every(session)}
        with _nothing_expires(session):
            held = [one for one in wanted if one.holder is not None]
            for one in held:
                make(session, one, one.namespace in present)
            with (
                ThreadPoolExecutor(AT_ONCE, "mngdb-load") as pool,
                ThreadPoolExecutor(1, "mngdb-index") as builder,
            ):
                # those of one collection are built while the next one is filled
                built: list[Future[None]] = []
                for one in held:
                    fill(session, pool, one, saved.read(one.stream))
                    built.append(builder.submit(index, session, one))
                for each in built:
                    each.result()
            try:
                aside.fill(session, saved, (one for one in wanted if one.holder is None))
                if saved.until is not None:
                    _replay(session, every, saved, saved.until)
                aside.settle(session, asked)
            finally:
                aside.remove(session)
        session.command("fsync", limit=None)
    except (Refused, ConnectError) as error:
        alone = asked.instance.filling and isinstance(error, Refused) and error.alone
        kind = FillingError if alone else StepError
        raise kind(f"MongoDB refused the restore: {error.message}", error.hint) from None


def _every(saved: Saved, *, spare: bool) -> Iterator[Collection]:
    """All collections of the snapshot. One that cannot be read is passed over with `spare`, where a
    part is wanted that may be another. Raises StepError."""
    for name in saved.names:
        if name.endswith(METADATA):
            try:
                yield collections.read(name, b"".join(saved.read(name)))
            except StepError as error:
                if not spare:
                    raise
                log.say(__name__, error.message)


def _replay(session: Session, every: Sequence[Collection], saved: Saved, until: float) -> None:
    """Apply the log up to a moment."""
    taken = saved.taken
    if taken.log is None:
        raise StepError("the snapshot does not say where the oplog leads on from it")
    at = {one: oplog.parsed(text) for one, text in taken.notes["late"].items()}
    known = [
        one for one in every if one.uuid and (not one.internal or one.namespace in aside.LOGINS)
    ]
    replay = Replay(
        session,
        {one.uuid: aside.LOGINS.get(one.namespace, one.held) for one in known},
        {one.uuid: at[one.namespace] for one in known if one.namespace in at},
        shown=oplog.parsed(taken.position["cluster_time"]),
        settled=oplog.parsed(taken.notes["settled"]),
    )
    replay.run(saved.log(), taken.log.position, until, saved.stop)


@contextmanager
def _nothing_expires(session: Session) -> Iterator[None]:
    """In the block, the server removes no documents whose time has come."""
    usual = session.command("getParameter", ttlMonitorEnabled=1)["ttlMonitorEnabled"]
    session.command("setParameter", ttlMonitorEnabled=False)
    try:
        yield
    finally:
        session.command("setParameter", ttlMonitorEnabled=usual)


def make(session: Session, one: Collection, present: bool) -> None:
    """Make a collection. An empty one of that name, which was made for its indexes, is replaced.
    Raises StepError for one that has documents."""
    assert one.holder is not None  # noqa: S101 — for mypy
    stopping.check()
    if present:
        if next(session.batches(one.database, one.holder), None):
            raise StepError(f"{one.namespace} has documents already")
        session.command("drop", one.name, on=one.database, writeConcern=QUICK)
    options = {k: v for k, v in one.options.items() if k != "autoIndexId"}
    session.command("create", one.name, on=one.database, writeConcern=QUICK, **options)


def fill(
    session: Session, pool: ThreadPoolExecutor, one: Collection, pieces: Iterable[bytes]
) -> None:
    """Insert its documents, which come in pieces, a capped collection's in their order."""
    assert one.holder is not None  # noqa: S101 — for mypy
    at_once = 1 if one.options.get("capped") else AT_ONCE
    waiting: deque[Future[None]] = deque()
    for group, count in collections.groups(pieces, _GROUP):
        stopping.check()
        while len(waiting) >= at_once:
            waiting.popleft().result()
        waiting.append(pool.submit(_insert, session, one.database, one.holder, group, count))
    while waiting:
        waiting.popleft().result()


def _insert(session: Session, database: str, collection: str, group: bytes, count: int) -> None:
    reply = session.command(
        "insert",
        collection,
        on=database,
        limit=None,
        documents=[_Documents(group)],
        bypassDocumentValidation=True,
        writeConcern=QUICK,
    )
    for error in reply.get("writeErrors", ()):
        raise StepError(f"{database}.{collection} does not take a document: {error['errmsg']}")
    if reply["n"] != count:
        raise StepError(f"{database}.{collection} has taken {reply['n']} of {count} documents")
    if _HOLLOW.search(group) is not None:
        _emptied(session, database, collection, group)


def _emptied(session: Session, database: str, collection: str, group: bytes) -> None:
    """Give fields that were the empty timestamp that again: `insert` puts the time of now in its
    place, as an update does not."""
    updates = []
    for document in collections.documents(group):
        if _HOLLOW.search(document) is None:
            continue
        found = RawBSONDocument(document, _EVERY_DATE)
        updates += [
            {
                "q": {"_id": {"$eq": found["_id"]}},
                "u": _setting(name),
                "collation": {"locale": "simple"},
            }
            for name, value in found.items()
            if value == _EMPTY and name != "_id"
        ]
    for at in range(0, len(updates), _UPDATES):
        reply = session.command(
            "update",
            collection,
            on=database,
            limit=None,
            updates=updates[at : at + _UPDATES],
            bypassDocumentValidation=True,
            writeConcern=QUICK,
        )
        for error in reply.get("writeErrors", ()):
            raise StepError(f"{database}.{collection} does not take a change: {error['errmsg']}")


def _setting(name: str) -> Document | list[Document]:
    """An update of one field, of whatever name."""
    if name and "." not in name and not name.startswith("$"):
        return {"$set": {name: _EMPTY}}
    field = {"field": {"$literal": name}, "input": "$$ROOT", "value": _EMPTY}
    return [{"$replaceWith": {"$setField": field}}]


def index(session: Session, one: Collection) -> None:
    """Build its indexes; those that came with it are there already."""
    specs = [x for x in one.indexes if x["name"] != "_id_" and not x.get("clustered")]
    if specs:
        session.command(
            *("createIndexes", one.name),
            on=one.database,
            limit=None,
            indexes=specs,
            writeConcern=QUICK,
        )
