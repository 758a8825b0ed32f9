"""The oplog of a real mongod, followed, and a second server that is brought to moments in it."""

from __future__ import annotations

import datetime
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import bson
import pymongo
import pytest
from msgspec.structs import replace

from mngdb.engines.mongodb import ENGINE
from mngdb.errors import ConnectError, MngdbError, StepError
from mngdb.model import Access, DesiredInstance
from mngdb.ops.context import Context
from mngdb.secret import Secret
from mngdb.snapshot import Feed, Point, Taken
from mngdb.spec.load import load
from tests.conftest import Cli
from tests.live import faults
from tests.live.clients import brought_up, mongo_as
from tests.live.mongodb_content import everything, failed, furnished, kinds, moment, wiped
from tests.live.snapshots import Memory, MemoryFeed, loaded, proved, taken

pytestmark = pytest.mark.live

FILE = """
mongodb: {port: PORT1}
instances: {copy: {engine: mongodb, port: PORT2}}
apps: {shop: {mongodb: shop, copy: shop}}
"""
stack = brought_up(FILE)
#: Moments that are restored.
MOMENTS = 100 if os.environ.get("MNGDB_TESTS") == "all" else 20


@pytest.fixture
def source(stack: Cli) -> Iterator[Any]:
    """The administrator of the one whose log is followed; both are empty."""
    with mongo_as(stack) as client, mongo_as(stack, None, "copy") as copy:
        wiped(client)
        wiped(copy)
        yield client


def now(client: Any) -> float:
    """The server's clock, and a moment later nobody has written."""
    found = client.admin.command("hello")["localTime"].replace(tzinfo=datetime.UTC).timestamp()
    time.sleep(0.002)
    return float(found)


def follow(access: Access, asked: DesiredInstance, feed: Feed) -> None:
    """What the agent runs."""
    assert ENGINE.follow is not None
    ENGINE.follow(access, asked, feed)


class Followed(MemoryFeed):
    """A follower in a thread of its own, until the block ends; what ended it before is `error`."""

    def __init__(self, cli: Cli, before: MemoryFeed | None = None) -> None:
        super().__init__()
        if before is not None:
            self.pieces, self.begun = before.pieces, before.begun
        self.gaps: list[bool] = []
        self.error: MngdbError | None = None
        environ = cli.environ()
        context = Context.open(load([cli.folder / "mngdb.yaml"], environ), environ)
        self.asked = context.asked(context.instance("mongodb"))
        self.access = context.admin(self.asked)
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            follow(self.access, self.asked, self)
        except MngdbError as error:
            self.error = error

    def __enter__(self) -> Followed:
        self._thread.start()
        until(lambda: self.gaps or self.error)
        return self

    def begin(self, point: Point, since: float | None = None) -> None:
        before = self.stored if self.begun else point.position
        super().begin(point, since)
        self.gaps.append(point.position != before)

    def __exit__(self, *_: object) -> None:
        self.over = True
        begun = time.monotonic()
        self._thread.join(10)
        assert not self._thread.is_alive()
        assert time.monotonic() < begun + 2

    def reach(self, moment: float) -> None:
        """Wait until the archive has everything up to a moment."""
        until(lambda: self.moment >= moment or self.error)
        if self.error is not None:
            raise self.error

    @property
    def moment(self) -> float:
        """How far it has come."""
        said = [*self.beats[-1:], *(one.stamps[-1][1] for one in self.pieces[-1:])]
        return max(said, default=0.0)

    def entries(self) -> list[dict[str, Any]]:
        """Everything that it was given."""
        return [one for piece in self.pieces for one in bson.decode_all(piece.data)]


def until(there: Callable[[], Any]) -> None:
    """Wait, for a while."""
    end = time.monotonic() + 20
    while not there():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.02)


def restore(stack: Cli, saved: Memory, feed: MemoryFeed, then: float) -> tuple[Any, Any]:
    """The content of a server of that moment, and its collections' options and indexes."""
    saved.feed, saved.until = feed, then
    with mongo_as(stack, None, "copy") as copy:
        wiped(copy)
        loaded(stack, "copy", saved)
        return everything(copy), kinds(copy)


def test_everything_that_is_done_is_repeated(stack: Cli, source: Any) -> None:
    shop = source.shop
    furnished(source)
    with Followed(stack) as feed:
        saved = taken(stack, "mongodb")
        change(source)
        then = now(source)
        wanted = everything(source), kinds(source)
        shop.after.insert_one({"_id": "after"})
        shop.posts.drop()
        feed.reach(then)
    found = restore(stack, saved, feed, then)
    assert found[1] == wanted[1]
    assert found[0] == wanted[0]
    with mongo_as(stack, None, "copy") as copy:
        assert failed(proved(stack, "copy", uncounted(saved.taken))) == {}
        ring = [one["_id"] for one in copy.shop.ring.find()]
    assert ring == [one["_id"] for one in source.shop.ring.find()]


