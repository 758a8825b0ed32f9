"""A logical snapshot of a whole server as of one cluster time, while it is written to.

The server keeps old versions of documents for `minSnapshotHistoryWindowInSeconds`. That is raised
for the time of the dump, a little ahead of it again and again: should we be killed, it stays at
what the dump has taken so far and a few minutes, and the next dump puts it back.
https://www.mongodb.com/docs/manual/reference/read-concern-snapshot/

Lists of collections have no history. What was made or renamed between a list before the snapshot's
time and one after it, or before it was read, is read as of a later time of its own, and `notes`
says so; what was dropped is left out, and said too. The log leads on from before the first list, so
that what happened between the lists is repeated (`replay`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import bson
from bson import Timestamp
from msgspec.structs import replace

from mngdb import log, stopping
from mngdb.engines.mongodb import collections, oplog
from mngdb.engines.mongodb.access import USERS_IN
from mngdb.engines.mongodb.client import UNAUTHORIZED, Document, Refused, Session
from mngdb.engines.mongodb.collections import Collection, Digest
from mngdb.engines.mongodb.facts import MARK
from mngdb.engines.mongodb.oplog import text_of
from mngdb.engines.mongodb.render import PARAMETER, settings
from mngdb.engines.mongodb.users import ids
from mngdb.errors import ConnectError, MngdbError, StepError
from mngdb.model import DesiredInstance
from mngdb.snapshot import Point, Sink, Taken, Writer
from mngdb.spec.mongodb import role_name

_WINDOW = "minSnapshotHistoryWindowInSeconds"
_USUAL = "300"
#: Seconds of history beyond what the dump has taken so far, and between two extensions.
_AHEAD, _EVERY = 900, 60.0
#: How often a collection that is changed again and again is looked at, and the pause in seconds.
_ATTEMPTS, _PAUSE = 40, 0.05
#: NamespaceNotFound, CappedPositionLost, QueryPlanKilled (dropped or renamed while it was read),
#: SnapshotUnavailable.
_MOVED = frozenset({26, 136, 175, 246})
#: What collMod changes of an index.
_CHANGING = frozenset({"expireAfterSeconds", "hidden", "prepareUnique", "unique"})


class _MovedError(Exception):
    """The collection is not, or is no more, what was listed."""


def back_up(session: Session, asked: DesiredInstance, sink: Sink) -> Taken:
    """Write every collection of every database, users and roles. Raises StepError."""
    try:
        source = oplog.source(session)
        version = str(session.command("buildInfo")["version"])
        with _history(session, asked):
            begin = _now(session)
            before = {_key(one): one for one in collections.every(session)}
            dump = _Dump(session, sink, _now(session))
            moment = oplog.clock(session)
            after = {_key(one): one for one in collections.every(session)}
            sink.expect(_size(session, after.values()))
            dump.dropped += [one.namespace for key, one in before.items() if key not in after]
            dump.write([_then(before.get(key), one) for key, one in after.items()])
            notes = dump.notes(ids(asked))
            if before != after or dump.dropped or notes["late"]:
                moment = oplog.clock(session)  # before, some of it was not as it shows it
            return Taken(
                kind="logical",
                product="MongoDB",
                version=version,
                source=source,
                position={"cluster_time": text_of(dump.moment)},
                counts=dict(sorted(dump.counts.items())),
                content=dict(sorted(dump.content.items())),
                notes=notes,
                moment=moment,
                log=Point(oplog.branch(source), oplog.position(begin)),
            )
    except (Refused, ConnectError) as error:
        raise StepError(f"MongoDB ended the backup: {error.message}", error.hint) from None


def _then(before: Collection | None, after: Collection) -> tuple[Collection, bool]:
    """A collection between two lists, and whether it was there under this name all the time. An
    index that is in both held then, too: one that came later may refuse the documents of then."""
    if before is None or (before.name, before.kind) != (after.name, after.kind):
        return after, False
    indexes = tuple(
        one for one in before.indexes if any(_went_on(one, other) for other in after.indexes)
    )
    return replace(before, indexes=indexes), True


def _went_on(before: Document, after: Document) -> bool:
    """Whether two indexes are one, which collMod may have changed."""
    held = [{k: v for k, v in one.items() if k not in _CHANGING} for one in (before, after)]
    return held[0] == held[1] and bool(before.get("unique")) <= bool(after.get("unique"))


def _key(one: Collection) -> str:
    return one.uuid or one.namespace


@contextmanager
def _history(session: Session, asked: DesiredInstance) -> Iterator[None]:
    """In the block, the server keeps its history since the block began, and longer."""
    try:
        usual = session.command("getParameter", minSnapshotHistoryWindowInSeconds=1)[_WINDOW]
        if asked.managed:  # what is found may be of a dump that was killed
            usual = int(settings(asked).get(PARAMETER + _WINDOW, _USUAL))
        _keep(session, max(_AHEAD, usual))
    except Refused as error:
        if error.code != UNAUTHORIZED:
            raise
        log.say(__name__, f"the login may not have history kept: {error.message}")
        yield
        return
    begun, over = time.monotonic(), threading.Event()

    def extend() -> None:
        while not over.wait(_EVERY):
            with suppress(MngdbError):  # the dump itself will say what is wrong
                _keep(session, max(usual, int(time.monotonic() - begun) + _AHEAD))

    thread = threading.Thread(target=extend, name="mngdb-history", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        with suppress(MngdbError):  # a server that is gone has forgotten it
            _keep(session, usual, 5.0)


def _keep(session: Session, seconds: int, limit: float = 30.0) -> None:
    session.command("setParameter", limit=limit, minSnapshotHistoryWindowInSeconds=seconds)


def _now(session: Session) -> Timestamp:
    """A cluster time that can be read from now on."""
    reply = session.command(
        "find", "system.version", limit=1, singleBatch=True, readConcern={"level": "snapshot"}
    )
    moment = reply["cursor"]["atClusterTime"]
    assert isinstance(moment, Timestamp)  # noqa: S101 — for mypy
    return moment


def _size(session: Session, found: Iterable[Collection]) -> int:
    databases = {one.database for one in found}
    return sum(int(session.command("dbStats", on=name)["dataSize"]) for name in databases)


def _marked(user: Document) -> bool:
    return MARK in user.get("customData", {})


def _ours(role: Document) -> bool:
    return role["db"] == USERS_IN and str(role["role"]).startswith(role_name(""))


class _Dump:
    """What is written, and what is known of it, by namespace."""

    def __init__(self, session: Session, sink: Sink, moment: Timestamp) -> None:
        self.moment = moment
        self.dropped: list[str] = []
        self.counts: dict[str, int] = {}
        self.content: dict[str, str] = {}
        self._traits: dict[str, list[str]] = {}
        self._late: dict[str, str] = {}
        self._session = session
        self._sink = sink

    def write(self, listed: Sequence[tuple[Collection, bool]]) -> None:
        """Write collections, as of the moment those that were there all the time. One after the
        other: the parts of a stream, of which several are in memory, keep the processors busy."""
        for one, steady in listed:
            self._collection(one, steady)

    def notes(self, named: frozenset[str]) -> dict[str, Any]:
        """What `load` and `prove` need beside counts and content."""
        users, roles = (
            [
                one
                for batch in self._session.batches(USERS_IN, name, self.moment)
                for one in map(bson.decode, batch)
            ]
            for name in ("system.users", "system.roles")
        )
        return {
            "traits": dict(sorted(self._traits.items())),
            "late": dict(sorted(self._late.items())),
            "settled": text_of(oplog.newest(self._session)),
            "dropped": sorted(self.dropped),
            # those of the file, of now or of then, come and go with it
            "users": sorted({one["_id"] for one in users if not _marked(one)} - named),
            "roles": sorted({one["_id"] for one in roles if not _ours(one)} - named),
        }

    def _collection(self, one: Collection, steady: bool) -> None:
        stopping.check()
        at: Collection | None = one
        if one.holder is not None:
            if not steady or (digest := self._documents(one, one.stream, self.moment)) is None:
                at = self._later(one)
            else:
                self._holds(one, digest)
        if at is None:
            self.dropped.append(one.namespace)
            return
        with self._sink.stream(at.metadata_stream) as writer:
            writer.write(at.metadata)
        if at.ambiguous:
            self._sink.tell(
                f"{at.namespace}: mongorestore would misread its options or indexes, "
                "'mngdb restore' does not; see RESTORE.md in the store"
            )
        if not at.internal:
            self._traits[at.namespace] = sorted(at.traits)

    def _holds(self, one: Collection, digest: Digest) -> None:
        self.counts[one.held] = digest.count
        if not one.internal:
            self.content[one.held] = digest.text

    def _documents(self, one: Collection, stream: str, moment: Timestamp | None) -> Digest | None:
        """Write its documents as of `moment`. None where it is not, or is no more, what was
        listed: then there is no such stream."""
        try:
            with self._sink.stream(stream) as writer:
                return self._copied(one, moment, writer)
        except _MovedError:
            return None
        except Refused as error:
            if error.code in _MOVED:
                return None
            raise

    def _copied(self, one: Collection, moment: Timestamp | None, writer: Writer) -> Digest:
        assert one.holder is not None  # noqa: S101 — for mypy
        digest = Digest()
        for batch in self._session.batches(one.database, one.holder, moment):
            stopping.check()
            digest.add(batch)
            writer.write(b"".join(batch))
        # a name that is nobody's has no documents, and no error
        if not digest.count and not self._is_there(one):
            raise _MovedError
        return digest

    def _is_there(self, one: Collection) -> bool:
        found = self._session.collections(one.database).get(one.holder or "")
        return found is not None and found["info"]["uuid"].hex() == one.uuid

    def _later(self, listed: Collection) -> Collection | None:
        """Write a collection as it is at a later time, but under the name that it was listed by;
        None: there it is no more. Raises StepError when it never stands still."""
        for _ in range(_ATTEMPTS):
            now = next(collections.of_database(self._session, listed.database, listed.uuid), None)
            if now is None:
                return None
            moment = _now(self._session)
            # before version 8, a capped collection can be read as it is only, while it goes on
            as_of = None if now.options.get("capped") else moment
            digest = self._documents(now, listed.stream, as_of)
            if digest is not None:
                at = replace(now, name=listed.name)
                self._holds(at, digest)
                self._late[at.namespace] = text_of(moment)
                return at
            stopping.sleep(_PAUSE)
        raise StepError(
            f"{listed.namespace} is renamed or changed again and again",
            "take the backup when that is over",
        )
