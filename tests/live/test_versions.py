"""Running version against program against file: what differs is shown, done, or refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from mngdb.targets.local import programs
from tests.conftest import Cli
from tests.debian import redis_folder
from tests.live import faults
from tests.live.clients import converge, redis_as
from tests.live.scrapes import until

pytestmark = pytest.mark.live

SEVEN = f"""
redis: {{port: PORT1, version: 7}}
binaries: {{redis: {redis_folder()}}}
apps: {{shop: {{redis: "shop:*"}}}}
"""
EIGHT = 'redis: {port: PORT1, version: 8}\napps: {shop: {redis: "shop:*"}}\n'
POSTGRES = "postgres: {port: PORT1}\napps: {shop: {postgres: shop}}\n"


@pytest.fixture
def folder(cli: Cli) -> Iterator[Path]:
    """A folder for programs, where the servers' account may go too."""
    at = Path("/var/tmp") / f"mngdb-test-{os.getpid()}-{cli.port(1)}"
    at.mkdir(mode=0o755)
    yield at
    shutil.rmtree(at)


def put(cli: Cli, key: str) -> None:
    with redis_as(cli, "shop") as shop:
        shop.set(f"shop:{key}", key)


def kept(cli: Cli) -> list[str]:
    with redis_as(cli, "shop") as shop:
        return sorted(key.removeprefix("shop:") for key in shop.scan_iter("shop:*"))


def version(cli: Cli) -> str:
    found: str = cli.json("status")["units"][0]["version"]
    return found


def refused(cli: Cli, *words: str) -> None:
    """`plan` and `up` say no, with these words, and what runs runs on."""
    before = faults.running(cli)
    for command in ("plan", "up"):
        done = cli.run(command)
        assert done.returncode == 1, done.stdout
        for word in words:
            assert word in done.stderr
        assert "hint: run " in done.stderr
    assert faults.running(cli) == before


def replace(old: Path, new: Path) -> None:
    """As package managers do it: another file of the same name."""
    fresh = old.with_name(f".{old.name}")
    shutil.copy2(new, fresh)
    fresh.chmod(0o755)
    fresh.rename(old)


def test_another_version_in_the_file_is_a_restart_with_the_data(cli: Cli) -> None:
    cli.write(SEVEN)
    cli.ok("up")
    assert version(cli).startswith("7.")
    put(cli, "a")
    found, cli_version = version(cli), programs.find("redis", "8", None, None).version
    cli.write(EIGHT)
    (step,) = converge(cli)
    assert (step["action"], step["restart"]) == ("restart", True)
    assert step["detail"] == f"Redis {found} → {cli_version}"
    assert version(cli) == cli_version
    assert kept(cli) == ["a"]


def test_a_program_that_was_upgraded_at_its_path_is_a_restart(cli: Cli, folder: Path) -> None:
    shutil.copy2(redis_folder() / "redis-server", folder)
    text = EIGHT.replace(", version: 8", ", version: null") + f"binaries: {{redis: {folder}}}\n"
    cli.write(text)
    cli.ok("up")
    put(cli, "a")
    brought = programs.find("redis", "8", None, None)
    replace(folder / "redis-server", Path(brought.server))
    (step,) = converge(cli)
    assert step["detail"].endswith(f"→ {brought.version}")
    assert kept(cli) == ["a"]


def test_a_setting_that_only_the_new_version_has_comes_with_it(cli: Cli) -> None:
    cli.write(SEVEN)
    cli.ok("up")
    cli.write(
        EIGHT.replace("version: 8", "version: 8, settings: {max-new-connections-per-cycle: 20}")
    )
    (step,) = converge(cli)
    assert "Redis 7" in step["detail"]
    assert version(cli).startswith("8.")


@pytest.mark.parametrize("saved", ["", ", appendonly: false"])
def test_a_downgrade_of_redis_is_refused_before_anything_stops(cli: Cli, saved: str) -> None:
    """Also where no file shows it yet: it is written when the server stops."""
    cli.write(EIGHT.replace("version: 8", f"version: 8{saved}"))
    cli.ok("up")
    put(cli, "a")
    older = SEVEN.replace("version: 7", f"version: 7{saved}")
    cli.write(older)
    refused(cli, "was written by Redis 8", "and Redis 7", "cannot read it")
    assert kept(cli) == ["a"]
    cli.ok("down")
    refused(cli, "was written by Redis 8", "and Redis 7", "cannot read it")
    # the data tells it too
    (faults.servers(cli) / "mng-redis" / "seen.json").unlink()
    refused(cli, "was written by Redis 8", "and Redis 7", "cannot read it")
    cli.write(EIGHT.replace("version: 8", f"version: 8{saved}"))
    cli.ok("up")
    assert kept(cli) == ["a"]


def test_data_goes_from_redis_to_valkey_only_while_they_share_a_format(cli: Cli) -> None:
    valkey = EIGHT.replace("version: 8", "server: valkey")
    cli.write(SEVEN)
    cli.ok("up")
    put(cli, "a")
    cli.write(valkey)
    (step,) = converge(cli)
    assert "→ Valkey 9" in step["detail"]
    assert kept(cli) == ["a"]
    cli.write(EIGHT)
    refused(cli, "was written by Valkey 9", "and Redis 8", "cannot read it")
    cli.ok("down")
    refused(cli, "was written by Valkey 9", "and Redis 8", "cannot read it")
    cli.write(valkey)
    cli.ok("up")
    assert kept(cli) == ["a"]


