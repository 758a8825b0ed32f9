"""Snapshots of a real mongod, and a second one that is made of them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import pymongo
import pytest

from mngdb.engines.mongodb import collections, load
from mngdb.errors import MngdbError, StepError
from mngdb.targets.local import programs
from tests.conftest import Cli
from tests.live import faults
from tests.live.clients import brought_up, mongo_as, url
from tests.live.mongodb_content import (
    Writers,
    at_time,
    digest,
    everything,
    failed,
    furnished,
    kinds,
    moment,
    wiped,
)
from tests.live.snapshots import Memory, loaded, proved, taken

pytestmark = pytest.mark.live

FILE = """
mongodb: {port: PORT1}
instances: {copy: {engine: mongodb, port: PORT2}}
apps: {shop: {mongodb: shop, copy: shop}}
"""
stack = brought_up(FILE)
_WINDOW = "minSnapshotHistoryWindowInSeconds"


@pytest.fixture
def source(stack: Cli) -> Iterator[Any]:
    """The administrator of the one that snapshots are taken of; both are empty."""
    with mongo_as(stack) as client, mongo_as(stack, None, "copy") as copy:
        wiped(client)
        wiped(copy)
        yield client


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
