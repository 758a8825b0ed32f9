"""Valkey as the server of the redis engine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mngdb.targets.local import programs
from tests.conftest import Cli
from tests.live.clients import redis_as

pytestmark = pytest.mark.live

FILE = """
instances: {queue: {engine: redis, server: valkey, port: PORT1}}
apps: {shop: {queue: "shop:*"}}
"""


def test_it_is_told_by_its_own_name_and_version(cli: Cli) -> None:
    cli.write(FILE)
    found = programs.find("valkey", "9", None, None)
    assert f"Valkey {found.version} from {found.source}" in cli.ok("plan")
    cli.ok("up")
    assert f"Valkey {found.version}" in cli.ok("status")
    (unit,) = cli.json("status")["units"]
    assert (unit["engine"], unit["product"], unit["version"]) == ("redis", "Valkey", found.version)
    with redis_as(cli, "shop", "queue") as shop:
        shop.set("shop:a", "1")
    with redis_as(cli, instance="queue") as admin:
        assert admin.info("server")["valkey_version"] == found.version
    for command in ("check", "memory", "keys", "slow"):
        done = cli.run(command)
        assert "Traceback" not in done.stderr
        assert done.returncode in {0, 1}, done.stderr


def test_what_its_build_lacks_is_told_before_anything_starts(cli: Cli) -> None:
    cli.write("tls: true\n" + FILE)
    for command in ("plan", "up"):
        done = cli.run(command)
        assert done.returncode == 1
        assert "queue: TLS is enabled, but" in done.stderr
        assert "was built without it" in done.stderr
    assert not (cli.folder / ".mngdb" / "servers").exists()


def test_a_version_that_is_not_there_is_told_with_those_that_are(cli: Cli) -> None:
    old = FILE.replace("server: valkey", "server: valkey, version: 8")
    cli.write(old)
    done = cli.run("plan")
    assert done.returncode == 2
    assert "Valkey 8 is required but was not found on this machine; found 9" in done.stderr
    assert "binaries: {valkey: …}" in done.stderr
    assert "set 'version" not in done.stderr
    # removing a folder that the file needs for what its build can do would not help
    folder = programs.find("valkey", None, None, None).folder
    cli.write(f"{old}binaries: {{valkey: {folder}}}\n")
    assert "hint: set 'version: 9', which that folder has, or" in cli.run("plan").stderr


def test_a_valkey_that_is_called_redis_server_is_no_redis(cli: Cli) -> None:
    """As Debian's valkey-compat-redis links it."""
    shutil.copy2(programs.find("valkey", None, None, None).server, cli.folder / "redis-server")
    cli.write(f"redis: {{version: null, port: PORT1}}\nbinaries: {{redis: {cli.folder}}}\n")
    done = cli.run("plan")
    assert done.returncode == 2
    assert "Redis is required but was not found in" in done.stderr
    assert "found Valkey 9" in done.stderr
    assert "set 'version" not in done.stderr


def test_containers_are_redis(cli: Cli) -> None:
    cli.write("target: compose\n" + FILE.replace(", port: PORT1", ""))
    done = cli.run("plan")
    assert done.returncode == 2
    assert "target compose does not support valkey" in done.stderr


def test_a_file_in_its_own_format_is_told(cli: Cli) -> None:
    dump = Path(cli.folder / "dump.rdb")
    dump.write_bytes(b"VALKEY080\xfa\x0avalkey-ver\x059.1.2\xff" + bytes(8))
    cli.write(FILE)
    done = cli.run("keys", "--rdb", str(dump))
    assert done.returncode == 2
    assert "is in Valkey's own format" in done.stderr
