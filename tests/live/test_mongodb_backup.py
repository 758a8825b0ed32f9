"""Snapshots of a real mongod, and a second one that is made of them."""

from __future__ import annotations

import datetime
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import pymongo
import pytest
import xxhash
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from mngdb.engines.mongodb import collections, load
from mngdb.errors import MngdbError, StepError
from mngdb.targets.local import programs
from tests.conftest import Cli
from tests.live import faults
from tests.live.clients import brought_up, mongo_as, url
from tests.live.snapshots import Memory, loaded, proved, taken

pytestmark = pytest.mark.live

FILE = """
mongodb: {port: PORT1}
instances: {copy: {engine: mongodb, port: PORT2}}
apps: {shop: {mongodb: shop, copy: shop}}
"""
stack = brought_up(FILE)
_OWN = {"admin", "config", "local"}
_WINDOW = "minSnapshotHistoryWindowInSeconds"
ODD = [
    "a b",
    "a+b",
    "ü/ö",
    "per%cent",
    "%24",
    "a:b*c?",
    "x.metadata.json",
    "ends.bson",
    "n" * 230,
    "ü" * 90,
]


def wiped(client: Any) -> None:
    """Drop every database of apps, users and roles of none."""
    for name in set(client.list_database_names()) - _OWN:
        client.drop_database(name)
    for name in set(client.admin.list_collection_names()):
        if not name.startswith("system."):
            client.admin.drop_collection(name)
    for user in client.extern.command("usersInfo")["users"]:
        client.extern.command("dropUser", user["user"])
    if client.admin.command("rolesInfo", "teller")["roles"]:
        client.admin.command("dropRole", "teller")


@pytest.fixture
def source(stack: Cli) -> Iterator[Any]:
    """The administrator of the one that snapshots are taken of; both are empty."""
    with mongo_as(stack) as client, mongo_as(stack, None, "copy") as copy:
        wiped(client)
        wiped(copy)
        yield client


def everything(of: Any, moment: Any = None) -> dict[str, list[bytes]]:
    """The documents of all collections of apps as raw BSON, sorted; of a moment as they were."""

    class At(ReadConcern):
        @property
        def document(self) -> Any:
            return {"level": "snapshot", "atClusterTime": moment}

    concern = At("snapshot") if moment else ReadConcern("majority")
    raw = bson.codec_options.CodecOptions(document_class=bson.raw_bson.RawBSONDocument)
    found = {}
    for name in set(of.list_database_names()) - _OWN:
        for one in of[name].list_collections():
            if one["type"] != "collection" or one["name"] in ("system.views", "system.profile"):
                continue
            cursor = of[name].get_collection(one["name"], raw, read_concern=concern).find()
            try:
                found[f"{name}.{one['name']}"] = sorted(bytes(document.raw) for document in cursor)
            except PyMongoError as error:
                if getattr(error, "code", 0) != 246:  # made after that moment
                    raise
    return found


def kinds(of: Any) -> dict[str, Any]:
    """Options and indexes of every collection."""
    return {
        f"{name}.{one['name']}": (
            one["type"],
            one["options"],
            {} if one["type"] == "view" else of[name][one["name"]].index_information(),
        )
        for name in set(of.list_database_names()) - _OWN
        for one in of[name].list_collections()
        if not one["name"].startswith("system.")
    }


def digest(documents: list[bytes]) -> str:
    """What a snapshot says of these documents."""
    return f"{sum(map(xxhash.xxh3_128_intdigest, documents)) % 2**128:032x}"


def failed(trials: dict[str, Any]) -> dict[str, str]:
    return {name: one.detail for name, one in trials.items() if not one.passed}


def moment(year: int) -> datetime.datetime:
    """The first second of a year."""
    return datetime.datetime(year, 1, 1, tzinfo=datetime.UTC)


