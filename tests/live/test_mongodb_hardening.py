"""The hardening of MongoDB, read back from the running server."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from typing import Any

import pymongo
import pytest
from pymongo.errors import OperationFailure

from tests.conftest import Cli
from tests.live.clients import brought_up, contents, mongo_as

pytestmark = pytest.mark.live

FILE = """
mongodb: {port: PORT1, databases: {shop: {}}}
apps: {shop: {mongodb: shop}}
"""


stack = brought_up(FILE)


@pytest.fixture(scope="module")
def admin(stack: Cli) -> Iterator[Any]:
    with mongo_as(stack) as client:
        yield client


def flat(tree: dict[str, Any], head: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= flat(value, f"{head}{key}.") if isinstance(value, dict) else {head + key: value}
    return found


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("security.authorization", "enabled"),
        ("net.bindIp", "127.0.0.1"),
        ("net.unixDomainSocket.enabled", False),
        ("replication.replSetName", "mng"),
        ("operationProfiling.mode", "slowOp"),
        ("operationProfiling.slowOpThresholdMs", 100),
        ("setParameter.enableLocalhostAuthBypass", False),
    ],
)
def test_the_server_runs_with_the_hardened_value(admin: Any, option: str, value: Any) -> None:
    live = flat(admin.admin.command("getCmdLineOpts")["parsed"])
    assert str(live[option]).lower() == str(value).lower()


def test_config_shows_every_option_as_the_server_has_it(stack: Cli, admin: Any) -> None:
    shown = stack.json("config")["server_settings"]["mongodb"]
    live = flat(admin.admin.command("getCmdLineOpts")["parsed"])
    live.pop("config")
    assert {name: str(value).lower() for name, value in live.items()} == {
        name: str(value).lower() for name, value in shown.items()
    }


def test_the_key_file_is_private_and_in_use(stack: Cli, admin: Any) -> None:
    from pathlib import Path

    path = Path(flat(admin.admin.command("getCmdLineOpts")["parsed"])["security.keyFile"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_text()) >= 32


def test_it_is_the_primary_of_a_replica_set_of_one(stack: Cli, admin: Any) -> None:
    members = admin.admin.command("replSetGetStatus")["members"]
    assert [(m["name"], m["stateStr"]) for m in members] == [
        (f"127.0.0.1:{stack.port(1)}", "PRIMARY")
    ]


def test_the_profiler_keeps_what_takes_100_ms(admin: Any) -> None:
    assert {k: admin.shop.command("profile", -1)[k] for k in ("was", "slowms")} == {
        "was": 1,
        "slowms": 100,
    }


def test_users_are_the_admin_and_one_per_app_with_one_role_each(admin: Any) -> None:
    users = admin.admin.command("usersInfo", {"forAllDBs": True})["users"]
    assert {u["user"]: [r["role"] for r in u["roles"]] for u in users} == {
        "admin": ["root"],
        "shop": ["mngdb-shop"],
    }
    assert all(u["mechanisms"] == ["SCRAM-SHA-256"] for u in users)
    role = admin.admin.command("rolesInfo", "mngdb-shop", showPrivileges=True)["roles"][0]
    assert {p["resource"]["db"] for p in role["privileges"]} == {"shop"}
    assert role["inheritedRoles"] == []


@pytest.mark.parametrize("command", ["listDatabases", "usersInfo", "serverStatus", "getParameter"])
def test_without_a_login_nothing_is_told(stack: Cli, command: str) -> None:
    at = f"mongodb://127.0.0.1:{stack.port(1)}/?directConnection=true"
    client: pymongo.MongoClient[Any]
    with pymongo.MongoClient(at) as client, pytest.raises(OperationFailure) as caught:
        client.admin.command(command)
    assert caught.value.code == 13  # Unauthorized


def test_secrets_are_strong_and_stand_in_no_file_of_the_server(stack: Cli) -> None:
    env = stack.env_of("shop")
    assert len(env["MONGO_PASSWORD"]) >= 32
    servers = (stack.state / "servers").resolve()
    texts = contents(servers).values()
    assert len(texts) > 5
    assert not any(env["MONGO_PASSWORD"].encode() in text for text in texts)


def test_env_gives_the_guides_driver_options(stack: Cli) -> None:
    env = stack.env_of("shop")
    guide = {
        "MONGO_DATABASE": "shop",
        "MONGO_AUTH_SOURCE": "admin",
        "MONGO_REPLICA_SET": "mng",
        "MONGO_POOL_SIZE": "10",
        "MONGO_CONNECT_TIMEOUT_MS": "10000",
        "MONGO_SOCKET_TIMEOUT_MS": "45000",
        "MONGO_USE_TLS": "false",
        "MONGO_RETRY_WRITES": "true",
    }
    assert {name: env.get(name) for name in guide} == guide
    for part in ("retryWrites=true", "w=majority", "replicaSet=mng", "authSource=admin"):
        assert part in env["MONGO_URI"]
