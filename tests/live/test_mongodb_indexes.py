"""Indexes from the file: made, changed, rebuilt on request, dropped on request (B9)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Cli
from tests.live.clients import converge, mongo_as, planned, said

pytestmark = pytest.mark.live

FILE = """
mongodb:
  port: PORT1
  databases:
    shop: {indexes: {INDEXES}}
apps: {shop: {mongodb: shop}}
"""


@pytest.fixture(scope="module")
def admin(module_cli: Cli) -> Iterator[Any]:
    write(module_cli, "")
    module_cli.ok("up")
    with mongo_as(module_cli) as client:
        yield client


@pytest.fixture
def shop(module_cli: Cli, admin: Any) -> Any:
    """The database without a collection, and a file that names no index."""
    for name in admin.shop.list_collection_names():
        if not name.startswith("system."):
            admin.shop.drop_collection(name)
    write(module_cli, "")
    module_cli.ok("up")
    return admin.shop


def write(cli: Cli, indexes: str) -> None:
    cli.write(FILE.replace("INDEXES", indexes))


def options(collection: Any, name: str) -> dict[str, Any]:
    found = dict(collection.index_information()[name])
    return {k: v for k, v in found.items() if k not in {"v", "key", "weights"}}


def test_indexes_of_every_kind_are_made_as_the_file_says(module_cli: Cli, shop: Any) -> None:
    write(
        module_cli,
        "users: [{keys: {email: 1}, unique: true}, {keys: {nick: 1}, sparse: true}, "
        "{keys: {age: 1}, partial: {age: {$gt: 18}}, name: adults}], "
        "messages: [{keys: {room: 1, at: -1}}, {keys: {text: text}}, {keys: {place: 2dsphere}}], "
        "tokens: [{keys: {expires: 1}, ttl: 0s}]",
    )
    assert {action for action, _ in said(converge(module_cli))} == {"create"}
    assert options(shop.users, "email_1") == {"unique": True}
    assert options(shop.users, "nick_1") == {"sparse": True}
    assert options(shop.users, "adults") == {"partialFilterExpression": {"age": {"$gt": 18}}}
    assert shop.messages.index_information()["room_1_at_-1"]["key"] == [("room", 1), ("at", -1)]
    assert {"text_text", "place_2dsphere"} <= set(shop.messages.index_information())
    assert options(shop.tokens, "expires_1") == {"expireAfterSeconds": 0}


def test_another_ttl_is_a_change_and_destroys_nothing(module_cli: Cli, shop: Any) -> None:
    write(module_cli, "tokens: [{keys: {at: 1}, ttl: 1h}]")
    module_cli.ok("up")
    write(module_cli, "tokens: [{keys: {at: 1}, ttl: 2h}]")
    steps = converge(module_cli)
    assert [(s["action"], s["object"], s["destructive"]) for s in steps] == [
        ("change", "shop.tokens.at_1", False)
    ]
    assert options(shop.tokens, "at_1") == {"expireAfterSeconds": 7200}


def test_a_hidden_index_is_shown_again_and_not_rebuilt(module_cli: Cli, shop: Any) -> None:
    write(module_cli, "tokens: [{keys: {at: 1}, ttl: 1h}]")
    module_cli.ok("up")
    shop.command("collMod", "tokens", index={"name": "at_1", "hidden": True})
    write(module_cli, "tokens: [{keys: {at: 1}, ttl: 2h}]")
    steps = converge(module_cli)
    assert [(s["action"], s["object"], s["destructive"]) for s in steps] == [
        ("change", "shop.tokens.at_1", False)
    ]
    assert options(shop.tokens, "at_1") == {"expireAfterSeconds": 7200}


def test_an_index_on_a_view_costs_its_own_step(module_cli: Cli, shop: Any) -> None:
    shop.users.insert_one({"email": "a@b.c"})
    shop.create_collection("seen", viewOn="users", pipeline=[])
    write(module_cli, "seen: [{keys: {email: 1}}], users: [{keys: {email: 1}}]")
    assert ("create", "shop.users.email_1") in planned(module_cli)
    done = module_cli.run("up")
    assert done.returncode == 1
    assert "shop.seen could not be inspected" in done.stderr
    assert "email_1" in shop.users.index_information()
    shop.drop_collection("seen")


def test_other_options_are_rebuilt_only_when_the_command_says_so(
    module_cli: Cli, shop: Any
) -> None:
    write(module_cli, "users: [{keys: {email: 1}}]")
    module_cli.ok("up")
    write(module_cli, "users: [{keys: {email: 1}, unique: true}]")
    step = module_cli.json("plan")["steps"][0]
    assert (step["action"], step["object"], step["destructive"]) == (
        "rebuild",
        "shop.users.email_1",
        True,
    )
    done = module_cli.run("up")
    assert done.returncode == 1
    assert "--allow 'shop.users.email_1'" in done.stderr
    assert options(shop.users, "email_1") == {}
    converge(module_cli, "--allow", "shop.users.email_1")
    assert options(shop.users, "email_1") == {"unique": True}


def test_an_index_that_left_the_file_is_dropped_only_when_the_command_says_so(
    module_cli: Cli, shop: Any
) -> None:
    write(module_cli, "users: [{keys: {email: 1}}, {keys: {nick: 1}}]")
    module_cli.ok("up")
    shop.users.create_index("by_hand")
    write(module_cli, "users: [{keys: {email: 1}}]")
    assert planned(module_cli) == [("drop", "shop.users.nick_1")]
    for words in (["up"], ["up", "--prune"]):
        assert module_cli.run(*words).returncode == 1
        assert planned(module_cli) == [("drop", "shop.users.nick_1")]
    typo = module_cli.run("up", "--allow", "shop.users.nik_1")
    assert typo.returncode == 1
    assert "--allow names 'shop.users.nik_1'" in typo.stderr
    converge(module_cli, "--allow", "shop.users.nick_1")
    assert set(shop.users.index_information()) == {"_id_", "email_1", "by_hand_1"}


def test_an_index_dropped_by_hand_comes_back(module_cli: Cli, shop: Any) -> None:
    write(module_cli, "users: [{keys: {email: 1}}]")
    module_cli.ok("up")
    shop.users.drop_index("email_1")
    assert said(converge(module_cli)) == [("create", "shop.users.email_1")]


@pytest.mark.parametrize("there_before", [False, True])
def test_unique_over_duplicates_says_how_many_and_changes_nothing(
    module_cli: Cli, shop: Any, there_before: bool
) -> None:
    shop.users.insert_many([{"email": e} for e in ("a@x", "a@x", "a@x", "b@x", "b@x", "c@x")])
    allow: list[str] = []
    if there_before:
        write(module_cli, "users: [{keys: {email: 1}}]")
        module_cli.ok("up")
        allow = ["--allow", "shop.users.email_1"]
    before = shop.users.index_information()
    write(module_cli, "users: [{keys: {email: 1}, unique: true}], orders: [{keys: {n: 1}}]")
    done = module_cli.run("up", *allow)
    assert done.returncode == 1
    assert "2 values occur more than once in shop.users.email" in done.stderr
    assert "'a@x' (3 documents)" in done.stderr
    assert "mng-mongo  healthy" in done.stdout
    assert shop.users.index_information() == before
    assert shop.users.count_documents({}) == 6
    assert "n_1" in shop.orders.index_information()  # what could be done was done
    for email in ("a@x", "b@x"):
        keep = shop.users.find_one({"email": email})["_id"]
        shop.users.delete_many({"email": email, "_id": {"$ne": keep}})
    converge(module_cli, *allow)
    assert options(shop.users, "email_1") == {"unique": True}