ALL_TYPES = {
    "double": 1.5,
    "nan": float("nan"),
    "infinite": float("-inf"),
    "text": "ü\0ö",
    "": "no name",
    "document": {"b": 1, "a": {"$x": 1}},
    "array": [1, [2, {}], []],
    "binary": b"\0\xff",
    "uuid": bson.Binary.from_uuid(uuid.UUID(int=7)),
    "old": bson.Binary(b"12", 2),
    "id": bson.ObjectId(b"x" * 12),
    "yes": True,
    "date": moment(1900),
    "far": bson.DatetimeMS(2**62),
    "null": None,
    "regex": bson.Regex("a/b", "imx"),
    "code": bson.Code("f()"),
    "scoped": bson.Code("f()", {"a": 1}),
    "int": 2**31 - 1,
    "long": bson.Int64(1),
    "stamp": bson.Timestamp(4, 2),
    "inner": {"t": bson.Timestamp(0, 0)},
    "decimal": bson.Decimal128("1.00E+6000"),
    "min": bson.MinKey(),
    "max": bson.MaxKey(),
    "dot.ted": 1,
    "$dollar": 1,
    "ref": bson.DBRef("c", 1),
    "large": "x" * 12_000_000,
}


def furnished(client: Any) -> None:
    """Everything that a server can hold."""
    shop = client.shop
    shop.types.insert_many([ALL_TYPES, {"_id": {"a": 1}}, {"_id": ""}, {"_id": None}])
    shop.create_collection("empty")
    shop.create_collection(
        "guarded", validator={"$jsonSchema": {"required": ["n"]}}, validationAction="error"
    )
    shop.command("insert", "guarded", documents=[{"not": 1}], bypassDocumentValidation=True)
    shop.create_collection("ring", capped=True, size=100_000, max=50)
    shop.ring.insert_many({"_id": 1000 - n} for n in range(80))
    shop.create_collection("cased", collation={"locale": "de", "strength": 2})
    shop.cased.insert_many([{"_id": "a"}, {"_id": "b"}])
    shop.create_collection("clustered", clusteredIndex={"key": {"_id": 1}, "unique": True})
    shop.clustered.insert_many({"_id": n} for n in range(500))
    shop.create_collection("pictured", changeStreamPreAndPostImages={"enabled": True})
    shop.create_collection(
        "packed", storageEngine={"wiredTiger": {"configString": "block_compressor=zstd"}}
    )
    shop.create_collection(
        "weather", timeseries={"timeField": "at", "metaField": "where", "granularity": "hours"}
    )
    start = moment(2026)
    shop.weather.insert_many(
        {"at": start + datetime.timedelta(hours=n), "where": n % 3, "v": n * 0.5}
        for n in range(3000)
    )
    shop.weather.create_index([("where", 1), ("at", -1)])
    indexed(shop)
    shop.create_collection(
        "seen",
        viewOn="posts",
        pipeline=[{"$match": {"n": {"$gt": 1.0}}}],
        collation={"locale": "fr"},
    )
    shop.create_collection("averages", viewOn="weather", pipeline=[])
    shop["system.js"].insert_one({"_id": "f", "value": bson.Code("function() {}")})
    for name in ODD:
        client["odd-Ü"][name].insert_one({"name": name})
    client.admin.notes.insert_one({"kept": True})


def indexed(shop: Any) -> None:
    posts = shop.posts
    posts.insert_many(
        {"n": n, "text": f"word{n}", "at": [n % 90, 1], "deep": {"x": n}} for n in range(2000)
    )
    posts.create_index("n", unique=True)
    posts.create_index([("text", "text")], default_language="german", weights={"text": 3})
    posts.create_index([("deep.x", "hashed")])
    posts.create_index("deep", partialFilterExpression={"n": {"$gt": 5.0}}, name="part")
    posts.create_index([("n", -1), ("text", 1)], collation={"locale": "de"}, sparse=True)
    posts.create_index([("at", "2d")])
    posts.create_index([("$**", 1)], wildcardProjection={"deep": 0})
    posts.create_index("when", expireAfterSeconds=3600)
    posts.create_index("text", hidden=True, name="hidden one")


