"""The replica set of a MongoDB server, its databases, collections and indexes, for its checks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from mngdb.engines.mongodb import indexes, look, reconcile
from mngdb.engines.mongodb.client import EVERY_INDEX, Refused
from mngdb.engines.mongodb.databases import every, in_turns, of_file
from mngdb.engines.mongodb.facts import Facts, FoundIndex
from mngdb.engines.mongodb.questions import Questions
from mngdb.errors import UnobservableError
from mngdb.facts.mongodb import Collection, Collections, Document, Index, Member, Oplog, ReplicaSet
from mngdb.findings import Seen, see
from mngdb.model import DesiredInstance
from mngdb.words import many

#: Databases that are looked at where the file names none; collections that are looked at in all,
#: and counted in one database.
_DATABASES = 50
_COLLECTIONS = 200
_COUNTED = 1000


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


def databases(questions: Questions, asked: DesiredInstance) -> tuple[list[str], int]:
    """Those of the file; where it names none, the first of all, and how many more there are."""
    found = of_file(asked)
    if found:
        return found, 0
    found = every(questions.ask)
    return found[:_DATABASES], len(found[_DATABASES:])


def unknown(questions: Questions, asked: DesiredInstance) -> tuple[str, ...]:
    """Databases that the file does not name."""
    named = set(of_file(asked))
    return tuple(name for name in every(questions.ask) if name not in named)


def collections(
    questions: Questions, asked: DesiredInstance, among: Sequence[str], beside: int
) -> Collections:
    """So many in all, as many of each database; those that the file names come first. `beside`
    databases are not among these."""
    left_out = [many(beside, "other database")] if beside else []
    names: dict[str, list[str]] = {}
    for database in among:
        try:
            names[database] = _names(questions, asked, database)
        except UnobservableError as error:
            left_out.append(f"{database} ({error.message})")
    chosen = in_turns(names)[:_COLLECTIONS]
    taken = Counter(database for database, _ in chosen)
    for database, found in names.items():
        if more := len(found) - taken[database]:
            left_out.append(f"{many(more, 'collection')} of {database}")
    seen = []
    for database, name in chosen:
        try:
            seen.append(_collection(questions, database, name))
        except Refused:
            continue  # it is not there
        except UnobservableError as error:
            left_out.append(f"{database}.{name} ({error.message})")
    return Collections(tuple(seen), tuple(left_out))


def _names(questions: Questions, asked: DesiredInstance, database: str) -> list[str]:
    """The names of the file first; no more than are counted."""
    reply = questions.ask(
        "listCollections",
        on=database,
        filter={"type": "collection", "name": {"$not": {"$regex": "^system\\."}}},
        nameOnly=True,
        authorizedCollections=True,
        cursor={"batchSize": _COUNTED},
    )["cursor"]
    if reply["id"]:
        questions.ask("killCursors", "$cmd.listCollections", on=database, cursors=[reply["id"]])
    named = [name for where, name in indexes.wanted(asked) if where == database]
    return list(dict.fromkeys([*named, *(str(one["name"]) for one in reply["firstBatch"])]))


def _collection(questions: Questions, database: str, name: str) -> Collection:
    stages: list[Document] = [{"$indexStats": {}}]
    reply = questions.ask("aggregate", name, on=database, pipeline=stages, cursor=EVERY_INDEX)
    stats = tuple(_index(one) for one in reply["cursor"]["firstBatch"])
    return Collection(f"{database}.{name}", stats)


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


def asked_indexes(questions: Questions, asked: DesiredInstance) -> Mapping[str, Seen[str]]:
    """By the very comparison that `up` makes."""
    there: dict[tuple[str, str], tuple[FoundIndex, ...]] = {}
    found = dict.fromkeys(indexes.labels(asked), Seen("right"))
    unseen: dict[str, Seen[str]] = {}
    for (database, collection), named in indexes.wanted(asked).items():
        try:
            there[database, collection] = look.indexes(questions.ask, database, collection)
        except Refused:
            continue  # there is no such collection
        except UnobservableError as error:
            labels = (indexes.label(database, collection, one.label) for one in named)
            unseen |= dict.fromkeys(labels, Seen[str](missing=error.message))

    make = reconcile.maker(asked)
    for step in indexes.steps(asked, Facts(version="", indexes=there), make):
        if step.action != "drop":
            found[step.object] = Seen("missing" if step.action == "create" else step.detail)
    return found | unseen
