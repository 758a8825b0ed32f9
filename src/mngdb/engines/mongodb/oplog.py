"""Follows a replica set's oplog: entries as the server has them, raw, as soon as a majority does.

A position is a cluster time as one number; a moment is the `wall` of an entry, in milliseconds by
the clock of the server that made it. No-ops, which an idle server writes every ten seconds, are
passed over where nothing else was written.
https://www.mongodb.com/docs/manual/core/replica-set-oplog/
"""

from __future__ import annotations

import datetime
import re
import time

from bson import Timestamp
from bson.raw_bson import RawBSONDocument

from mngdb.engines.mongodb import client
from mngdb.engines.mongodb.client import UNAUTHORIZED, Document, Refused, Session
from mngdb.engines.mongodb.collections import documents, length
from mngdb.errors import StepError
from mngdb.model import Access
from mngdb.snapshot import Feed, Point

#: Seconds that the server may take to let us in; that it waits for entries before it says that
#: there are none; and without any answer, until the connection is given up.
_LOGIN, _WAIT, _ANSWER = 10.0, 0.9, 30.0
#: Entries of a batch, which has 16 MB at most.
_BATCH = 1000
#: Batches up to this many bytes may be no-ops alone; after less than this there is a pause, so that
#: a server with many small writes is not asked for each of them.
_FEW, _SMALL = 4096, 64 << 10
#: Seconds before a cursor is opened again, and after a small batch.
_PAUSE, _GATHER = 0.2, 0.05
#: CursorNotFound, CappedPositionLost, QueryPlanKilled: the cursor is gone, the server is not.
_LOST = frozenset({43, 136, 175})
#: Databases of the server itself.
OWN = frozenset({"config", "local"})


def position(moment: Timestamp) -> int:
    """A cluster time as one number."""
    return (moment.time << 32) | moment.inc


def timestamp(at: int) -> Timestamp:
    """The cluster time that a position is."""
    return Timestamp(at >> 32, at & 0xFFFFFFFF)


def text_of(moment: Timestamp) -> str:
    """A cluster time as a manifest has it."""
    return f"{moment.time}.{moment.inc}"


def parsed(text: str) -> int:
    """The position that `text_of` wrote."""
    first, _, increment = text.partition(".")
    return position(Timestamp(int(first), int(increment)))


def newest(session: Session) -> Timestamp:
    """The time of the last write, also of one that no majority has yet."""
    moment = session.command("hello")["lastWrite"]["opTime"]["ts"]
    assert isinstance(moment, Timestamp)  # noqa: S101 — for mypy
    return moment


def database_of(entry: RawBSONDocument) -> str:
    """The one that an entry is about; `admin` for a transaction."""
    return str(entry["ns"].partition(".")[0])


def seconds(moment: datetime.datetime) -> float:
    """A date of the server's, which the driver gives without a time zone, since the epoch."""
    return moment.replace(tzinfo=datetime.UTC).timestamp()


def clock(session: Session) -> float:
    """The server's own clock."""
    return seconds(session.command("hello")["localTime"])


def source(session: Session) -> str:
    """The replica set's id. Raises StepError for a server that has no oplog."""
    hello = session.command("hello")
    if hello.get("msg") == "isdbgrid":
        raise StepError(
            "a sharded cluster cannot be backed up by mngdb",
            "use the provider's snapshots, or back up each shard",
        )
    if "setName" not in hello:
        raise StepError(
            "this MongoDB is a standalone server: it has no oplog and no history, so that no "
            "consistent snapshot can be read while it is written to",
            "make it a replica set of one member: start it with --replSet, then rs.initiate()",
        )
    try:
        config = session.command("replSetGetConfig")["config"]
    except Refused as error:
        if error.code != UNAUTHORIZED:
            raise
        return str(hello["setName"])
    return str(config["settings"]["replicaSetId"])


def branch(source: str) -> str:
    """The name of a replica set's history."""
    return re.sub(r"[^0-9A-Za-z-]", "-", source)