def test_a_restored_server_has_all_that_there_was(stack: Cli, source: Any) -> None:
    furnished(source)
    saved = taken(stack, "mongodb")
    with mongo_as(stack, None, "copy") as copy:
        copy.shop.posts.create_index("n")  # as the file's indexes are made
        loaded(stack, "copy", saved)
        assert kinds(copy) == kinds(source)
        assert everything(copy) == everything(source)
        in_order = [one["_id"] for one in copy.shop.ring.find()]
        assert in_order == [1000 - n for n in range(30, 80)]
        assert list(copy.shop.seen.find({}, {"_id": 0, "n": 1}).limit(1)) == [{"n": 2}]
        assert copy.shop.weather.count_documents({"where": 1}) == 1000
        assert copy.admin.notes.count_documents({}) == 1
        trials = proved(stack, "copy", saved.taken)
        assert failed(trials) == {}
        assert {"shop.types", "shop.seen", "shop.weather", "odd-Ü.%24", "users"} <= trials.keys()
        assert "bucket" in trials["shop.weather"].detail
    held = everything(source)
    assert saved.taken.counts["shop.system.buckets.weather"] == len(
        held["shop.system.buckets.weather"]
    )
    for name, documents in held.items():
        assert saved.taken.content[name] == digest(documents)
        assert saved.taken.counts[name] == len(documents)


def test_what_no_driver_would_make_comes_back_as_it_was(stack: Cli, source: Any) -> None:
    empty = bson.Timestamp(0, 0)
    source.shop.stamps.insert_many([{"_id": n, "x": 0.0} for n in range(12_000)])
    source.shop.stamps.update_one({"_id": 7}, {"$set": {"u": empty}})
    dotted = {"$setField": {"field": "a.b", "input": "$$ROOT", "value": empty}}
    source.shop.stamps.update_one({"_id": 8}, [{"$replaceWith": dotted}])
    names = ["a..b", "line\nend", "q" * 240, "한" * 25]
    for name in names:
        source.shop.command("create", name)
        source.shop.command("insert", name, documents=[{"_id": n} for n in range(2500)])
    saved = taken(stack, "mongodb")
    with mongo_as(stack, None, "copy") as copy:
        loaded(stack, "copy", saved)
        assert copy.shop.stamps.find_one({"_id": 7}) == {"_id": 7, "x": 0.0, "u": empty}
        assert copy.shop.stamps.find_one({"_id": 8}) == source.shop.stamps.find_one({"_id": 8})
        assert copy.shop.stamps.count_documents({}) == 12_000
        for name in names:
            assert copy.shop.command("count", name)["n"] == 2500
        assert failed(proved(stack, "copy", saved.taken)) == {}
        for name in names:
            source.shop.command("drop", name)
            copy.shop.command("drop", name)


#: Values that extended JSON has in a form that an app can write itself, and ones of no date.
AMBIGUOUS = {"$oid": "nope"}, {"$numberInt": "5"}, {"$date": bson.DatetimeMS(2**62)}


@pytest.mark.parametrize("literal", AMBIGUOUS)
def test_fields_that_look_like_extended_json_come_back_exactly(
    stack: Cli, source: Any, literal: dict[str, Any]
) -> None:
    shop = source.shop
    shop.create_collection(
        "seen", viewOn="item", pipeline=[{"$project": {"x": {"$literal": literal}}}]
    )
    partial = {"z": {"$eq": literal}}
    shop.command(
        "createIndexes",
        "item",
        indexes=[{"key": {"a": 1}, "name": "a", "partialFilterExpression": partial}],
    )
    shop.item.insert_one({"_id": 1})
    saved = taken(stack, "mongodb")
    assert [text.partition(":")[0] for text in saved.told] == ["shop.item", "shop.seen"]
    with mongo_as(stack, None, "copy") as copy:
        loaded(stack, "copy", saved)
        assert failed(proved(stack, "copy", saved.taken)) == {}
        exact = bson.codec_options.CodecOptions(document_class=bson.raw_bson.RawBSONDocument)
        for asked in {"listIndexes": "item"}, {"listCollections": 1, "filter": {"name": "seen"}}:
            held = [
                of.shop.command(asked, codec_options=exact)["cursor"]["firstBatch"]
                for of in (source, copy)
            ]
            assert (
                held[0][-1].get("options", held[0][-1]).raw
                == held[1][-1].get("options", held[1][-1]).raw
            )


