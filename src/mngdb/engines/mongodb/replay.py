"""Applies an oplog to a server that was loaded from a snapshot, up to a moment.

A collection is known by the UUID that it had on the first server. The log begins before the lists
of the dump were made, so that some of its beginning is in the snapshot already: documents are left
out up to the time as of which they were read, and a collection that is there by its last name is
neither made nor renamed again. From `settled` on, everything has to succeed.

Inserts, updates and deletes go through the server's own `applyOps`, which knows how an update is
written in an oplog; all else by the commands that apps use.
https://www.mongodb.com/docs/manual/reference/command/applyOps/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from bson.raw_bson import RawBSONDocument

from mngdb import stopping
from mngdb.engines.mongodb import aside
from mngdb.engines.mongodb.client import QUICK, Document, Refused, Session
from mngdb.engines.mongodb.collections import BUCKETS, documents
from mngdb.engines.mongodb.oplog import OWN, database_of, position, seconds
from mngdb.errors import StepError
from mngdb.snapshot import Piece

#: Entries and bytes of one `applyOps`.
_MOST, _LARGEST = 2000, 8 << 20
#: What is in the log for members of a set alone, or is said again by another entry.
_PASSED = frozenset({"startIndexBuild", "abortIndexBuild", "dbCheck"})


class Replay:
    """`names`: UUIDs of the collections that were loaded (in hexadecimal) and where they are now;
    `late`: those that have everything up to a position of their own. Positions: everything up to
    `begin` is there, and up to `shown` all documents."""

    def __init__(
        self,
        session: Session,
        names: dict[str, str],
        late: dict[str, int],
        *,
        shown: int,
        settled: int,
    ) -> None:
        self._session = session
        self._names = names
        self._late = late
        self._shown = shown
        self._settled = settled
        self._at = 0
        self._open: dict[tuple[bytes, int], list[RawBSONDocument]] = {}
        self._ops: list[Document] = []
        self._size = 0
        self._pool = ThreadPoolExecutor(1, "mngdb-replay")
        self._sent: Future[None] | None = None

    def run(self, pieces: Iterable[Piece], begin: int, until: float, stop: int | None) -> None:
        """Apply what was written after `begin`, up to and at the moment `until`, or the position
        `stop`. Raises Refused, ConnectError, StepError."""
        with self._pool:
            for at, entry in _entries(pieces, begin, until, stop):
                self._at = at
                self._apply(entry)
            self._flush()

    def _apply(self, entry: RawBSONDocument) -> None:
        kind = entry["op"]
        if kind in ("i", "u", "d"):
            self._document(entry, kind)
        elif kind == "c":
            self._command(entry)
        elif kind != "n":
            raise StepError(f"the oplog has entries of an unknown kind: {kind}")

    # --- documents

    def _document(self, entry: RawBSONDocument, kind: str) -> None:
        uuid = _uuid(entry)
        if self._at <= self._late.get(uuid, self._shown):
            return
        name = self._names.get(uuid)
        if entry["ns"].endswith(aside.SYSTEM_VIEWS):
            name = aside.VIEWS
        if name is None:
            return  # dropped while the snapshot was taken, or the server's own
        one: Document = {"op": kind, "ns": name, "o": entry["o"]}
        if "o2" in entry:
            one["o2"] = entry["o2"]
        size = len(entry.raw)
        if len(self._ops) >= _MOST or self._size + size > _LARGEST:
            self._send()
        self._ops.append(one)
        self._size += size

    def _send(self) -> None:
        """Have the server apply what was collected, while more is."""
        self._wait()
        if self._ops:
            self._sent = self._pool.submit(self._applied, self._ops)
            self._ops, self._size = [], 0

    def _wait(self) -> None:
        if self._sent is not None:
            sent, self._sent = self._sent, None
            sent.result()

    def _flush(self) -> None:
        self._send()
        self._wait()

    def _applied(self, ops: list[Document]) -> None:
        stopping.check()
        self._session.command(
            "applyOps",
            ops,
            limit=None,
            bypassDocumentValidation=True,
            writeConcern=QUICK,
        )

    # --- transactions, the large ones of which are several entries

    def _transaction(self, entry: RawBSONDocument) -> None:
        asked = entry["o"]
        if asked.get("partialTxn") or asked.get("prepare"):
            self._open.setdefault(_number(entry), []).extend(asked["applyOps"])
            return
        # what a client writes at once without a transaction has no number
        begun = self._open.pop(_number(entry), []) if "txnNumber" in entry else []
        for one in (*begun, *asked["applyOps"]):
            self._apply(one)

    def _commit(self, entry: RawBSONDocument) -> None:
        for one in self._open.pop(_number(entry), []):
            self._apply(one)

    # --- everything else

    def _command(self, entry: RawBSONDocument) -> None:
        name = next(iter(entry["o"]))
        if name == "applyOps":
            self._transaction(entry)
        elif name == "commitTransaction":
            self._commit(entry)
        elif name == "abortTransaction":
            self._open.pop(_number(entry), None)
        elif name not in _PASSED and database_of(entry) not in OWN:
            self._flush()
            self._define(name, entry)

    def _define(self, name: str, entry: RawBSONDocument) -> None:
        asked, uuid = dict(entry["o"]), _uuid(entry)
        value = asked.pop(name)
        match name:
            case "create":
                self._create(database_of(entry), value, asked, uuid)
            case "drop" if value == aside.SYSTEM_VIEWS[1:]:
                if self._at > self._shown:
                    aside.forget_views(self._session, database_of(entry))
            case "dropDatabase":  # its collections were dropped one by one
                if self._at > self._shown:
                    aside.forget_views(self._session, database_of(entry))
            case "renameCollection":
                self._rename(value, asked["to"], uuid, asked.get("dropTarget"))
            case _ if uuid not in self._names:
                return
            case "drop":
                self._drop(self._names.pop(uuid))
            case "createIndexes":
                self._on(uuid, "createIndexes", indexes=[asked])
            case "commitIndexBuild":
                self._on(uuid, "createIndexes", indexes=list(asked["indexes"]))
            case "dropIndexes" | "deleteIndexes":
                self._on(uuid, "dropIndexes", index=asked["index"])
            case "collMod":
                self._on(uuid, "collMod", **asked)
            case _:
                raise StepError(f"the oplog has a command that cannot be repeated: {name}")

    def _create(self, database: str, name: str, options: Document, uuid: str) -> None:
        wanted = f"{database}.{name}"
        if wanted in aside.LOGINS:
            self._names[uuid] = aside.LOGINS[wanted]
            return
        internal = name == aside.SYSTEM_VIEWS[1:] or wanted.startswith("admin.system.")
        if internal or uuid in self._names or wanted in self._names.values():
            return
        self._drop(wanted)  # an empty one, which was made for the indexes of the file
        options.pop("temp", None)
        options.pop("autoIndexId", None)
        if name.startswith(BUCKETS):
            name = name.removeprefix(BUCKETS)
            options.pop("validator", None)
            options.pop("clusteredIndex", None)
        self._do("create", name, on=database, **options)
        self._names[uuid] = wanted

    def _drop(self, name: str) -> None:
        database, _, collection = name.partition(".")
        self._do("drop", collection.removeprefix(BUCKETS), on=database)

    def _rename(self, source: str, target: str, uuid: str, over: Any) -> None:
        """`over`: the UUID of the collection that it replaces."""
        replaced = over.hex() if isinstance(over, bytes) else ""
        there = {one for one, name in self._names.items() if name == target}
        if self._names.get(uuid) != source or there - {replaced}:
            return
        self._names.pop(replaced, None)
        self._do("renameCollection", source, to=target, dropTarget=True)
        self._names[uuid] = target

    def _on(self, uuid: str, command: str, **rest: Any) -> None:
        database, _, collection = self._names[uuid].partition(".")
        if command == "collMod":
            collection = collection.removeprefix(BUCKETS)
        self._do(command, collection, on=database, **rest)

    def _do(self, command: str, value: str, **rest: Any) -> None:
        stopping.check()
        try:
            self._session.command(command, value, limit=None, writeConcern=QUICK, **rest)
        except Refused as error:
            counts = self._at > self._settled and not (command == "drop" and error.code == 26)
            if counts or error.alone:
                raise


def _entries(
    pieces: Iterable[Piece], begin: int, until: float, stop: int | None
) -> Iterator[tuple[int, RawBSONDocument]]:
    """Each entry once, with its position: pieces may overlap."""
    for piece in pieces:
        for document in documents(piece.data):
            entry = RawBSONDocument(document)
            at = position(entry["ts"])
            if at <= begin:
                continue
            if at > stop if stop is not None else seconds(entry["wall"]) > until:
                return
            begin = at
            yield at, entry


def _uuid(entry: RawBSONDocument) -> str:
    found = entry.get("ui")
    return found.hex() if found is not None else ""


def _number(entry: RawBSONDocument) -> tuple[bytes, int]:
    """A transaction's number, and whose it is."""
    return bytes(entry["lsid"].raw), int(entry["txnNumber"])
