"""`doctor` names each cause in a sentence of its own, for Redis and MongoDB (A12)."""

from __future__ import annotations

import contextlib
import socket

import pytest
import redis

from tests.conftest import Cli
from tests.live.clients import mongo_as, problems, redis_as, set_secret
from tests.live.scrapes import until

pytestmark = pytest.mark.live

FILE = """
redis: {port: PORT1, max_clients: 20, memory: 64mb, eviction: noeviction}
mongodb: {port: PORT2}
apps: {shop: {redis: "shop:*", mongodb: shop}}
"""


@pytest.fixture
def stack(module_cli: Cli) -> Cli:
    module_cli.write(FILE)
    module_cli.ok("up")
    return module_cli


def problem(cli: Cli, instance: str) -> str:
    found = problems(cli, "shop")
    assert [name for name, text in found.items() if text] == [instance], found
    return str(found[instance])


def test_all_is_well_is_exit_0_and_says_ok(stack: Cli) -> None:
    assert stack.ok("doctor", "shop").split() == ["redis", "ok", "mongodb", "ok"]


@pytest.mark.parametrize("instance", ["redis", "mongodb"])
def test_a_wrong_secret(stack: Cli, instance: str) -> None:
    set_secret(stack, f"{instance}_shop", "x" * 40)
    said = "the secret of shop in the vault is not the one on the server"
    assert problem(stack, instance) == said
    stack.ok("up")
    assert problems(stack, "shop") == {"redis": None, "mongodb": None}


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("-exists", "refuses 'shop' the command EXISTS"),
        ("-@write", "refuses 'shop' the command SETRANGE"),
        ("resetkeys", "refuses 'shop' the key 'shop:*'"),
        ("resetchannels", "refuses 'shop' the channel 'shop:*'"),
        ("+config|get", "may CONFIG GET port but should not"),
        ("allkeys", "but should not"),
        ("off", "refuses the login"),
    ],
)
def test_what_the_acl_of_redis_refuses_or_gives_too_much(
    stack: Cli, rule: str, sentence: str
) -> None:
    with redis_as(stack) as admin:
        admin.execute_command("ACL", "SETUSER", "shop", rule)
    assert sentence in problem(stack, "redis")


def test_rights_of_mongodb_that_are_missing_or_too_many(stack: Cli) -> None:
    with mongo_as(stack) as admin:
        admin.admin.command("updateRole", "mngdb-shop", privileges=[])
        assert "no rights on the database shop" in problem(stack, "mongodb")
        stack.ok("up")
        admin.admin.command("grantRolesToUser", "shop", roles=["readAnyDatabase"])
        assert "has more rights than the file grants" in problem(stack, "mongodb")
        admin.admin.command("dropUser", "shop")
        assert problem(stack, "mongodb") == "there is no login shop in mongodb"


def test_a_redis_that_takes_no_more_clients(stack: Cli) -> None:
    address = ("127.0.0.1", stack.port(1))
    with contextlib.ExitStack() as held:
        for _ in range(25):
            held.enter_context(socket.create_connection(address))
        assert "its limit of clients" in problem(stack, "redis")


def test_a_redis_without_memory_or_disk(stack: Cli) -> None:
    with redis_as(stack) as admin:
        admin.config_set("maxmemory", 1)
        assert "out of memory" in problem(stack, "redis")
        assert "out of memory" in stack.run("status").stderr
        # small writes are taken at 99 %, and what was refused before counts
        admin.config_set("maxmemory", 64 << 20)
        admin.setrange("shop:large", 40 << 20, "x")
        admin.config_set("maxmemory", int(admin.info("memory")["used_memory"] * 1.03))
        assert "refused since its start" in problem(stack, "redis")
        # nothing has to be refused where there is something to evict
        admin.set("shop:cached", "x", ex=600)
        admin.config_set("maxmemory-policy", "volatile-lru")
        assert problems(stack, "shop") == {"redis": None, "mongodb": None}
        admin.config_set("maxmemory-policy", "noeviction")
        admin.delete("shop:large")
    stack.ok("up")
    assert stack.run("status").returncode == 0
    folder = (stack.state / "servers" / "mng-redis" / "data").resolve()
    blocked = folder / "dump.rdb"
    blocked.unlink(missing_ok=True)
    blocked.mkdir()  # no snapshot can take that name
    try:
        with redis_as(stack) as admin:
            with pytest.raises(redis.RedisError):
                admin.save()
            admin.execute_command("BGSAVE")
            until(lambda: not admin.info("persistence")["rdb_bgsave_in_progress"])
            said = problem(stack, "redis")
            assert "could not save a snapshot, and refuses writes; log: Error moving" in said
            assert "Is a directory" in said
            assert "still cannot save a snapshot" in stack.run("up").stderr
            blocked.rmdir()
            steps = stack.json("up")["steps"]
            assert ("change", "snapshot") in {(one["action"], one["object"]) for one in steps}
            assert problems(stack, "shop") == {"redis": None, "mongodb": None}
    finally:
        if blocked.is_dir():
            blocked.rmdir()


def test_a_server_that_expects_tls_when_the_file_has_none(stack: Cli) -> None:
    stack.write(FILE.replace("PORT2", "PORT2, tls: true"))
    stack.ok("up")
    stack.write(FILE)
    assert "TLS" in problem(stack, "mongodb")


@pytest.mark.parametrize(("instance", "unit"), [("redis", "mng-redis"), ("mongodb", "mng-mongo")])
def test_a_server_that_does_not_run(stack: Cli, instance: str, unit: str) -> None:
    stack.ok("down")
    found = problems(stack, "shop")
    assert found[instance] == f"{unit} is not running (stopped)"
