"""Statements of mongosh that hands type, as database commands. Nothing is evaluated: what is not
here is written as the command's document."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

from bson import ObjectId
from msgspec import Struct

from mngdb.engines.mongodb.literals import Reader, documents
from mngdb.errors import UsageError

Document = dict[str, Any]
#: What is printed of the answer: its documents one by one, or their names, the first or null, the
#: number in the first, its values, what `reply` has besides, or all of it.
Form = Literal["documents", "names", "first", "count", "values", "reply", "whole"]

#: What a member of a replica set says besides.
_MARKS = ("$clusterTime", "operationTime")


class Command(Struct, frozen=True):
    """A database command. `also`: what the answer is shown with, for `reply`; the keys that it is
    shown by, to those of the answer."""

    document: Document
    form: Form = "whole"
    admin: bool = False
    """Whether it is for the database admin."""
    also: Document = {}
    shown: Mapping[str, str] = {}


class Use(Struct, frozen=True):
    """Another database from now on; None: say which it is."""

    database: str | None


class More(Struct, frozen=True):
    """The next page."""


class Databases(Struct, frozen=True):
    """The databases, with their sizes."""


Statement = Command | Use | More | Databases


def _given_or_all(value: Any) -> Any:
    return {} if value is None else value


def find(name: str, filter: Any = None, projection: Any = None) -> Command:
    """Documents."""
    found, fields = documents([_given_or_all(filter), _given_or_all(projection)], "an argument")
    more = {"projection": fields} if fields else {}
    return Command({"find": name, "filter": found, **more}, "documents")


def find_one(name: str, filter: Any = None, projection: Any = None) -> Command:
    """The first document."""
    found = find(name, filter, projection)
    return Command({**found.document, "limit": 1}, "first")


def count(name: str, filter: Any = None) -> Command:
    """How many there are."""
    (found,) = documents([_given_or_all(filter)], "a filter")
    counted = {"$group": {"_id": None, "n": {"$sum": 1}}}
    return _aggregate(name, [{"$match": found}, counted], "count")


def aggregate(name: str, *stages: Any) -> Command:
    """What comes out of a pipeline: a list, or its stages one by one."""
    pipeline = stages[0] if stages and isinstance(stages[0], list) else list(stages)
    documents(pipeline, "each stage of aggregate()")
    return _aggregate(name, pipeline, "documents")


def _aggregate(name: str, pipeline: Any, form: Form) -> Command:
    return Command({"aggregate": name, "pipeline": pipeline, "cursor": {}}, form)


def distinct(name: str, key: Any, filter: Any = None) -> Command:
    """The values of a field."""
    (found,) = documents([_given_or_all(filter)], "a filter")
    return Command({"distinct": name, "key": key, "query": found}, "values")


def insert_one(name: str, document: Any) -> Command:
    """Insert one."""
    (whole,) = _with_ids([document])
    also = {"acknowledged": True, "insertedId": whole["_id"]}
    return Command({"insert": name, "documents": [whole]}, "reply", also=also)


def insert_many(name: str, several: Any) -> Command:
    """Insert a list of them."""
    if not isinstance(several, list):
        raise UsageError("insertMany() takes a list: [{…}, {…}]")
    whole = _with_ids(several)
    also = {"acknowledged": True, "insertedIds": [one["_id"] for one in whole]}
    return Command({"insert": name, "documents": whole}, "reply", also=also)


def _with_ids(several: list[Any]) -> list[Document]:
    return [{"_id": ObjectId(), **one} for one in documents(several, "what is inserted")]


def _update(multi: bool) -> Callable[..., Command]:
    def update(name: str, filter: Any, change: Any, options: Any = None) -> Command:
        documents([filter, options or {}], "the filter of an update")
        one = {"q": filter, "u": change, "multi": multi, **(options or {})}
        shown = {"matchedCount": "n", "modifiedCount": "nModified"}
        return Command({"update": name, "updates": [one]}, "reply", shown=shown)

    return update


def _delete(limit: int) -> Callable[..., Command]:
    def delete(name: str, filter: Any) -> Command:
        documents([filter], "the filter of a delete")
        deletes = [{"q": filter, "limit": limit}]
        return Command({"delete": name, "deletes": deletes}, "reply", shown={"deletedCount": "n"})

    return delete


def indexes(name: str) -> Command:
    """The indexes."""
    return Command({"listIndexes": name}, "documents")


#: What a collection can do.
METHODS: dict[str, Callable[..., Command]] = {
    "find": find,
    "findOne": find_one,
    "countDocuments": count,
    "aggregate": aggregate,
    "distinct": distinct,
    "insertOne": insert_one,
    "insertMany": insert_many,
    "updateOne": _update(multi=False),
    "updateMany": _update(multi=True),
    "deleteOne": _delete(1),
    "deleteMany": _delete(0),
    "getIndexes": indexes,
}
#: Only those that the login may see: an app may not list all.
_COLLECTIONS = Command(
    {"listCollections": 1, "nameOnly": True, "authorizedCollections": True}, "names"
)
#: What a database can do.
_OF_DATABASE: dict[str, Callable[..., Command]] = {
    "runCommand": lambda command: _given(command),
    "adminCommand": lambda command: _given(command, admin=True),
    "getCollectionNames": lambda: _COLLECTIONS,
    "stats": lambda: Command({"dbStats": 1}),
}
#: What may follow find(), and the key of the command that it is.
_AFTER = {"sort": "sort", "limit": "limit", "skip": "skip"}
#: What may follow and changes nothing here.
_SILENT = ("toArray", "pretty")
#: Commands whose answer is a cursor.
_CURSORS = frozenset({"find", "aggregate", "listCollections", "listIndexes"})
_SHOW: dict[str, Statement] = {
    **dict.fromkeys(("dbs", "databases"), Databases()),
    **dict.fromkeys(("collections", "tables"), _COLLECTIONS),
}


def _given(command: Any, *, admin: bool = False) -> Command:
    """A command as it was written: by its name alone, or whole."""
    found = {command: 1} if isinstance(command, str) else command
    documents([found], "a command")
    if not found:
        raise UsageError("a command's document begins with its name: {ping: 1}")
    form: Form = "documents" if next(iter(found)) in _CURSORS else "whole"
    return Command(found, form, admin=admin)


def parse(text: str) -> Statement:
    """What a statement asks for. Raises UsageError."""
    reader = Reader(text.rstrip().rstrip(";"))
    if reader.take("{"):
        reader = Reader(text.rstrip().rstrip(";"))
        found: Statement = _given(reader.value())
    else:
        found = _named(reader)
    if not reader.over():
        raise reader.wrong("expected the end of the statement")
    return found


def _named(reader: Reader) -> Statement:
    word = reader.word()
    if word == "db":
        return _of_database(reader)
    if word == "show":
        what = reader.rest()
        if what not in _SHOW:
            raise UsageError(f"show {what}: expected one of {', '.join(_SHOW)}")
        return _SHOW[what]
    if word == "use":
        database = reader.rest()
        if not database or any(sign in database for sign in ' /\\."$\0'):
            raise UsageError("use takes the name of a database: use shop")
        return Use(database)
    if word == "it":
        return More()
    raise UsageError(
        "only statements of a few forms are understood here: show dbs, show collections, use NAME, "
        "db.NAME.find({…}), or a command's document, {ping: 1}",
        "mongosh understands JavaScript: https://www.mongodb.com/docs/mongodb-shell/install/",
    )


def _of_database(reader: Reader) -> Statement:
    names: list[str] = []
    while not (names and reader.take("(")):
        if reader.take("["):
            names += [str(one) for one in reader.arguments("]")]
        elif reader.take("."):
            names.append(reader.word() or _no_name(reader))
        elif not names:
            return Use(None)
        else:
            raise reader.wrong("expected ( after the method")
        if names == ["getCollection"] and reader.take("("):
            names = [str(one) for one in reader.arguments()] or [""]
    method, arguments = names.pop(), reader.arguments()
    collection = ".".join(names)
    known = METHODS if collection else _OF_DATABASE
    if method not in known:
        raise UsageError(
            f"{method}() is not understood here; expected one of: {', '.join(known)}",
            "other commands are written as documents: db.runCommand({drop: 'users'})",
        )
    call = known[method]
    arguments = [collection, *arguments] if collection else arguments
    try:
        inspect.signature(call).bind(*arguments)
    except TypeError as error:
        raise UsageError(f"{method}(): {error}") from None
    return _followed(reader, call(*arguments))


def _no_name(reader: Reader) -> str:
    raise reader.wrong("expected a name")


def _followed(reader: Reader, command: Command) -> Command:
    """The command with what is written after it: find().sort({…}).limit(5)."""
    document, finds = dict(command.document), "find" in command.document
    while reader.take("."):
        name = reader.word()
        reader.need("(")
        arguments = reader.arguments()
        if finds and name in _AFTER and len(arguments) == 1:
            document[_AFTER[name]] = arguments[0]
        elif finds and name == "count" and not arguments:
            return count(document["find"], document["filter"])
        elif name not in _SILENT:
            known = ", ".join([*_AFTER, "count"] if finds else _SILENT)
            raise UsageError(f".{name}() is not understood here; expected one of: {known}")
    return Command(document, command.form, command.admin, command.also, command.shown)


def plain(reply: Mapping[str, Any]) -> Document:
    """An answer without the server's own marks."""
    return {key: value for key, value in reply.items() if key not in _MARKS}
