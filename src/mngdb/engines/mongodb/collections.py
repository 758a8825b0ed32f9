"""What a snapshot holds of each collection, and the streams that hold it.

The layout is the one that mongodump writes and `mongorestore --dir` reads.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import quote_plus

import bson
from bson import json_util
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from msgspec import Struct

from mngdb.engines.mongodb.client import (
    NAMESPACE_NOT_FOUND,
    RAW,
    VIEW,
    Document,
    Refused,
    Session,
)
from mngdb.errors import StepError

BUCKETS = "system.buckets."
#: What is taken of MongoDB's own, as mongodump does.
_SYSTEM = frozenset({"system.js"})
_ADMIN = frozenset({"system.users", "system.roles", "system.version"})
_CONFIG = frozenset({"chunks", "collections", "databases", "settings", "shards", "tags", "version"})
#: Longest name of a file without its end, and how much of the collection's is in a shortened one.
_LONGEST, _SHORTENED = 238, 208
#: Fields of an index that other versions of the server have, or have not.
_FLEETING = ("ns", "background")
_SIZE = struct.Struct("<i")
_EMPTY = 5
#: Hexadecimal digits of a digest, and of those that older versions made.
_DIGITS, _SHA256 = 32, 64
#: Documents of a group: a server takes no more at a time.
_MOST = 100_000
BSON, METADATA = ".bson", ".metadata.json"
#: In a metadata file: the same as BSON, in Base64. Extended JSON is ambiguous: a field `$oid` in an
#: app's view is read as an ObjectId. mongorestore passes over it.
_EXACT = "mngdb_bson"


class Collection(Struct, frozen=True):
    """A collection, view or time series. `uuid` in hexadecimal, empty for a view."""

    database: str
    name: str
    kind: str
    uuid: str
    options: Document
    indexes: tuple[Document, ...] = ()

    @property
    def namespace(self) -> str:
        return f"{self.database}.{self.name}"

    @property
    def holder(self) -> str | None:
        """The collection that has its documents; None: a view."""
        if self.kind == "timeseries":
            return BUCKETS + self.name
        return None if self.kind == "view" else self.name

    @property
    def held(self) -> str:
        """The namespace of `holder`."""
        return f"{self.database}.{self.holder}"

    @property
    def internal(self) -> bool:
        """Whether it holds logins, or what a server knows of itself."""
        return self.database == "config" or (
            self.database == "admin" and self.name.startswith("system.")
        )

    @property
    def expires(self) -> bool:
        """Whether the server removes documents whose time has come."""
        return any("expireAfterSeconds" in one for one in (self.options, *self.indexes))

    @property
    def traits(self) -> frozenset[str]:
        """Short digests of its kind, its options and each of its indexes."""
        parts: list[Any] = [[self.kind, self.options], *self.indexes]
        texts = (_json(one) + (_bson(one) if _ambiguous(one) else b"") for one in parts)
        return frozenset(hashlib.sha256(text).hexdigest()[:16] for text in texts)

    @property
    def ambiguous(self) -> bool:
        """Whether mongorestore takes its options or indexes for something else."""
        return _ambiguous([self.options, self.indexes])

    @property
    def metadata(self) -> bytes:
        """The content of its metadata file."""
        found = {
            "options": self.options,
            "indexes": self.indexes,
            "uuid": self.uuid,
            "collectionName": self.name,
            "type": self.kind,
        }
        return _json({**found, _EXACT: base64.b64encode(bson.encode(found)).decode()})

    @property
    def metadata_stream(self) -> str:
        return f"{self.database}/{_escaped(self.name)}{METADATA}"

    @property
    def stream(self) -> str:
        """The stream of its documents."""
        return f"{self.database}/{_escaped(self.holder or self.name)}{BSON}"


def _json(value: Any) -> bytes:
    return json_util.dumps(value, json_options=json_util.CANONICAL_JSON_OPTIONS).encode()


def _bson(value: Any) -> bytes:
    return bson.encode({"": value})


def _ambiguous(value: Any) -> bool:
    """Whether its extended JSON is read as something else."""
    options = json_util.CANONICAL_JSON_OPTIONS
    try:
        return _bson(json_util.loads(_json(value), json_options=options)) != _bson(value)
    except _UNREADABLE:
        return True


#: What the driver raises for text that is no extended JSON.
_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, BSONError)


def read(stream: str, metadata: bytes) -> Collection:
    """The collection that a metadata file is of, whose stream has this name. Raises StepError."""
    try:
        found: Any = json.loads(metadata)
        if _EXACT in found:
            found = RawBSONDocument(base64.b64decode(found[_EXACT]), RAW)
        else:  # of a version before
            found = json_util.loads(metadata, json_options=json_util.CANONICAL_JSON_OPTIONS)
        return Collection(
            stream.partition("/")[0],
            found["collectionName"],
            found["type"],
            found["uuid"],
            dict(found["options"]),
            tuple(map(dict, found["indexes"])),
        )
    except _UNREADABLE as error:
        raise StepError(
            f"the snapshot's {stream} cannot be read: {error}",
            "a field that begins with $, in the options or an index, may be the reason: mngdb of "
            "today keeps those exactly, so take a new snapshot",
        ) from None


def _escaped(name: str) -> str:
    found = quote_plus(name, safe="")
    if len(found) <= _LONGEST:
        return found
    mark = base64.urlsafe_b64encode(hashlib.sha1(name.encode(), usedforsecurity=False).digest())
    return f"{found[:_SHORTENED]}%24{mark.decode().rstrip('=')}"


def every(session: Session) -> list[Collection]:
    """All collections of all databases that a snapshot holds, with their indexes. One that is
    dropped meanwhile is left out. Raises Refused, ConnectError."""
    names = [one["name"] for one in session.command("listDatabases", nameOnly=True)["databases"]]
    return [one for name in sorted(names) for one in of_database(session, name)]


def of_database(session: Session, database: str, uuid: str | None = None) -> Iterator[Collection]:
    """Those of one database; with `uuid` that one alone, whatever its name is now."""
    found = session.collections(database)
    for name, one in sorted(found.items()):
        if not _taken(database, name):
            continue
        holder = found.get(BUCKETS + name, {}) if one["type"] == "timeseries" else one
        mark = holder.get("info", {}).get("uuid", b"").hex()
        if uuid not in (None, mark):
            continue
        indexes: tuple[Document, ...] = ()
        if one["type"] != "view":
            try:
                indexes = _indexes(session, database, name)
            except Refused as error:
                if error.code in (NAMESPACE_NOT_FOUND, VIEW):
                    continue
                raise
        yield Collection(database, name, one["type"], mark, dict(one.get("options", {})), indexes)


def _taken(database: str, name: str) -> bool:
    if database == "local":
        return False
    if database == "config":
        return name in _CONFIG
    return not name.startswith("system.") or name in (_ADMIN if database == "admin" else _SYSTEM)


def _indexes(session: Session, database: str, name: str) -> tuple[Document, ...]:
    found = [
        {k: v for k, v in one.items() if k not in _FLEETING}
        for one in session.indexes(database, name)
    ]
    return tuple(sorted(found, key=lambda one: str(one["name"])))


class Digest:
    """Count and digest of documents: the sum of the hash of each (XXH3, 128 bits), which does not
    depend on their order. Documents that are read in the order in which they lie on the disk cost
    the server the least, and a restored one has them in another. It finds what was lost, changed or
    written twice; it is no proof against somebody who searches for documents of the same sum."""

    def __init__(self, like: str = "") -> None:
        """`like`: what it will be compared with. Older versions took SHA-256, which takes ten times
        as long."""
        import xxhash

        self.count = 0
        self._sum = 0
        self._digits = len(like) or _DIGITS
        self._hash = _sha256 if self._digits == _SHA256 else xxhash.xxh3_128_intdigest

    def add(self, documents: Sequence[memoryview]) -> None:
        """Take some documents."""
        self.count += len(documents)
        self._sum = sum(map(self._hash, documents), self._sum) % (1 << 4 * self._digits)

    @property
    def text(self) -> str:
        return f"{self._sum:0{self._digits}x}"


def _sha256(document: memoryview) -> int:
    return int.from_bytes(hashlib.sha256(document).digest())


def documents(batch: bytes) -> Iterator[bytes]:
    """The documents of BSON that has one after the other. Raises StepError."""
    at, end = 0, len(batch)
    while at < end:
        size = length(batch, at)
        if size > end - at:
            raise StepError("the documents of a collection are cut off in the middle of one")
        yield batch[at : at + size]
        at += size


def length(data: bytes | bytearray, at: int) -> int:
    """The length of the document that begins there; more than there is where its own is cut off.
    Raises StepError."""
    if len(data) - at < _SIZE.size:
        return len(data) - at + 1
    (size,) = _SIZE.unpack_from(data, at)
    if size < _EMPTY:
        raise StepError(f"this is no BSON document: its length is {size}")
    return int(size)


def groups(pieces: Iterable[bytes], most: int) -> Iterator[tuple[bytes, int]]:
    """The documents of a stream that comes in pieces: up to `most` bytes of them, or one, and how
    many these are. Raises StepError where the stream ends in the middle of one."""
    rest, size_of = b"", _SIZE.unpack_from
    for piece in pieces:
        data = rest + piece
        begin = at = count = 0
        end, room = len(data), most
        while end - at >= _SIZE.size:  # in as few steps as can be: they are for each document
            after = at + size_of(data, at)[0]
            if after > end or after - at < _EMPTY:
                break
            if count and (after > room or count == _MOST):
                yield data[begin:at], count
                begin, count, room = at, 0, at + most
            at, count = after, count + 1
        length(data, at)
        if count:
            yield data[begin:at], count
        rest = data[at:]
    if rest:
        raise StepError("the documents of a collection are cut off in the middle of one")