def test_metadata_of_a_version_before_is_read_or_told_by_its_name() -> None:
    head = '{"collectionName": "v", "type": "view", "uuid": "", "indexes": [], "options": '
    text = head + '{"viewOn": "c", "pipeline": [{"$match": {"n": %s}}]}}'
    found = collections.read("shop/v.metadata.json", (text % '{"$numberInt":"5"}').encode())
    assert found.options["pipeline"] == [{"$match": {"n": 5}}]
    with pytest.raises(StepError, match=r"shop/v\.metadata"):
        collections.read("shop/v.metadata.json", (text % '{"$oid":"nope"}').encode())
    saved = Memory()
    for name, literal in ("bad", '{"$oid":"nope"}'), ("good", "1"):
        saved.streams[f"shop/{name}.metadata.json"] = (text % literal).encode()
    assert len(list(load._every(saved, spare=True))) == 1
    with pytest.raises(StepError, match="shop/bad"):
        list(load._every(saved, spare=False))


def test_users_and_roles_come_along_and_those_of_the_file_keep_their_secrets(
    stack: Cli, source: Any
) -> None:
    reader = {"role": "read", "db": "shop"}
    source.admin.command("createRole", "teller", privileges=[], roles=[reader])
    role = {"role": "teller", "db": "admin"}
    source.extern.command("createUser", "bob", pwd="of the snapshot", roles=[role])
    source.shop.things.insert_one({"_id": 1})
    saved = taken(stack, "mongodb")
    assert saved.taken.notes["users"] == ["extern.bob"]
    assert saved.taken.notes["roles"] == ["admin.teller"]
    loaded(stack, "copy", saved)
    at = f"127.0.0.1:{stack.port(2)}/?authSource=extern&directConnection=true"
    with pymongo.MongoClient[Any](f"mongodb://bob:of%20the%20snapshot@{at}") as bob:
        assert bob.shop.things.find_one() == {"_id": 1}
    with mongo_as(stack, "shop", "copy") as shop, mongo_as(stack, None, "copy") as copy:
        assert shop.shop.things.find_one() == {"_id": 1}
        assert set(copy.admin.list_collection_names()) == {
            *("system.users", "system.roles", "system.version", "system.keys")
        }
        assert failed(proved(stack, "copy", saved.taken)) == {}
        copy.extern.command("dropUser", "bob")
        assert failed(proved(stack, "copy", saved.taken)) == {"users": "missing: extern.bob"}


def test_what_is_not_as_it_was_is_told_by_the_collections_name(stack: Cli, source: Any) -> None:
    for name in ("lost", "changed", "indexed", "gone", "ruled", "grown", "cut"):
        source.shop[name].insert_many({"_id": n, "n": n} for n in range(200))
    source.shop.indexed.create_index("n", unique=True)
    source.shop.create_collection("viewed", viewOn="lost", pipeline=[])
    for name in ("cut", "grown"):
        source.shop[name].create_index("at", expireAfterSeconds=3600)
    saved = taken(stack, "mongodb")
    loaded(stack, "copy", saved)
    assert failed(proved(stack, "copy", saved.taken)) == {}
    with mongo_as(stack, None, "copy") as copy:
        shop = copy.shop
        shop.lost.delete_one({"n": 7})
        shop.changed.update_one({"n": 7}, {"$set": {"n": 8}})
        shop.indexed.drop_index("n_1")
        shop.indexed.create_index("n")
        shop.gone.drop()
        shop.command("collMod", "ruled", validator={"n": 1})
        shop.command("collMod", "viewed", viewOn="lost", pipeline=[{"$match": {}}])
        shop.grown.insert_one({})
        shop.cut.delete_one({"n": 7})  # as one that has expired
        shop.changed.create_index("more")  # as the file may ask for
        found = failed(proved(stack, "copy", saved.taken))
    assert found.keys() == {
        f"shop.{name}"
        for name in ("lost", "changed", "indexed", "gone", "ruled", "grown", "viewed")
    }
    assert "199 documents instead of 200" in found["shop.lost"]
    assert "not those of the snapshot" in found["shop.changed"]
    assert "missing" in found["shop.gone"]


def test_a_snapshot_that_is_cut_off_is_refused(stack: Cli, source: Any) -> None:
    source.shop.many.insert_many({"n": n} for n in range(100))
    saved = taken(stack, "mongodb")
    whole = dict(saved.streams)
    for name, keep in (("many.bson", -1), ("many.bson", 2), ("many.metadata.json", -5)):
        saved.streams = whole | {f"shop/{name}": whole[f"shop/{name}"][:keep]}
        with mongo_as(stack, None, "copy") as copy:
            wiped(copy)
        with pytest.raises(StepError, match=r"cut off|cannot be read"):
            loaded(stack, "copy", saved)
    saved.streams = whole | {"shop/many.bson": b"\1\0\0\0" + whole["shop/many.bson"]}
    with mongo_as(stack, None, "copy") as copy:
        wiped(copy)
    with pytest.raises(StepError, match="no BSON"):
        loaded(stack, "copy", saved)