def follow(access: Access, feed: Feed) -> None:
    """Write the oplog to the feed until that is over. Raises ConnectError, StepError."""
    try:
        with client.connect(access, _LOGIN) as session:
            _Follower(session, feed).run()
    except Refused as error:
        if error.code == UNAUTHORIZED:
            raise StepError(
                f"the login {access.user} may not read the oplog: {error.message}",
                f'db.getSiblingDB("admin").grantRolesToUser("{access.user}", '
                '[{role: "read", db: "local"}])',
            ) from None
        raise StepError(f"MongoDB does not give its oplog: {error.message}", error.hint) from None


class _Follower:
    """One connection, and how far it has come: `_at` may be ahead of what the feed has, by no-ops
    alone. `_moment` never goes back, as a clock may."""

    def __init__(self, session: Session, feed: Feed) -> None:
        self._session = session
        self._feed = feed
        self._branch = branch(source(session))
        self._at = 0
        self._moment = 0.0

    def run(self) -> None:
        """Follow until the feed is over. A cursor's end is not the oplog's."""
        resumed = self._feed.resume(self._branch)
        if resumed is not None and self._there(resumed):
            self._begin(resumed)
        else:
            self._newest()
        while not self._feed.over:
            try:
                self._cursor(self._at)
            except Refused as error:
                if error.code not in _LOST:
                    raise
            time.sleep(_PAUSE)
            if not self._there(self._at):
                self._newest()

    def _there(self, at: int) -> bool:
        """Whether the server still has the entry that the feed has last."""
        first = self._entry({"ts": {"$gte": timestamp(at)}}, 1, "local")
        return first is not None and position(first["ts"]) == at

    def _newest(self) -> None:
        """Begin at the newest entry. Where there was an archive, that leaves a gap."""
        newest = self._entry({}, -1, "majority")
        if newest is None:
            raise StepError("the oplog is empty", "see the server's log: mngdb logs")
        self._begin(position(newest["ts"]))
        self._beat(seconds(newest["wall"]))

    def _begin(self, at: int) -> None:
        self._at = at
        self._feed.begin(Point(self._branch, at))

    def _entry(self, wanted: Document, order: int, concern: str) -> Document | None:
        """The first entry, or the last one with the order -1."""
        reply = self._session.command(
            "find",
            "oplog.rs",
            on="local",
            filter=wanted,
            sort={"$natural": order},
            projection={"ts": 1, "wall": 1},
            limit=1,
            singleBatch=True,
            readConcern={"level": concern},
        )
        return next(iter(reply["cursor"]["firstBatch"]), None)

    def _cursor(self, begin: int) -> None:
        """Follow one cursor to its end, or the feed's. It gives the entry at `begin` again; where
        it does not, what came after that has just fallen off the oplog."""
        fresh = True
        for batch in self._session.oplog(timestamp(begin), _BATCH, _WAIT, _ANSWER):
            if fresh and batch:
                if _position(batch, 0) != begin:
                    return
                batch, fresh = batch[length(batch, 0) :], False
            if batch:
                self._take(batch)
                if len(batch) < _SMALL:
                    time.sleep(_GATHER)
            else:
                self._look()
            if self._feed.over:
                return

    def _take(self, batch: bytes) -> None:
        last = RawBSONDocument(batch[_last(batch) :])
        self._at = position(last["ts"])
        moment = max(self._moment, seconds(last["wall"]))
        if len(batch) <= _FEW and all(RawBSONDocument(x)["op"] == "n" for x in documents(batch)):
            self._beat(moment)
        else:
            self._moment = moment
            self._feed.write(batch, self._at, moment)

    def _look(self) -> None:
        """Say that nothing was written until now by the server's clock, where that is so."""
        hello = self._session.command("hello")
        if position(hello["lastWrite"]["opTime"]["ts"]) == self._at:
            self._beat(seconds(hello["localTime"]))

    def _beat(self, moment: float) -> None:
        self._moment = max(self._moment, moment)
        self._feed.beat(self._moment)


def _position(batch: bytes, at: int) -> int:
    """The position of the entry that begins there."""
    return position(RawBSONDocument(batch[at : at + length(batch, at)])["ts"])


def _last(batch: bytes) -> int:
    """Where the last document of a batch begins."""
    at, last = 0, 0
    while at < len(batch):
        last = at
        at += length(batch, at)
    return last
