"""MongoDB converges in both directions: the file changed, or somebody changed the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pymongo
import pytest
from pymongo.errors import OperationFailure

from tests.conftest import Cli
from tests.live.clients import converge, mongo_as, planned, said, set_secret

pytestmark = pytest.mark.live

FILE = """
mongodb: {port: PORT1, databases: {shop: {}}}
apps:
  shop: {mongodb: shop}
  blog: {mongodb: blog}
"""


@pytest.fixture
def stack(module_cli: Cli) -> Cli:
    module_cli.write(FILE)
    module_cli.ok("up", "--prune")
    return module_cli


def may_read(cli: Cli, app: str, database: str) -> bool:
    with mongo_as(cli, app) as client:
        return refusal(lambda: client[database].things.find_one()) != 13  # Unauthorized


def refusal(action: Callable[[], object]) -> int | None:
    try:
        action()
    except OperationFailure as error:
        return error.code
    return None


def started(cli: Cli) -> Any:
    with mongo_as(cli) as admin:
        return admin.admin.command("hello")["topologyVersion"]["processId"]


def logs_in(uri: str) -> bool:
    client: pymongo.MongoClient[Any]
    with pymongo.MongoClient(uri) as client:
        return refusal(lambda: client.admin.command("ping")) != 18  # AuthenticationFailed


def test_another_database_and_readonly_are_given_and_taken_back(stack: Cli) -> None:
    changed = FILE.replace("shop: {mongodb: shop}", "shop: {mongodb: store}").replace(
        "blog: {mongodb: blog}", "blog: {mongodb: {database: blog, access: readonly}}"
    )
    for text in (changed, FILE):
        stack.write(text)
        database = "store" if text is changed else "shop"
        said_so = stack.run("status").stderr
        assert f"mng-mongo: not authorized on {database} to run listCollections\n" in said_so
        steps = said(converge(stack))
        assert ("revoke", "blog") in steps or ("grant", "blog") in steps
        assert {("revoke", "shop"), ("grant", "shop")} <= set(steps)
        assert may_read(stack, "shop", "store") == (text is changed)
        assert may_read(stack, "shop", "shop") == (text is FILE)
        with mongo_as(stack, "blog") as blog:
            if text is FILE:
                blog.blog.things.insert_one({})
            else:
                with pytest.raises(OperationFailure):
                    blog.blog.things.insert_one({})


def test_rights_widened_by_hand_are_taken_back(stack: Cli) -> None:
    with mongo_as(stack) as admin:
        admin.admin.command("grantRolesToUser", "shop", roles=["root"])
        everywhere = {"resource": {"db": "", "collection": ""}, "actions": ["find"]}
        admin.admin.command("grantPrivilegesToRole", "mngdb-blog", privileges=[everywhere])
        assert may_read(stack, "shop", "blog")
        assert may_read(stack, "blog", "shop")
        steps = converge(stack)
        assert set(said(steps)) == {("revoke", "shop"), ("revoke", "blog")}
        assert any("root@admin" in step["detail"] for step in steps)
        assert not may_read(stack, "shop", "blog")
        assert not may_read(stack, "blog", "shop")


def test_a_role_narrowed_and_a_login_deleted_by_hand_come_back(stack: Cli) -> None:
    with mongo_as(stack) as admin:
        admin.admin.command("dropUser", "shop")
        admin.admin.command("updateRole", "mngdb-blog", privileges=[], roles=[])
        assert set(said(converge(stack))) == {("create", "shop"), ("grant", "blog")}
        admin.admin.command("dropRole", "mngdb-blog")
        assert said(converge(stack)) == [("grant", "blog")]
    assert may_read(stack, "shop", "shop")
    assert may_read(stack, "blog", "blog")


def test_an_apps_secret_changed_in_the_vault_or_on_the_server_agrees_again(stack: Cli) -> None:
    old = stack.env_of("shop")["MONGO_URI"]
    set_secret(stack, "mongodb_shop", "a" * 40)
    with mongo_as(stack) as admin:
        admin.admin.command("updateUser", "blog", pwd="other")
    assert set(said(converge(stack))) == {("change", "shop"), ("change", "blog")}
    assert may_read(stack, "shop", "shop")
    assert may_read(stack, "blog", "blog")
    assert not logs_in(old)


def test_the_administrators_secret_is_mended_wherever_it_was_changed(stack: Cli) -> None:
    with mongo_as(stack, "shop") as shop:
        shop.shop.kept.replace_one({"_id": 1}, {}, upsert=True)
    old = stack.ok("url", "mongodb").strip()
    set_secret(stack, "mongodb_admin", "b" * 40)
    stack.ok("up")
    assert planned(stack) == []
    assert not logs_in(old)
    with mongo_as(stack) as admin:
        admin.admin.command("updateUser", "admin", pwd="other")
    stack.ok("up")
    assert planned(stack) == []
    with mongo_as(stack) as admin:
        assert admin.shop.kept.count_documents({}) == 1


def test_a_login_made_weaker_is_held_to_scram_sha_256_again(stack: Cli) -> None:
    with mongo_as(stack) as admin:
        mechanisms = ["SCRAM-SHA-1", "SCRAM-SHA-256"]
        admin.admin.command("updateUser", "shop", pwd="weak", mechanisms=mechanisms)
        assert said(converge(stack)) == [("change", "shop")]
        found = admin.admin.command("usersInfo", "shop")["users"][0]["mechanisms"]
        assert found == ["SCRAM-SHA-256"]


def test_an_app_that_left_the_file_is_closed_and_kept_until_pruned(stack: Cli) -> None:
    uri = stack.env_of("blog")["MONGO_URI"]
    with mongo_as(stack, "blog") as blog:
        blog.blog.kept.replace_one({"_id": 1}, {}, upsert=True)
    without = FILE.replace("  blog: {mongodb: blog}\n", "")
    stack.write(without)
    steps = converge(stack)
    assert [(s["action"], s["object"], s["destructive"]) for s in steps] == [
        ("revoke", "blog", False)
    ]
    assert not logs_in(uri)
    assert any("blog" in notice["text"] for notice in stack.json("plan")["remarks"])
    stack.write(FILE)
    converge(stack)
    assert may_read(stack, "blog", "blog")
    stack.write(without)
    stack.ok("up")
    assert said(stack.json("plan", "--prune")["steps"]) == [("drop", "blog")]
    assert ("drop", "blog") in said(converge(stack, "--allow", "blog"))
    with mongo_as(stack) as admin:
        users = admin.admin.command("usersInfo")["users"]
        assert {user["user"] for user in users} == {"admin", "shop"}
        assert admin.blog.kept.count_documents({}) == 1


def test_the_profiler_is_put_right(stack: Cli) -> None:
    with mongo_as(stack) as admin:
        before = started(stack)
        admin.shop.command("profile", 0, slowms=5000)
        steps = converge(stack)
        assert ("change", "shop.profiler") in said(steps)
        assert not any(step["restart"] for step in steps)
        found = admin.shop.command("profile", -1)
        assert (found["was"], found["slowms"]) == (1, 100)
        stack.write(FILE.replace("PORT1,", "PORT1, slow: 50ms, oplog: 1000,"))
        assert not any(step["restart"] for step in converge(stack))
        assert admin.shop.command("profile", -1)["slowms"] == 50
        assert started(stack) == before


def test_cold_settings_another_port_and_key_are_a_restart_and_keep_the_data(stack: Cli) -> None:
    with mongo_as(stack, "shop") as shop:
        shop.shop.kept.replace_one({"_id": 1}, {}, upsert=True)
    for text, what in (
        (FILE.replace("PORT1,", "PORT1, max_connections: 100,"), "maxIncomingConnections"),
        (FILE.replace("PORT1", "PORT2"), "port"),
        (FILE, "port"),
    ):
        stack.write(text)
        steps = converge(stack)
        assert [(s["action"], s["restart"]) for s in steps if s["restart"]] == [("restart", True)]
        assert what in steps[0]["detail"]
        with mongo_as(stack, "shop") as shop:
            assert shop.shop.kept.count_documents({}) == 1
    set_secret(stack, "mongodb_keyfile", "c" * 40)
    steps = converge(stack)
    assert [(s["action"], s["detail"]) for s in steps] == [("restart", "keyfile")]
    assert may_read(stack, "shop", "shop")


def test_a_parameter_that_mongod_does_not_take_leaves_the_old_server_running(stack: Cli) -> None:
    stack.write(FILE.replace("PORT1,", "PORT1, settings: {noSuchParameter: 1},"))
    done = stack.run("up")
    assert done.returncode == 2
    assert "noSuchParameter" in done.stderr
    stack.write(FILE)
    assert planned(stack) == []
    assert may_read(stack, "shop", "shop")