def uncounted(of: Taken) -> Taken:
    """As for a later moment than the snapshot's own."""
    return replace(of, counts={}, content={})


def change(client: Any) -> None:
    """Everything that can be written, and every way to define things."""
    shop = client.shop
    shop.types.update_one({"_id": ""}, {"$set": {"a.b.c": [1, {"x": 1}], "d": None}})
    shop.types.update_one({"_id": ""}, {"$push": {"a.b.c": {"$each": [5, 6], "$position": 1}}})
    shop.types.update_one({"_id": ""}, {"$unset": {"d": 1}, "$set": {"a.b.c.0": "first"}})
    shop.types.replace_one({"_id": None}, {"whole": bson.Binary(b"\0\1\xff")})
    shop.types.update_many({}, {"$inc": {"count": 1}}, upsert=True)
    shop.types.update_one({"_id": "new"}, {"$setOnInsert": {"n": 1}}, upsert=True)
    shop.types.delete_one({"_id": {"a": 1}})
    shop.types.insert_one({"_id": "large", "fill": "z" * (2**24 - 40)})  # as large as can be
    shop.empty.insert_many({"_id": n, "fill": "x" * 1000} for n in range(3000))
    shop.empty.update_many({}, [{"$set": {"n": {"$multiply": ["$_id", 2]}}}])
    shop.empty.delete_many({"n": {"$gt": 4000}})
    shop.ring.insert_many({"_id": n} for n in range(20))
    shop.clustered.delete_many({"_id": {"$lt": 10}})
    shop.cased.insert_one({"_id": "c"})
    shop.cased.update_one({"_id": "C"}, {"$set": {"found": True}})
    shop.weather.insert_many(
        {"at": moment(2026) + datetime.timedelta(hours=n), "where": n % 3, "v": n}
        for n in range(24)
    )
    shop.weather.delete_many({"where": 1})
    transact(client)
    shop.posts.drop_index("n_1")
    shop.posts.create_index("n", name="again", unique=True)
    shop.posts.create_index("soon", expireAfterSeconds=100)
    shop.command("collMod", "posts", index={"name": "soon_1", "expireAfterSeconds": 200})
    shop.command("collMod", "guarded", validator={"n": {"$gt": 1}}, validationLevel="moderate")
    shop.command("insert", "guarded", documents=[{"n": 0}], bypassDocumentValidation=True)
    shop.cased.rename("renamed")
    shop.renamed.insert_one({"_id": "after"})
    shop.create_collection("cased").insert_one({"_id": "another"})
    shop.pictured.insert_one({"_id": 1})
    shop.pictured.rename("packed", dropTarget=True)
    shop.empty.aggregate([{"$match": {"n": {"$lt": 10}}}, {"$out": "put"}])
    shop.empty.aggregate([{"$match": {"n": {"$gt": 3990}}}, {"$out": "cased"}])
    shop.empty.aggregate([{"$group": {"_id": "$n"}}, {"$merge": {"into": "merged"}}])
    shop.command("convertToCapped", "put", size=100_000)
    shop.create_collection("later", viewOn="put", pipeline=[{"$match": {"n": 4}}])
    shop.command("collMod", "seen", viewOn="posts", pipeline=[{"$match": {"n": {"$lt": 3}}}])
    shop.drop_collection("averages")
    shop.create_collection("rain", timeseries={"timeField": "t"}, expireAfterSeconds=10**9)
    shop.rain.insert_one({"t": moment(2026)})
    shop.rain.create_index("t")
    shop.create_collection("gone", timeseries={"timeField": "t"})
    shop.gone.insert_one({"t": moment(2026)})
    shop.gone.drop()
    shop.create_collection("small", capped=True, size=4096, max=3)
    shop.small.insert_many({"n": n} for n in range(10))
    client.drop_database("odd-Ü")
    client["odd-Ü"]["a b"].insert_one({"back": True})
    client.temporary.a.insert_one({})
    client.temporary.create_collection("v", viewOn="a")
    client.drop_database("temporary")
    shop["system.js"].update_one({"_id": "f"}, {"$set": {"value": 1}})
    client.admin.notes.insert_one({"also": 1})


def transact(client: Any) -> None:
    shop = client.shop
    with client.start_session() as session:
        with session.start_transaction():
            shop.bank.insert_many([{"_id": n, "euros": 0} for n in range(10)], session=session)
            shop.posts.update_many({"n": {"$lt": 5}}, {"$set": {"in": 1}}, session=session)
            shop.fresh.insert_one({"_id": 1}, session=session)
        with session.start_transaction():
            shop.bank.delete_many({}, session=session)
            session.abort_transaction()
        with session.start_transaction():  # larger than one entry
            for n in range(4):
                shop.bank.insert_one({"_id": f"l{n}", "fill": "y" * 9_000_000}, session=session)