def test_what_has_documents_is_not_replaced(stack: Cli, source: Any) -> None:
    source.shop.things.insert_one({"_id": 1})
    saved = taken(stack, "mongodb")
    with mongo_as(stack, None, "copy") as copy:
        copy.shop.things.insert_one({"_id": 2})
        with pytest.raises(StepError, match=r"shop\.things has documents"):
            loaded(stack, "copy", saved)
        assert copy.shop.things.find_one() == {"_id": 2}


def test_nothing_expires_while_it_is_restored(stack: Cli, source: Any) -> None:
    source.shop.old.create_index("at", expireAfterSeconds=10**9)
    source.shop.old.insert_one({"at": moment(2020)})
    saved = taken(stack, "mongodb")

    class Slow(Memory):
        def read(self, name: str) -> Iterator[bytes]:
            with mongo_as(stack, None, "copy") as copy:
                seen.append(copy.admin.command("getParameter", 1, ttlMonitorEnabled=1))
            return super().read(name)

    seen: list[Any] = []
    slow = Slow()
    slow.streams, slow.taken = saved.streams, saved.taken
    loaded(stack, "copy", slow)
    with mongo_as(stack, None, "copy") as copy:
        seen.append(copy.admin.command("getParameter", 1, ttlMonitorEnabled=1))
    on = [one["ttlMonitorEnabled"] for one in seen]
    assert False in on
    assert on[-1] is True


class Meddled(Memory):
    """Calls `act` when the first document of a stream is written."""

    def __init__(self, stream: str, act: Any) -> None:
        super().__init__()
        self._stream, self._act = stream, act

    def stream(self, name: str, *, keep: bool = False) -> Any:
        if name == self._stream:
            self._stream = ""
            self._act()
        return super().stream(name, keep=keep)


def window(client: Any) -> int:
    return int(client.admin.command("getParameter", 1, **{_WINDOW: 1})[_WINDOW])


def test_the_history_is_kept_while_it_is_taken_and_put_back_also_after_an_error(
    stack: Cli, source: Any
) -> None:
    source.shop.things.insert_one({})
    seen: list[int] = []
    taken(stack, "mongodb", Meddled("shop/things.bson", lambda: seen.append(window(source))))
    assert seen[0] >= 900
    assert window(source) == 300

    def refuse() -> None:
        seen.append(window(source))
        raise MngdbError("the store is full")

    with pytest.raises(MngdbError, match="store is full"):
        taken(stack, "mongodb", Meddled("shop/things.bson", refuse))
    assert seen[1] >= 900
    assert window(source) == 300
    source.admin.command("setParameter", 1, **{_WINDOW: 7777})  # as one that was killed leaves it
    taken(stack, "mongodb")
    assert window(source) == 300


def test_a_collection_that_is_renamed_dropped_or_made_is_whole_or_not_there(
    stack: Cli, source: Any
) -> None:
    shop = source.shop
    for name in ("a-first", "dropped", "renamed", "swapped", "over", "still"):
        shop[name].insert_many({"_id": f"{name}{n}", "fill": "x" * 1000} for n in range(400))
    shop.over.create_index("fill")

    class Listed(Memory):
        """Everything is listed by now, and nothing is read."""

        def expect(self, size: int) -> None:
            shop.dropped.drop()
            shop.renamed.rename("renamed-since")
            shop.swapped.rename("over", dropTarget=True)
            shop.made.insert_one({})
            shop.still.delete_many({})

    saved = taken(stack, "mongodb", Listed())
    notes = saved.taken.notes
    assert set(notes["dropped"]) == {"shop.dropped", "shop.over"}
    assert set(notes["late"]) == {"shop.renamed", "shop.swapped"}
    assert {name: one for name, one in saved.taken.counts.items() if name.startswith("shop.")} == {
        f"shop.{name}": 400 for name in ("a-first", "renamed", "swapped", "still")
    }
    assert not any("dropped" in name or "made" in name for name in saved.names)
    loaded(stack, "copy", saved)
    assert failed(proved(stack, "copy", saved.taken)) == {}


