"""What a snapshot of a real server holds, and how it gets onto another one.

A snapshot is read as of one moment. A point in time is a snapshot of nothing and the server's whole
oplog up to then: a test's server is young, and its oplog goes back to its beginning.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bson import SON, Timestamp
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database
from pymongo.errors import OperationFailure

from tests.atlas.mongod import Mongod
from tests.atlas.world import Document

_OWN = ("admin", "config", "local")
_RAW: CodecOptions[Any] = CodecOptions(document_class=RawBSONDocument)
#: The code of an error: a collection is too new to be read as of a moment.
_TOO_NEW = 246
_MOST = 500


@dataclass(frozen=True)
class Collection:
    """One collection or view, whole."""

    database: str
    name: str
    options: Document
    indexes: list[Document]
    documents: list[RawBSONDocument]


@dataclass(frozen=True)
class Dump:
    """Everything that users wrote."""

    collections: list[Collection]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(len(one.raw) for part in self.collections for one in part.documents)


def take(server: Mongod) -> Dump:
    """All data as of now."""
    assert server.client is not None
    for _ in range(100):
        try:
            with server.client.start_session(snapshot=True) as session:
                return Dump(list(_collections(server.client, session)))
        except OperationFailure as error:
            if error.code != _TOO_NEW:
                raise
    raise AssertionError("the server has no moment at which all collections can be read")


def _collections(client: Any, session: Any) -> Iterator[Collection]:
    for database in client.list_database_names():
        if database in _OWN:
            continue
        for info in client[database].list_collections():
            if info["name"].startswith("system."):
                continue
            documents: list[RawBSONDocument] = []
            indexes: list[Document] = []
            if info["type"] == "collection":
                found = client[database].get_collection(info["name"], codec_options=_RAW)
                documents = list(found.find({}, session=session))
                indexes = [dict(one) for one in client[database][info["name"]].list_indexes()]
            yield Collection(database, info["name"], info["options"], indexes, documents)


def put(server: Mongod, dump: Dump) -> None:
    """Replace all that a server holds."""
    empty(server)
    assert server.client is not None
    for one in sorted(dump.collections, key=lambda one: "viewOn" in one.options):
        database = server.client[one.database]
        database.command(SON([("create", one.name), *one.options.items()]))
        others = [index for index in one.indexes if index["name"] != "_id_"]
        if others:
            database.command("createIndexes", one.name, indexes=others)
        if one.documents:
            database[one.name].insert_many(one.documents)


def empty(server: Mongod) -> None:
    """Remove all that users wrote."""
    assert server.client is not None
    for database in server.client.list_database_names():
        if database not in _OWN:
            server.client.drop_database(database)


# --- a point in time


def log(server: Mongod, until: Timestamp) -> list[Document]:
    """What was written up to a moment, and at it."""
    assert server.client is not None
    oplog = server.client.local["oplog.rs"]
    return list(oplog.find({"ts": {"$lte": until}, "op": {"$ne": "n"}}).sort("$natural", 1))


def replay(server: Mongod, entries: list[Document]) -> None:
    """Make a server what the log says."""
    empty(server)
    assert server.client is not None
    waiting: list[Document] = []
    for entry in _flat(entries):
        if entry["ns"].partition(".")[0] in _OWN:
            continue
        if entry["op"] != "c":
            waiting.append({key: entry[key] for key in ("op", "ns", "o", "o2") if key in entry})
        if waiting and (entry["op"] == "c" or len(waiting) >= _MOST):
            server.client.admin.command("applyOps", waiting)
            waiting = []
        if entry["op"] == "c":
            _command(server.client[entry["ns"].partition(".")[0]], entry["o"])
    if waiting:
        server.client.admin.command("applyOps", waiting)


def _flat(entries: list[Document]) -> Iterator[Document]:
    for entry in entries:
        if entry["op"] == "c" and "applyOps" in entry["o"]:
            yield from _flat(entry["o"]["applyOps"])
        else:
            yield entry


def _command(database: Database[Document], asked: Document) -> None:
    """Repeat a command as it is in the log."""
    name, value = next(iter(asked.items()))
    rest = {key: asked[key] for key in asked if key != name}
    match name:
        case "create":
            rest.pop("idIndex", None)
            database.command(SON([("create", value), *rest.items()]))
        case "createIndexes":
            database.command("createIndexes", value, indexes=[rest])
        case "commitIndexBuild":
            database.command("createIndexes", value, indexes=rest["indexes"])
        case "dropIndexes":
            database.command("dropIndexes", value, index=rest["index"])
        case "renameCollection":
            drop = bool(rest.get("dropTarget"))
            database.client.admin.command("renameCollection", value, to=rest["to"], dropTarget=drop)
        case "drop" | "dropDatabase":
            database.command(name, value)
        case "collMod":
            database.command(SON([("collMod", value), *rest.items()]))
        case _:
            pass  # what the members of a set tell each other