class Steps:
    """Writes step by step; what there was after each of them, and when."""

    def __init__(self, client: Any, seed: int) -> None:
        self.known: list[tuple[float, Any]] = []
        self._client = client
        self._random = random.Random(seed)

    def step(self, n: int) -> None:
        """A random write, which is acknowledged."""
        shop, pick = self._client.shop, self._random
        name = pick.choice(["a", "b", "c"])
        match pick.choices(range(6), (6, 5, 2, 2, 1, 1))[0]:
            case 0:
                shop[name].insert_many(
                    {"_id": f"{n}-{i}", "n": i, "v": pick.randbytes(20)} for i in range(5)
                )
            case 1:
                shop[name].update_many({"n": pick.randrange(5)}, {"$set": {f"at.{n % 7}": n}})
            case 2:
                shop[name].delete_many({"n": pick.randrange(5)})
            case 3:
                self._transfer(n)
            case 4:
                shop[name].create_index([("n", 1), ("at", n % 2 or -1)], name="one")
                shop[name].drop_index("one")
                shop[name].create_index("n")
            case 5:
                shop[name].insert_one({})
                shop[name].rename(pick.choice([x for x in "abc" if x != name]), dropTarget=True)

    def _transfer(self, n: int) -> None:
        with self._client.start_session() as session, session.start_transaction():
            for name in "abc":
                self._client.shop[name].update_one(
                    {"_id": "sum"}, {"$inc": {"v": n}}, upsert=True, session=session
                )

    def run(self, count: int) -> None:
        for n in range(count):
            self.step(n)
            self.known.append((now(self._client), (everything(self._client), kinds(self._client))))


def test_random_moments(stack: Cli, source: Any) -> None:
    steps = Steps(source, MOMENTS)
    with Followed(stack) as feed:
        for name in "abc":
            source.shop[name].insert_many({"_id": n, "n": n % 5} for n in range(50))
        writer = threading.Thread(target=steps.run, args=(MOMENTS * 3,))
        writer.start()
        until(lambda: len(steps.known) > 3)
        saved = taken(stack, "mongodb")
        writer.join()
        feed.reach(steps.known[-1][0])
    known = [one for one in steps.known if one[0] >= saved.taken.moment]
    assert len(known) > MOMENTS
    for then, wanted in random.Random(1).sample(known, MOMENTS):
        assert restore(stack, saved, feed, then) == wanted


def test_a_dump_among_renames_leads_on(stack: Cli, source: Any) -> None:
    """What is read later than the rest has nothing twice, and what the lists missed is there."""
    shop = source.shop
    for name in ("a-first", "dropped", "renamed", "swapped", "over", "indexed", "reset"):
        shop[name].insert_many({"_id": f"{name}{n}", "n": n} for n in range(50))
    shop.indexed.create_index("n", name="old")
    shop.indexed.create_index("at", expireAfterSeconds=1000)
    shop.create_collection("ring", capped=True, size=5000)
    shop.ring.insert_many({"_id": n, "fill": "x" * 100} for n in range(30))

    class Listed(Memory):
        """Everything is listed by now, and nothing is read."""

        def expect(self, size: int) -> None:
            shop.dropped.drop()
            shop.renamed.update_many({}, {"$inc": {"n": 1}})
            shop.renamed.rename("renamed-since")
            shop["renamed-since"].update_many({}, {"$inc": {"n": 1}})
            shop.swapped.rename("over", dropTarget=True)
            shop.over.insert_one({"_id": "more"})
            shop.made.insert_one({"_id": 1})
            shop.made.create_index("n", unique=True)
            shop.indexed.drop_index("old")
            shop.indexed.create_index("n", name="new")
            shop.command("collMod", "indexed", validator={"n": {"$gte": 0}})
            later = {"name": "at_1", "expireAfterSeconds": 2000}
            shop.command("collMod", "indexed", index=later)
            shop.reset.drop()
            shop.reset.insert_one({"_id": "new", "n": 1})
            shop.ring.rename("circle")
            shop.circle.insert_many({"_id": n, "fill": "y" * 100} for n in range(100, 120))

    with Followed(stack) as feed:
        saved = taken(stack, "mongodb", Listed())
        shop.over.update_many({}, {"$inc": {"n": 1}})
        shop.made.insert_one({"_id": 2, "n": 2})
        shop.reset.update_one({"_id": "new"}, {"$inc": {"n": 1}})
        then = now(source)
        wanted = everything(source), kinds(source)
        shop.indexed.drop()
        feed.reach(then)
    assert restore(stack, saved, feed, saved.taken.moment)
    assert restore(stack, saved, feed, then) == wanted