def test_one_that_is_dropped_in_the_middle_is_not_half_there(stack: Cli, source: Any) -> None:
    source.shop.large.insert_many({"fill": "x" * 100_000} for _ in range(600))

    class Dropping(Memory):
        def wrote(self, name: str) -> None:
            if name == "shop/large.bson":
                source.shop.large.drop()

    saved = taken(stack, "mongodb", Dropping())
    assert saved.taken.notes["dropped"] == ["shop.large"]
    assert "shop.large" not in saved.taken.counts
    assert not [name for name in saved.names if "large" in name]


class Writers:
    """Threads that change a server in every way until the block ends. What one of them may meet
    because of another one is no fault."""

    def __init__(self, at: str) -> None:
        self._at = at
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(one,)) for one in self._ways()]
        self.rounds = {one.__name__: 0 for one in self._ways()}
        self.faults: list[BaseException] = []

    def _ways(self) -> list[Any]:
        return [self._insert, self._pay, self._define, self._move]

    def _run(self, way: Any) -> None:
        with pymongo.MongoClient[Any](self._at) as client:
            while not self._over.is_set():
                try:
                    way(client, self.rounds[way.__name__])
                    self.rounds[way.__name__] += 1
                except PyMongoError as error:
                    if not getattr(error, "has_error_label", lambda _: 0)(
                        "TransientTransactionError"
                    ) and "dropped" not in str(error):
                        self.faults.append(error)
                        return

    def _insert(self, client: Any, n: int) -> None:
        client.shop.orders.insert_many({"n": n, "fill": "x" * 200} for _ in range(20))
        client.shop.orders.update_many({"n": n - 3}, {"$inc": {"seen": 1}})
        client.shop.orders.delete_many({"n": n - 9})
        client.shop.ring.insert_one({"n": n})

    def _pay(self, client: Any, n: int) -> None:
        with client.start_session() as session, session.start_transaction():
            take = {"$inc": {"euros": -1}}
            client.bank.left.update_one({"_id": n % 10}, take, session=session)
            client.bank.right.update_one(
                {"_id": n % 7}, {"$inc": {"euros": 1}}, upsert=True, session=session
            )

    def _define(self, client: Any, n: int) -> None:
        client.shop.orders.create_index("n")
        client.shop.orders.drop_index("n_1")
        client.shop.command("collMod", "orders", validationLevel=("off", "moderate")[n % 2])
        client[f"db{n % 5}"].short.insert_one({})
        client.drop_database(f"db{(n + 2) % 5}")

    def _move(self, client: Any, n: int) -> None:
        shop = client.shop
        shop.fresh.insert_many({"of": n, "fill": "x" * 100} for _ in range(50))
        shop.fresh.rename("stale", dropTarget=True)
        time.sleep(0.02)

    def __enter__(self) -> Writers:
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for one in self._threads:
            one.join()


def at_time(text: str) -> bson.Timestamp:
    seconds, _, number = text.partition(".")
    return bson.Timestamp(int(seconds), int(number))


def test_writes_transactions_and_renames_meanwhile_leave_one_moment(
    stack: Cli, source: Any
) -> None:
    shop = source.shop
    for name in ("orders", "large", "zlast"):
        shop[name].insert_many({"n": -n, "fill": "y" * 300} for n in range(25_000))
    shop.create_collection("ring", capped=True, size=1_000_000)
    source.bank.left.insert_many({"_id": n, "euros": 100_000} for n in range(10))
    source.bank.right.insert_one({"_id": 0, "euros": 0})
    with Writers(url(stack, "mongodb")) as writers:
        time.sleep(0.3)
        saved = taken(stack, "mongodb", Slowly())
        when = at_time(saved.taken.position["cluster_time"])
        then = everything(source, when)
    assert writers.faults == []
    assert min(writers.rounds.values()) > 3, writers.rounds
    late = saved.taken.notes["late"]
    steady = {f"shop.{name}" for name in ("orders", "large", "zlast")} | {"bank.left", "bank.right"}
    assert steady <= saved.taken.content.keys()
    compared = [name for name in saved.taken.content if name in then and name not in late]
    assert steady <= set(compared)
    assert {name: saved.taken.content[name] for name in compared} == {
        name: digest(then[name]) for name in compared
    }
    for name in ("shop.fresh.bson", "shop.stale.bson"):
        held = bson.decode_all(saved.streams.get(name.replace(".", "/", 1), b""))
        assert len(held) in (0, 50)
        assert len({one["of"] for one in held}) <= 1
    total = sum(
        one["euros"]
        for name in ("left", "right")
        for one in bson.decode_all(saved.streams[f"bank/{name}.bson"])
    )
    assert total == 1_000_000
    loaded(stack, "copy", saved)
    assert failed(proved(stack, "copy", saved.taken)) == {}


