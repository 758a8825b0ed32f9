"""What a MongoDB server can hold, how that is compared, and threads that change it."""

from __future__ import annotations

import datetime
import threading
import time
import uuid
from typing import Any

import bson
import pymongo
import xxhash
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

_OWN = {"admin", "config", "local"}


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