def test_logins_follow_the_log_but_those_of_the_file(stack: Cli, source: Any) -> None:
    reader = {"role": "read", "db": "shop"}
    source.extern.command("createUser", "bob", pwd="first", roles=[])
    source.shop.things.insert_one({"_id": 1})
    with Followed(stack) as feed:
        saved = taken(stack, "mongodb")
        source.admin.command("createRole", "teller", privileges=[], roles=[reader])
        role = {"role": "teller", "db": "admin"}
        source.extern.command("updateUser", "bob", pwd="second", roles=[role])
        source.extern.command("createUser", "eve", pwd="eve", roles=[role])
        source.admin.command("updateUser", "shop", pwd="stolen")
        then = now(source)
        source.extern.command("dropUser", "bob")
        feed.reach(then)
    restore(stack, saved, feed, then)
    at = f"127.0.0.1:{stack.port(2)}/?authSource=extern&directConnection=true"
    for name, password in (("bob", "second"), ("eve", "eve")):
        with pymongo.MongoClient[Any](f"mongodb://{name}:{password}@{at}") as client:
            assert client.shop.things.find_one() == {"_id": 1}
    with mongo_as(stack, "shop", "copy") as shop, mongo_as(stack, None, "copy") as copy:
        assert shop.shop.things.find_one() == {"_id": 1}
        assert {"tempusers", "temproles", "tempviews"}.isdisjoint(
            copy.admin.list_collection_names()
        )


def test_an_accident_is_undone_and_a_quiet_server_tells_time(stack: Cli, source: Any) -> None:
    source.shop.orders.insert_many({"_id": n} for n in range(1000))
    with Followed(stack) as feed:
        saved = taken(stack, "mongodb")
        source.shop.orders.insert_one({"_id": "last"})
        before = now(source)
        source.shop.orders.drop()
        feed.reach(now(source))
        count, at = len(feed.pieces), now(source)
        feed.reach(at + 3)  # nothing is written, which is told
        assert len(feed.pieces) == count
        assert feed.beats[-1] > at
    found, _ = restore(stack, saved, feed, before)
    assert len(found["shop.orders"]) == 1001
    found, _ = restore(stack, saved, feed, at + 3)
    assert "shop.orders" not in found


def test_killed_server_and_follower_lose_and_repeat_nothing(stack: Cli, source: Any) -> None:
    written = 0

    def write(count: int) -> None:
        nonlocal written
        source.shop.log.insert_many({"_id": written + n} for n in range(count))
        written += count

    write(10)
    with Followed(stack) as feed:
        saved = taken(stack, "mongodb")
        write(500)
        until(lambda: feed.pieces)
    write(500)  # nobody follows
    with Followed(stack, feed) as feed:
        write(500)
        faults.kill(stack, "mng-mongo")
        until(lambda: feed.error)
        assert isinstance(feed.error, ConnectError)
    stack.ok("up")
    write(500)
    with Followed(stack, feed) as feed:
        write(10)
        then = now(source)
        feed.reach(then)
    assert len(feed.begun) == 3
    assert feed.gaps == [False]
    stamps = [one["ts"] for one in feed.entries()]
    assert stamps == sorted(set(stamps))
    found, _ = restore(stack, saved, feed, then)
    assert len(found["shop.log"]) == written


def test_an_oplog_that_lacks_what_is_needed_is_begun_anew(stack: Cli, source: Any) -> None:
    source.shop.things.insert_one({"_id": 1})
    with Followed(stack) as feed:
        point = feed.begun[0]
    for wrong in (point.position - (100 << 32), point.position + (100 << 32)):
        old = MemoryFeed()
        old.begin(type(point)(point.branch, wrong))
        with Followed(stack, old) as again:
            source.shop.things.insert_one({})
            again.reach(now(source))
        assert again.gaps == [True]
        assert again.begun[1].position >= point.position
        assert [one["o"].keys() for one in again.entries() if one["op"] == "i"] == [{"_id"}]


def test_a_login_without_the_right_is_told_which(stack: Cli, source: Any) -> None:
    source.admin.command("createUser", "weak", pwd="weak", roles=[])
    try:
        feed = Followed(stack)
        access = replace(feed.access, user="weak", password=Secret("weak"))
        with pytest.raises(StepError, match="weak may not read the oplog") as told:
            follow(access, feed.asked, feed)
        assert 'db: "local"' in str(told.value.hint)
    finally:
        source.admin.command("dropUser", "weak")