class Slowly(Memory):
    """A store that takes its time."""

    def stream(self, name: str, *, keep: bool = False) -> Any:
        time.sleep(0.03)
        return super().stream(name, keep=keep)


def test_a_server_that_is_killed_in_the_middle_ends_it_with_an_error(cli: Cli) -> None:
    cli.write("mongodb: {port: PORT1}\napps: {shop: {mongodb: shop}}\n")
    cli.ok("up")
    with mongo_as(cli) as client:
        client.shop.large.insert_many({"fill": "x" * 100_000} for _ in range(600))
    with pytest.raises(StepError, match="MongoDB ended the backup"):
        taken(cli, "mongodb", Meddled("shop/large.bson", lambda: faults.kill(cli, "mng-mongo")))
    cli.ok("up")
    assert taken(cli, "mongodb").taken.counts["shop.large"] == 600


def test_an_empty_server_without_apps(cli: Cli) -> None:
    cli.write("mongodb: {port: PORT1}\ninstances: {copy: {engine: mongodb, port: PORT2}}\n")
    cli.ok("up")
    saved = taken(cli, "mongodb")
    loaded(cli, "copy", saved)
    assert failed(proved(cli, "copy", saved.taken)) == {}


def test_a_standalone_server_is_told_what_it_lacks(cli: Cli, tmp_path: Path) -> None:
    at = f"mongodb://127.0.0.1:{cli.port(1)}/?directConnection=true"
    cli.write(f'mongodb: {{target: {{external: {{url: "{at}"}}}}}}\n')
    (tmp_path / "data").mkdir()
    server = programs.find("mongodb", None, None, None).server
    options = [
        "--dbpath",
        str(tmp_path / "data"),
        "--port",
        str(cli.port(1)),
        "--bind_ip",
        "127.0.0.1",
    ]
    with subprocess.Popen([server, *options], stdout=subprocess.DEVNULL) as process:
        try:
            with pymongo.MongoClient[Any](at) as client:
                client.admin.command("ping")  # waits until it listens
            with pytest.raises(StepError, match="standalone") as told:
                taken(cli, "mongodb")
        finally:
            process.kill()
    assert "--replSet" in str(told.value.hint)


@pytest.mark.parametrize("more", [{}, {"encryptedFields": {"fields": []}}])
def test_a_restored_server_is_of_a_replica_set(cli: Cli, more: dict[str, Any]) -> None:
    """Also where there is so much that it is filled while it is of none, and with a collection
    that is then refused."""
    cli.write(
        "mongodb: {port: PORT1}\napps: {shop: {mongodb: shop}}\n"
        f"backup: {{store: {cli.folder / 'store'}}}\n"
    )
    cli.ok("up")
    with mongo_as(cli) as live:
        for number in range(130):
            live.shop.item.insert_one({"n": number, "fill": "x" * (2 << 20)})
        live.shop.item.create_index("n")
        live.shop.command("create", "other", **more)
    cli.ok("backup")
    cli.ok("restore", "mongodb", "--latest")
    client: Any = pymongo.MongoClient(cli.ok("url", "mongodb", "--restored").strip())
    with client as there:
        assert there.admin.command("hello")["setName"] == "mng"
        assert there.local["oplog.rs"].find_one({"op": "n"}) is not None
        assert there.shop.item.count_documents({}) == 130
        assert set(there.shop.item.index_information()) == {"_id_", "n_1"}
        (other,) = there.shop.list_collections(filter={"name": "other"})
        assert other["options"].keys() == more.keys()
    (log,) = cli.state.glob("restored/*/servers/*/server.log")
    assert log.read_text().count('"MongoDB starting"') == (1 if more else 2)
