"""The hardening of Redis, read back from the running server (B12, B14 to B17)."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Cli, each_server
from tests.live.clients import brought_up, contents, redis_as

pytestmark = pytest.mark.live
server = each_server()

FILE = """
redis: {port: PORT1}
apps: {shop: {redis: "shop:*"}}
"""
#: The guide's numbers, as CONFIG GET prints them.
GUIDE = {
    "bind": "127.0.0.1",
    "protected-mode": "yes",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "auto-aof-rewrite-percentage": "100",
    "auto-aof-rewrite-min-size": str(64 << 20),
    "aof-timestamp-enabled": "yes",
    "save": "900 1 300 10 60 10000",
    "rdbcompression": "yes",
    "rdbchecksum": "yes",
    "maxmemory-policy": "allkeys-lru",
    "maxmemory-samples": "5",
    "timeout": "300",
    "tcp-keepalive": "300",
    "maxclients": "10000",
    "slowlog-log-slower-than": "10000",
    "slowlog-max-len": "128",
    "enable-debug-command": "no",
    "enable-module-command": "no",
    "enable-protected-configs": "no",
    "requirepass": "",
}


stack = brought_up(FILE)


@pytest.fixture(scope="module")
def admin(stack: Cli) -> Iterator[Any]:
    with redis_as(stack) as client:
        yield client


def test_it_is_the_server_that_the_file_asks_for(admin: Any, server: str) -> None:
    assert admin.info("server").get("server_name", "redis") == server


@pytest.mark.parametrize("name", GUIDE)
def test_the_server_runs_with_the_guides_value(admin: Any, name: str) -> None:
    assert admin.config_get(name) == {name: GUIDE[name]}


def test_config_shows_every_setting_as_the_server_has_it(stack: Cli, admin: Any) -> None:
    shown = stack.json("config")["server_settings"]["redis"]
    live = admin.config_get("*")
    assert set(GUIDE) - {"requirepass"} <= set(shown)
    assert {name: live.get(name) for name in shown} == shown


def test_memory_is_a_share_of_what_there_is(stack: Cli, admin: Any) -> None:
    share = float(stack.json("config")["file"]["redis"]["memory"].rstrip("%")) / 100
    limit = int(admin.config_get("maxmemory")["maxmemory"])
    there_is = admin.info("memory")["total_system_memory"]
    assert 0 < limit <= share * there_is + 1


@pytest.mark.parametrize("command", ["PING", "INFO", "GET shop:1", "ACL WHOAMI", "CONFIG GET *"])
def test_without_a_login_nothing_is_answered(stack: Cli, command: str) -> None:
    with socket.create_connection(("127.0.0.1", stack.port(1)), 60) as plain:
        plain.sendall(f"{command}\r\n".encode())
        assert plain.recv(100).startswith(b"-NOAUTH")


def test_only_the_admin_and_the_apps_can_log_in(admin: Any) -> None:
    users = {name: admin.acl_getuser(name) for name in admin.acl_users()}
    assert set(users) == {"default", "admin", "shop"}
    assert "off" in users["default"]["flags"]
    assert users["default"]["passwords"] == []
    # nobody is it, and the append-only file is loaded by its rights
    assert users["default"]["categories"] == ["+@all"]
    assert "nopass" not in users["default"]["flags"]
    assert all(len(users[name]["passwords"]) == 1 for name in ("admin", "shop"))


def test_secrets_have_32_characters_or_more(stack: Cli, admin: Any) -> None:
    secrets = [
        admin.connection_pool.connection_kwargs["password"],
        stack.env_of("shop")["REDIS_PASSWORD"],
    ]
    assert all(len(secret) >= 32 for secret in secrets)
    assert len(set(secrets)) == 2


def test_no_file_of_the_server_holds_a_secret_in_plain_text(stack: Cli) -> None:
    secret = stack.env_of("shop")["REDIS_PASSWORD"].encode()
    servers = (stack.state / "servers").resolve()
    files = contents(servers)
    assert any(path.name == "users.acl" for path in files)
    assert [path for path, content in files.items() if secret in content] == []
    confs = [path for path in files if path.parent.name == "conf"]
    assert {oct(path.stat().st_mode & 0o777) for path in confs} == {"0o600"}