@pytest.mark.parametrize("saved", ["", ", appendonly: false"])
def test_data_of_redis_8_is_nothing_for_valkey(cli: Cli, saved: str) -> None:
    cli.write(EIGHT.replace("version: 8", f"version: 8{saved}"))
    cli.ok("up")
    put(cli, "a")
    cli.write(EIGHT.replace("version: 8", f"server: valkey{saved}"))
    refused(cli, "was written by Redis 8", "and Valkey 9", "cannot read it")
    assert kept(cli) == ["a"]


def test_a_cache_that_keeps_nothing_may_go_back(cli: Cli) -> None:
    nothing = ", appendonly: false, save: []"
    cli.write(EIGHT.replace("version: 8", f"version: 8{nothing}"))
    cli.ok("up")
    cli.write(SEVEN.replace("version: 7", f"version: 7{nothing}"))
    (step,) = converge(cli)
    assert step["detail"].startswith("Redis 8")
    assert version(cli).startswith("7.")


def test_a_patch_level_back_is_a_restart(cli: Cli) -> None:
    cli.write(EIGHT)
    cli.ok("up")
    put(cli, "a")
    cli.ok("down")
    seen = faults.servers(cli) / "mng-redis" / "seen.json"
    said = json.loads(seen.read_text())
    seen.write_text(json.dumps(said | {"version": said["version"] + "9"}))
    cli.ok("up")
    assert kept(cli) == ["a"]
    assert json.loads(seen.read_text()) == said


def test_the_agent_does_not_start_a_program_that_cannot_read_the_data(
    cli: Cli, folder: Path
) -> None:
    brought = programs.find("redis", "8", None, None)
    shutil.copy2(brought.server, folder)
    ports = ", ".join(f"{name}: PORT{n}" for n, name in enumerate(("redis", "mngdb"), 2))
    text = EIGHT.replace(", version: 8", ", version: null")
    text += f"binaries: {{redis: {folder}}}\nagent: {{ports: {{{ports}}}}}\n"
    cli.write(text)
    cli.ok("up")
    put(cli, "a")
    replace(folder / "redis-server", redis_folder() / "redis-server")
    faults.kill(cli, "mng-redis")
    log = cli.state / "agent/agent.log"
    until(lambda: "cannot read it" in log.read_text())
    assert version_of_nothing(cli)
    replace(folder / "redis-server", Path(brought.server))
    cli.ok("up")
    assert kept(cli) == ["a"]


def version_of_nothing(cli: Cli) -> bool:
    return not faults.pidfile(cli, "mng-redis").exists() or (
        faults.pid(cli, "mng-redis") not in faults.running(cli)
    )


def test_a_postgres_whose_program_was_replaced_is_a_restart(cli: Cli, folder: Path) -> None:
    brought = Path(programs.find("postgres", "17", None, None).folder)
    (folder / "pg/bin").mkdir(parents=True)
    for one in [*brought.iterdir(), brought.parent / "lib", brought.parent / "share"]:
        (folder / "pg" / one.relative_to(brought.parent)).symlink_to(one)
    replace(folder / "pg/bin/postgres", brought / "postgres")
    cli.write(POSTGRES + f"binaries: {{postgres: {folder}/pg/bin}}\n")
    cli.ok("up")
    with psycopg.connect(cli.env_of("shop")["POSTGRES_URL"]) as shop:
        shop.execute("CREATE TABLE kept AS SELECT 1 AS one")
    assert cli.json("plan")["steps"] == []
    replace(folder / "pg/bin/postgres", brought / "postgres")
    (step,) = converge(cli)
    assert step["action"] == "restart"
    assert "PostgreSQL 17" in step["detail"]
    assert "was replaced" in step["detail"]
    with psycopg.connect(cli.env_of("shop")["POSTGRES_URL"]) as shop:
        assert shop.execute("SELECT one FROM kept").fetchall() == [(1,)]


@pytest.mark.parametrize(
    ("version", "data", "said"),
    [
        ("7.0.14", "7.0", "written by MongoDB 7.0.14 at featureCompatibilityVersion 7.0"),
        ("4.4.29", "4.4", "run MongoDB 5.0 first"),
    ],
)
def test_mongodb_opens_only_the_data_of_versions_that_its_manual_names(
    cli: Cli, version: str, data: str, said: str
) -> None:
    cli.write("mongodb: {port: PORT1}\napps: {shop: {mongodb: shop}}\n")
    cli.ok("up")
    seen = faults.servers(cli) / "mng-mongo" / "seen.json"
    true = json.loads(seen.read_text())
    assert (true["product"], true["data"]) == ("MongoDB", "6.0")
    cli.ok("down")
    # no other mongod can be had here
    seen.write_text(json.dumps(true | {"version": version, "data": data}))
    refused(cli, said)
    # a server that was upgraded, and whose data was not yet, goes back
    seen.write_text(json.dumps(true | {"version": "7.0.14", "data": "6.0"}))
    cli.ok("up")
    assert json.loads(seen.read_text()) == true
