"""What an app may do in MongoDB, and what not: tried with exactly what `mngdb env` gives (B5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pymongo
import pytest
from pymongo.errors import OperationFailure

from tests.conftest import Cli
from tests.live.clients import mongo_as

pytestmark = pytest.mark.live

FILE = """
mongodb: {port: PORT1}
apps:
  shop: {mongodb: shop}
  blog: {mongodb: blog}
  viewer: {mongodb: {database: shop, access: readonly}}
"""


@pytest.fixture(scope="module")
def stack(module_cli: Cli) -> Cli:
    module_cli.write(FILE)
    module_cli.ok("up")
    with mongo_as(module_cli) as admin:
        admin.blog.posts.insert_one({"title": "mine"})
    return module_cli


@pytest.fixture(scope="module")
def shop(stack: Cli) -> Iterator[Any]:
    client: pymongo.MongoClient[Any]
    with pymongo.MongoClient(stack.env_of("shop")["MONGO_URI"]) as client:
        yield client


def test_host_port_user_and_password_of_env_log_in_too(stack: Cli) -> None:
    env = stack.env_of("shop")
    client: pymongo.MongoClient[Any]
    with pymongo.MongoClient(
        host=env["MONGO_HOST"],
        port=int(env["MONGO_PORT"]),
        username=env["MONGO_USER"],
        password=env["MONGO_PASSWORD"],
        authSource=env["MONGO_AUTH_SOURCE"],
        replicaSet=env["MONGO_REPLICA_SET"],
    ) as client:
        assert client[env["MONGO_DATABASE"]].things.count_documents({}) >= 0


def test_documents_are_written_read_changed_and_removed(shop: Any) -> None:
    users = shop.get_default_database().users
    users.insert_many([{"_id": n, "name": f"u{n}"} for n in range(10)])
    assert users.update_many({"_id": {"$lt": 5}}, {"$set": {"young": True}}).modified_count == 5
    assert users.find_one_and_update({"_id": 1}, {"$inc": {"n": 1}})["name"] == "u1"
    assert users.delete_many({"_id": {"$gte": 8}}).deleted_count == 2
    groups = users.aggregate([{"$group": {"_id": "$young", "n": {"$sum": 1}}}])
    assert {g["_id"]: g["n"] for g in groups} == {True: 5, None: 3}
    users.aggregate([{"$match": {"_id": 1}}, {"$out": "copies"}])
    assert shop.shop.copies.count_documents({}) == 1
    assert users.distinct("young") == [True]


def test_collections_and_indexes_are_made_and_dropped(shop: Any) -> None:
    made = shop.shop.create_collection("logs", capped=True, size=4096)
    made.create_index("at")
    assert set(made.index_information()) == {"_id_", "at_1"}
    made.drop_index("at_1")
    assert made.options()["capped"]
    made.rename("old_logs")
    assert "old_logs" in shop.shop.list_collection_names()
    shop.shop.old_logs.drop()


def test_transactions_and_change_streams_work(shop: Any) -> None:
    with shop.shop.watch() as stream:
        with shop.start_session() as session, session.start_transaction():
            shop.shop.orders.insert_one({"n": 1}, session=session)
            shop.shop.stock.insert_one({"n": -1}, session=session)
        seen = [next(stream)["ns"]["coll"] for _ in range(2)]
    assert seen == ["orders", "stock"]


REFUSED = {
    "read another database": lambda c: c.blog.posts.find_one(),
    "write another database": lambda c: c.blog.posts.insert_one({}),
    "make a database": lambda c: c.fresh.things.insert_one({}),
    "list another database": lambda c: c.blog.list_collection_names(),
    "drop another database": lambda c: c.drop_database("blog"),
    "make a user": lambda c: c.shop.command("createUser", "x", pwd="x", roles=[]),
    "make a user in admin": lambda c: c.admin.command("createUser", "x", pwd="x", roles=["root"]),
    "change its role": lambda c: c.admin.command("grantRolesToUser", "shop", roles=["root"]),
    "change its secret": lambda c: c.admin.command("updateUser", "shop", pwd="x"),
    "make a role": lambda c: c.shop.command("createRole", "x", privileges=[], roles=[]),
    "read users": lambda c: c.admin["system.users"].find_one(),
    "read the oplog": lambda c: c.local["oplog.rs"].find_one(),
    "watch the whole server": lambda c: c.watch().try_next(),
    "stop the server": lambda c: c.admin.command("shutdown"),
    "see others' work": lambda c: c.admin.command("currentOp", {"$all": True}),
    "end others' work": lambda c: c.admin.command("killOp", op=1),
    "set parameters": lambda c: c.admin.command("setParameter", 1, logLevel=0),
    "read options": lambda c: c.admin.command("getCmdLineOpts"),
    "read the log": lambda c: c.admin.command("getLog", "global"),
    "change the set": lambda c: c.admin.command("replSetStepDown", 1),
    "profile": lambda c: c.shop.command("profile", 0),
    "read what was profiled": lambda c: c.shop["system.profile"].find_one(),
    "compact": lambda c: c.shop.command("compact", "users"),
    "copy out": lambda c: c.shop.users.aggregate(
        [{"$out": {"db": "blog", "coll": "stolen"}}], allowDiskUse=False
    ),
    "look into others": lambda c: list(
        c.shop.users.aggregate([{"$unionWith": {"coll": "users", "pipeline": []}}, {"$out": {
            "db": "blog", "coll": "x"}}])
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_an_app_may_not(shop: Any, what: str) -> None:
    with pytest.raises(OperationFailure) as caught:
        REFUSED[what](shop)
    assert caught.value.code == 13, caught.value  # Unauthorized


def test_a_readonly_app_reads_and_never_writes(stack: Cli, shop: Any) -> None:
    shop.shop.seen.insert_one({"_id": 1})
    with mongo_as(stack, "viewer") as viewer:
        assert viewer.shop.seen.find_one() == {"_id": 1}
        assert viewer.shop.seen.count_documents({}) == 1
        assert "seen" in viewer.shop.list_collection_names()
        for write in (
            lambda: viewer.shop.seen.insert_one({}),
            lambda: viewer.shop.seen.update_one({}, {"$set": {"a": 1}}),
            lambda: viewer.shop.seen.delete_one({}),
            lambda: viewer.shop.seen.create_index("a"),
            lambda: viewer.shop.seen.drop(),
            lambda: viewer.shop.create_collection("more"),
            lambda: viewer.shop.seen.aggregate([{"$out": "more"}]),
        ):
            with pytest.raises(OperationFailure) as caught:
                write()
            assert caught.value.code == 13
