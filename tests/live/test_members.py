"""A server is a member of its instance: its role and lag, also where somebody else replicates."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from pymongo.errors import OperationFailure

from tests.checks import mongods
from tests.checks.postgres_server import PASSWORD, Server, stock
from tests.conftest import Cli, free_port
from tests.live.clients import set_secret
from tests.live.scrapes import AGENT, UP, scrape, until

pytestmark = pytest.mark.live

HBA = """\
host all all 127.0.0.1/32 scram-sha-256
host replication all 127.0.0.1/32 trust
"""
EXTERNAL = """
name: NAME
ENGINE: {target: {external: {url: "URL"}}}
"""
PAIR = """
redis: {port: PORT1, memory: 64mb}
instances: {copy: {engine: redis, port: PORT2, memory: 64mb}}
"""


def told(cli: Cli, instance: str = "") -> tuple[str, float | None]:
    """Role and lag of the instance, or of the only one."""
    units = {one["instance"]: one for one in cli.json("status")["units"] if one["member"]}
    unit = units[instance] if instance else next(iter(units.values()))
    assert unit["member"] == unit["name"]
    return unit["role"], unit["lag"]


def behind(cli: Cli, seconds: float, instance: str = "") -> bool:
    """Whether it is a replica that is known to lag so much."""
    role, lag = told(cli, instance)
    return role == "replica" and lag is not None and lag >= seconds


def test_a_redis_that_follows_another(cli: Cli) -> None:
    cli.write(PAIR)
    cli.ok("up")
    assert told(cli, "copy") == ("primary", None)
    assert "primary" not in cli.ok("status"), "the usual is not told"
    with redis.Redis.from_url(cli.ok("url", "copy").strip()) as copy:
        copy.replicaof("127.0.0.1", str(free_port()))
        assert told(cli, "copy") == ("replica", None), "it has heard nothing of that one"
        secret = (cli.state / "secrets/redis_admin").read_text().strip()
        copy.config_set("masteruser", "admin")
        copy.config_set("masterauth", secret)
        copy.replicaof("127.0.0.1", str(cli.port(1)))
        until(lambda: copy.info("replication")["master_link_status"] == "up")
        role, lag = told(cli, "copy")
        assert role == "replica"
        assert lag is not None
        assert lag < 12, "an idle primary is heard of every ten seconds"
        lines = {line.split()[0]: line for line in cli.ok("status").splitlines()}
        assert "healthy (replica)" in lines["mng-copy"]
        assert "replica" not in lines["mng-redis"]
        cli.ok("down", "redis")
        until(lambda: copy.info("replication")["master_link_status"] == "down")
        until(lambda: copy.info("replication")["master_link_down_since_seconds"] >= 2)
        units = {one["name"]: one for one in _units(cli)}
        assert units["mng-redis"]["role"] is None, "it was not asked"
        assert (units["mng-copy"]["role"], units["mng-copy"]["lag"] >= 2) == ("replica", True)
        copy.replicaof("NO", "ONE")
        cli.ok("up")


def _units(cli: Cli) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(cli.run("--json", "status").stdout)["units"]
    return found


@pytest.fixture
def postgres() -> Iterator[tuple[Server, Server]]:
    """A primary and a standby that were set up by hand."""
    with stock() as primary:
        primary.write("pg_hba.conf", HBA)
        primary.sql("SELECT pg_reload_conf()")
        folder = Path(tempfile.mkdtemp(prefix="mngdb-standby-"))
        standby = Server(primary.bin, primary.account, folder)
        standby.own(folder, 0o700)
        at = ("--host=127.0.0.1", f"--port={primary.port}", "--username=postgres")
        copy = ("--write-recovery-conf", "--checkpoint=fast", "--no-sync")
        try:
            primary.tool("pg_basebackup", *at, f"--pgdata={standby.data}", *copy)
            with (standby.data / "postgresql.conf").open("a") as conf:
                conf.write(f"port = {standby.port}\nunix_socket_directories = '{folder}'\n")
            standby.start()
            yield primary, standby
        finally:
            standby.stop()
            shutil.rmtree(folder)


def external(folder: Path, name: str, engine: str, url: str, secret: str) -> Cli:
    """A stack that takes the server as external."""
    folder.mkdir()
    cli = Cli(folder)
    text = EXTERNAL.replace("NAME", name).replace("ENGINE", engine)
    cli.write(text.replace("URL", url))
    set_secret(cli, f"{engine}_admin", secret)
    return cli


def test_a_standby_of_somebody_elses_postgresql(
    tmp_path: Path, postgres: tuple[Server, Server]
) -> None:
    primary, standby = postgres
    url = "postgresql://postgres@127.0.0.1:{}/postgres"
    theirs, copy = (
        external(tmp_path / name, name, "postgres", url.format(one.port), PASSWORD)
        for name, one in (("theirs", primary), ("copy", standby))
    )
    assert told(theirs) == ("primary", None)
    standby.until("SELECT EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')")
    standby.until("SELECT pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()")
    assert told(copy) == ("replica", 0.0)
    assert "healthy (replica)" in copy.ok("status")
    primary.sql("CREATE TABLE first ()")
    standby.until("SELECT to_regclass('first') IS NOT NULL")
    standby.sql("SELECT pg_wal_replay_pause()")
    primary.sql("CREATE TABLE second ()")
    until(lambda: behind(copy, 1))
    standby.sql("SELECT pg_wal_replay_resume()")
    until(lambda: told(copy) == ("replica", 0.0))
    primary.stop()
    # all that was received is replayed, and nobody knows what is not
    until(lambda: behind(copy, 1))


@contextmanager
def replica_set() -> Iterator[list[mongods.Server]]:
    """A primary, a secondary and an arbiter."""
    options = ["--replSet", "theirs", "--oplogSize", "20", "--bind_ip", "127.0.0.1"]
    options += ["--setParameter", "periodicNoopIntervalSecs=1"]
    servers = [mongods.start(*options) for _ in range(3)]
    try:
        for one in servers:
            one.run("ping")
        members: list[dict[str, Any]] = [
            {"_id": n, "host": one.name, "priority": 0 if n else 1} for n, one in enumerate(servers)
        ]
        members[2]["arbiterOnly"] = True
        settings = {"heartbeatIntervalMillis": 200, "electionTimeoutMillis": 1000}
        config = {"_id": "theirs", "members": members, "settings": settings}
        servers[0].run("replSetInitiate", config)
        mongods.until(lambda: servers[0].run("hello")["isWritablePrimary"])
        mongods.until(lambda: servers[1].run("hello")["secondary"])
        mongods.until(lambda: servers[2].run("hello").get("arbiterOnly", False))
        yield servers
    finally:
        for one in servers:
            one.stop()


def _held(server: mongods.Server) -> bool:
    """Whether it applies nothing more; one that was just made has no checkpoint yet."""
    try:
        server.run("fsync", lock=True)
    except OperationFailure:
        return False
    return True


def test_each_member_of_somebody_elses_mongodb(cli: Cli) -> None:
    with replica_set() as (primary, secondary, arbiter):
        mongods.external(cli, primary.port)
        assert told(cli) == ("primary", None)
        mongods.external(cli, arbiter.port)
        assert told(cli) == ("arbiter", None)
        assert "healthy (arbiter)" in cli.ok("status")
        mongods.external(cli, secondary.port)
        until(lambda: told(cli) == ("replica", 0.0))
        until(lambda: _held(secondary))
        # of what the primary writes by itself
        until(lambda: behind(cli, 3))
        secondary.run("fsyncUnlock")
        until(lambda: told(cli) == ("replica", 0.0))
        # one that does not know of a primary is not said to follow it
        primary.process.kill()
        until(lambda: cli.run("status").returncode == 1)
        assert "has no primary" in cli.run("status").stderr


def test_metrics_and_checks_name_the_member(cli: Cli) -> None:
    cli.write(AGENT + "tls: true\npostgres: {port: PORT1, memory: 64mb}\n")
    cli.ok("up")
    own = scrape(cli, "mngdb")
    for name in ("mngdb_unit_up", "mngdb_unit_restarts_total", "mngdb_certificate_expiry_seconds"):
        assert own.get(name, member="mng-pg") is not None, name
    assert UP["postgres"] in scrape(cli, "postgres").names
    found = json.loads(cli.run("--json", "check", "--only", "[ps]*").stdout)
    about = {one["id"]: (one["instance"], one["member"]) for one in found["findings"]}
    assert about["postgres.version"] == ("postgres", "mng-pg")
    assert about["postgres.logins-known"] == ("postgres", None)
    assert about["secrets.present"] == ("", None)
