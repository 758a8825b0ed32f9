"""The replica set of a MongoDB server, its databases, collections and indexes, for its checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from mngdb.engines.mongodb import indexes
from mngdb.engines.mongodb.client import Refused
from mngdb.engines.mongodb.facts import Facts, FoundIndex
from mngdb.engines.mongodb.questions import Questions
from mngdb.engines.mongodb.render import spec_of
from mngdb.facts.mongodb import Collection, Document, Index, Member, Oplog, ReplicaSet
from mngdb.findings import see
from mngdb.model import Asked, Step
from mngdb.spec.mongodb import MongodbGrant

#: What is looked at where the file names nothing, and at the most.
_DATABASES = 50
_COLLECTIONS = 50
_OWN = frozenset({"admin", "local", "config"})


def replica(questions: Questions, hello: Document) -> ReplicaSet | None:
    """The set that it is in. Raises UnobservableError."""
    if "setName" not in hello:
        return None
    status = questions.ask("replSetGetStatus")
    config = questions.ask("replSetGetConfig")["config"]
    concern = questions.ask("getDefaultRWConcern").get("defaultWriteConcern", {})
    arbiters = {one["host"] for one in config["members"] if one.get("arbiterOnly")}
    ahead = [one["optimeDate"] for one in status["members"] if one["stateStr"] == "PRIMARY"]

    def lag(member: Document) -> float:
        if not ahead or member["stateStr"] != "SECONDARY":
            return 0.0
        return max(0.0, float((ahead[0] - member["optimeDate"]).total_seconds()))

    return ReplicaSet(
        members=tuple(
            Member(
                str(one["name"]),
                str(one["stateStr"]),
                one["health"] == 1 and one["stateStr"] in {"PRIMARY", "SECONDARY", "ARBITER"},
                one["name"] in arbiters,
                lag(one),
            )
            for one in status["members"]
        ),
        journaled=bool(config.get("writeConcernMajorityJournalDefault", True)),
        write_concern=str(concern.get("w", 1)),
        oplog=see(lambda: _oplog(questions, hello)),
    )


def _oplog(questions: Questions, hello: Document) -> Oplog:
    stage: list[Document] = [
        {"$collStats": {"storageStats": {}}},
        {"$project": {"used": "$storageStats.size", "most": "$storageStats.maxSize"}},
    ]
    sizes = questions.ask("aggregate", "oplog.rs", on="local", pipeline=stage, cursor={})
    first = questions.ask(
        "find",
        "oplog.rs",
        on="local",
        sort={"$natural": 1},
        projection={"ts": 1},
        batchSize=1,
        singleBatch=True,
    )
    (size,), (oldest,) = sizes["cursor"]["firstBatch"], first["cursor"]["firstBatch"]
    newest = hello["lastWrite"]["lastWriteDate"].replace(tzinfo=UTC)
    begun = datetime.fromtimestamp(oldest["ts"].time, tz=UTC)
    return Oplog(int(size["used"]), int(size["most"]), (newest - begun).total_seconds())


def databases(questions: Questions, asked: Asked) -> list[str]:
    """Those of the file; where it names none, the first of all."""
    granted = [
        one.database for one in asked.instance.grants.values() if isinstance(one, MongodbGrant)
    ]
    named = list(dict.fromkeys([*spec_of(asked).databases, *granted]))
    if named:
        return named
    found = questions.ask("listDatabases", nameOnly=True)["databases"]
    return [str(one["name"]) for one in found if one["name"] not in _OWN][:_DATABASES]


def collections(questions: Questions, asked: Asked, among: list[str]) -> Iterator[Collection]:
    """At most so many; those that the file names come first."""
    named = [one for one in indexes.wanted(asked) if one[0] in among]
    found = dict.fromkeys(named)
    for database in among:
        if len(found) >= _COLLECTIONS:
            break
        found |= dict.fromkeys((database, one) for one in _names(questions, database))
    for database, collection in list(found)[:_COLLECTIONS]:
        try:
            reply = questions.ask(
                "aggregate",
                collection,
                on=database,
                pipeline=[{"$indexStats": {}}],
                cursor={"batchSize": 1000},
            )
        except Refused:
            continue  # it is not there
        stats = [_index(one) for one in reply["cursor"]["firstBatch"]]
        yield Collection(f"{database}.{collection}", tuple(stats))


def _names(questions: Questions, database: str) -> list[str]:
    reply = questions.ask(
        "listCollections",
        on=database,
        filter={"type": "collection", "name": {"$not": {"$regex": "^system\\."}}},
        nameOnly=True,
        authorizedCollections=True,
        cursor={"batchSize": _COLLECTIONS},
    )["cursor"]
    if reply["id"]:
        questions.ask("killCursors", "$cmd.listCollections", on=database, cursors=[reply["id"]])
    return [str(one["name"]) for one in reply["firstBatch"]]


def _index(found: Document) -> Index:
    spec = found["spec"]
    special = {"unique", "sparse", "expireAfterSeconds", "partialFilterExpression", "collation"}
    keys = tuple(spec["key"].items())
    plain = not special & set(spec) and not spec.get("hidden")
    return Index(
        str(found["name"]),
        tuple(
            (name, way if isinstance(way, str) else (1 if way > 0 else -1)) for name, way in keys
        ),
        plain and not any(isinstance(way, str) for _, way in keys),
        bool(spec.get("unique")),
        int(found["accesses"]["ops"]),
    )


def asked_indexes(questions: Questions, asked: Asked) -> Mapping[str, str]:
    """By the very comparison that `up` makes."""
    there: dict[tuple[str, str], tuple[FoundIndex, ...]] = {}
    for database, collection in indexes.wanted(asked):
        try:
            batch = {"batchSize": 1000}
            reply = questions.ask("listIndexes", collection, on=database, cursor=batch)
        except Refused:
            continue  # the collection is not there
        documents = reply["cursor"]["firstBatch"]
        there[database, collection] = tuple(FoundIndex(str(d["name"]), d) for d in documents)
    found = dict.fromkeys(indexes.labels(asked), "right")

    def note(action: str, name: str, detail: str, *_: object) -> Step:
        if action != "drop":
            found[name] = "missing" if action == "create" else detail
        return Step(asked.instance.name, "mongodb", "create", name, detail, _never)

    for _ in indexes.steps(asked, Facts(version="", indexes=there), note):
        pass
    return found


def _never(_: object) -> None:
    raise TypeError("a check runs no step")
