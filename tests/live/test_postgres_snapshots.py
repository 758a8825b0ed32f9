"""PostgreSQL's incremental and logical snapshots: what they need, and what comes back."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from mngdb.engines.postgres import base_backup
from mngdb.engines.postgres import logical as postgres_logical
from mngdb.snapshot import Base
from tests.conformance.test_damage import HARMS, Backups
from tests.conftest import EVERYTHING, Cli
from tests.live.clients import url
from tests.live.postgres import pg, sql, value
from tests.live.snapshots import Memory, logically, proved, taken

pytestmark = pytest.mark.live

FILE = """
name: mng
postgres: {{port: PORT1, memory: 128mb}}
agent: false
apps: {{shop: {{postgres: shop}}}}
backup: {{store: {store}{more}}}
"""
CONTENT = "SELECT md5(string_agg(t::text, ',' ORDER BY id)) FROM item t"


@pytest.fixture(scope="module")
def stack(module_cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A stack with some data, also in a tablespace."""
    written(module_cli, tmp_path_factory.mktemp("store"))
    module_cli.ok("up")
    data = (module_cli.state / "servers" / "mng-pg" / "data").stat()
    space = module_cli.state / "servers" / "mng-pg" / "more"
    space.mkdir()
    os.chown(space, data.st_uid, data.st_gid)
    with pg(module_cli) as admin:
        admin.execute(f"CREATE TABLESPACE more LOCATION '{space}'")
    with pg(module_cli, database="shop") as admin:
        admin.execute("CREATE TABLE apart TABLESPACE more AS SELECT 7 AS number")
    sql(
        module_cli,
        "CREATE TABLE item AS SELECT g AS id, repeat(md5(g::text), 8) AS name "
        "FROM generate_series(1, 60000) g",
        app="shop",
    )
    return module_cli


@pytest.fixture
def store(stack: Cli, tmp_path: Path) -> Iterator[Path]:
    """A directory of its own for the backups of a test."""
    written(stack, tmp_path)
    yield tmp_path / "store"
    stack.ok("restore", "--forget")


def written(cli: Cli, folder: Path, more: str = "") -> None:
    cli.write(FILE.format(store=folder / "store", more=more))


def backup(cli: Cli, *options: str) -> Any:
    (found,) = cli.json("backup", *options)["instances"]
    return found


def change(cli: Cli) -> str:
    """Change a little; what there is then."""
    sql(cli, "UPDATE item SET name = reverse(name) || 'x' WHERE id % 6000 = 0", app="shop")
    with pg(cli, database="shop") as admin:
        admin.execute("UPDATE apart SET number = number + 1")
    return str(value(cli, CONTENT, app="shop"))


def restored(cli: Cli, snapshot: str) -> tuple[str, int]:
    """What a server of a snapshot has, and the number in the tablespace."""
    found, live = cli.json("restore", "postgres", "--snapshot", snapshot), url(cli, "postgres")
    host = live.rpartition("@")[2].partition("/")[0]
    with psycopg.connect(live.replace(host, found["address"]), dbname="shop") as client:
        ((content,),) = client.execute(CONTENT).fetchall()
        ((number,),) = client.execute("SELECT number FROM apart").fetchall()
    return content, number


def test_each_of_a_chain_is_restored_as_it_was(stack: Cli, store: Path) -> None:
    taken = [backup(stack)]
    before = str(value(stack, CONTENT, app="shop"))
    with pg(stack, database="shop") as admin:
        ((number,),) = admin.execute("SELECT number FROM apart").fetchall()
    contents = [before]
    for _ in range(2):
        contents.append(change(stack))
        taken.append(backup(stack))
    assert [one["kind"] for one in taken] == ["full", "incremental", "incremental"]
    assert [one["parent"] for one in taken] == [None, taken[0]["id"], taken[1]["id"]]
    assert all(one["stored_bytes"] * 3 < taken[0]["stored_bytes"] for one in taken[1:])
    for place in (0, 2):
        assert restored(stack, taken[place]["id"]) == (contents[place], number + place), place
    assert not list(stack.state.glob("restored/**/chain"))
    assert stack.json("verify")["verdict"] == "pass"
    (drill,) = stack.json("drill", "--snapshot", taken[1]["id"])["drills"]
    assert drill["verdict"] == "pass", drill["checks"]
    assert taken[0]["id"] in stack.ok("backups")
    (kept,) = (stack.state / "bases" / "postgres").iterdir()
    assert (kept.name, kept.stat().st_mode & 0o777) == (taken[2]["id"], 0o600)


def test_damage_of_a_parent_is_told_and_the_next_is_a_full_one(stack: Cli, store: Path) -> None:
    full, child = backup(stack), backup(stack)
    assert (full["kind"], child["kind"]) == ("full", "incremental")
    victim = next(store.rglob(f"{full['id']}/base.tar.000000.zst.age"))
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    done = stack.run("--json", "verify")
    assert done.returncode == 1
    assert any(child["id"] in text for text in json.loads(done.stdout)["damaged"])
    done = stack.run("restore", "postgres", "--snapshot", child["id"])
    assert (done.returncode, victim.name in done.stderr) == (1, True)
    assert child["id"] not in done.stderr.partition("hint")[2], "the child needs it, too"
    after = backup(stack)
    assert (after["kind"], after["parent"]) == ("full", None)
    child = backup(stack)
    victim = next(store.rglob(f"{child['id']}/base.tar.000000.zst.age"))
    victim.write_bytes(victim.read_bytes()[:-1] + b"?")
    assert (child["kind"], stack.run("drill").returncode) == ("incremental", 1)
    assert backup(stack)["kind"] == "full"


@pytest.mark.parametrize("whose", ["full", *["incremental"] * EVERYTHING])
def test_each_damage_of_a_chain_is_named_by_verify_and_by_restore(
    stack: Cli, store: Path, whose: str
) -> None:
    ids = [backup(stack)["id"] for _ in range(3)]
    full, middle, last = (next(store.rglob(one)) for one in ids)
    victim, other = (full, middle) if whose == "full" else (middle, full)
    found = Backups(stack, other, victim, [], 0, "")
    kinds = [one for one in HARMS if not one.startswith("segment")]
    for kind in kinds if EVERYTHING else ["part, another snapshot's", "manifest, missing"]:
        whole = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
        named = HARMS[kind](found)
        verified = stack.run("--json", "verify")
        tried = stack.run("restore", "postgres", "--snapshot", last.name)
        for path, content in whole.items():
            path.write_bytes(content)
        damaged = " ".join(json.loads(verified.stdout)["damaged"])
        assert (verified.returncode, victim.name in damaged) == (1, True), kind
        assert last.name in damaged, "what builds on it is named, too"
        assert (tried.returncode, victim.name in tried.stderr) == (1, True), tried.stderr
        assert kind.startswith("manifest") or named.name in tried.stderr
    assert not list((stack.state / "restored").glob("*/"))
    assert stack.json("verify")["verdict"] == "pass"


def test_a_parent_that_is_gone_costs_a_full_one(stack: Cli, store: Path) -> None:
    full, child = backup(stack), backup(stack)
    (manifest,) = store.rglob(f"{full['id']}/manifest.json")
    manifest.unlink()
    done = stack.run("--json", "backups")
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert any(full["id"] in text and child["id"] in text for text in found["damaged"])
    assert found["instances"][0]["reachable"] == []
    done = stack.run("restore", "postgres", "--snapshot", child["id"])
    assert (done.returncode, full["id"] in done.stderr) == (1, True)
    done = stack.run("backup", "--json")
    assert json.loads(done.stdout)["instances"][0]["kind"] == "full"
    assert full["id"] in done.stderr


def test_a_truncated_parent_is_seen_before_anything_builds_on_it(stack: Cli, store: Path) -> None:
    full = backup(stack)
    victim = next(store.rglob(f"{full['id']}/base.tar.000000.zst.age"))
    victim.write_bytes(victim.read_bytes()[:-1])
    done = stack.run("backup", "--json")
    assert json.loads(done.stdout)["instances"][0]["kind"] == "full"
    assert victim.name in done.stderr


def test_who_asks_for_full_ones_gets_them(stack: Cli, store: Path, tmp_path: Path) -> None:
    backup(stack)
    assert backup(stack, "--full")["kind"] == "full"
    assert backup(stack)["kind"] == "incremental"
    written(stack, tmp_path, ", full: 0s")
    assert backup(stack)["kind"] == "full"


def test_a_replaced_server_begins_with_a_full_one(stack: Cli, store: Path) -> None:
    first, content = backup(stack), str(value(stack, CONTENT, app="shop"))
    stack.ok("restore", "postgres", "--snapshot", first["id"], "--replace", "--yes")
    done = stack.run("backup", "--json")
    assert json.loads(done.stdout)["instances"][0]["kind"] == "full"
    assert "history" in done.stderr
    child = backup(stack)
    assert child["kind"] == "incremental"
    stack.ok("restore", "postgres", "--undo", "--yes")
    number = value(stack, "SELECT number FROM apart", database="shop")
    stack.ok("restore", "postgres", "--forget", "--replaced", "--yes")
    stack.ok("restore", "postgres", "--snapshot", child["id"], "--replace", "--yes")
    stack.ok("restore", "postgres", "--forget", "--replaced", "--yes")
    # the tablespace is not in what was removed
    assert value(stack, "SELECT number FROM apart", database="shop") == number
    assert str(value(stack, CONTENT, app="shop")) == content


def test_what_the_server_refuses_costs_a_full_one(stack: Cli, tmp_path: Path) -> None:
    """In its own words: a manifest that is none, and summaries that are gone."""
    full = taken(stack, "postgres")
    kept = tmp_path / "kept"
    kept.write_bytes(full.streams["backup_manifest"][:-40])
    damaged = Memory()
    damaged.base = Base(full.taken, kept)
    found = taken(stack, "postgres", damaged).taken
    assert (found.kind, len(damaged.told)) == ("full", 1), damaged.told
    kept.write_bytes(full.streams["backup_manifest"])
    change(stack)
    with pg(stack) as admin:
        admin.execute("SELECT pg_switch_wal()")
        admin.execute("CHECKPOINT")
    for path in (stack.state / "servers/mng-pg/data/pg_wal/summaries").glob("0*.summary"):
        path.unlink()
    lost = Memory()
    lost.base = Base(full.taken, kept)
    found = taken(stack, "postgres", lost).taken
    assert (found.kind, len(lost.told)) == ("full", 1), lost.told
    assert "summar" in lost.told[0]


ODD = 'Odd "name" / 50%'


def test_a_logical_snapshot_has_every_database_and_role(stack: Cli, store: Path) -> None:
    with pg(stack) as admin:
        admin.execute("CREATE ROLE outsider CONNECTION LIMIT 7")
        admin.execute(SQL("CREATE DATABASE {} OWNER outsider").format(Identifier(ODD)))
        admin.execute("CREATE TABLE IF NOT EXISTS in_postgres AS SELECT 1 AS number")
    with pg(stack, database=ODD) as admin:
        admin.execute("CREATE TABLE odd AS SELECT lo_from_bytea(0, 'large') AS object")
    try:
        physical, logical = backup(stack), backup(stack, "--logical")
        assert (logical["kind"], logical["parent"]) == ("logical", None)
        content = str(value(stack, CONTENT, app="shop"))
        assert restored(stack, logical["id"])[0] == content
        (note,) = stack.state.glob("restored/*/restored.json")
        port = json.loads(note.read_text())["port"]
        with pg(stack, database=ODD, port=port) as admin:
            assert admin.execute("SELECT lo_get(object) FROM odd").fetchone() == (b"large",)
            owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s"
            assert admin.execute(owner, (ODD,)).fetchone() == ("outsider",)
        with pg(stack, port=port) as admin:
            assert admin.execute("SELECT number FROM in_postgres").fetchone() == (1,)
        (drill,) = stack.json("drill", "--snapshot", logical["id"])["drills"]
        assert drill["verdict"] == "pass", drill["checks"]
        part = ("--snapshot", logical["id"], "--database", "shop", "--as", "shop_then")
        stack.ok("restore", "postgres", *part)
        assert str(value(stack, CONTENT, database="shop_then")) == content
        assert stack.json("drill")["drills"][0]["snapshot"] == physical["id"]
    finally:
        with pg(stack) as admin:
            admin.execute("DROP DATABASE IF EXISTS shop_then")
            admin.execute(SQL("DROP DATABASE {}").format(Identifier(ODD)))
            admin.execute("DROP ROLE outsider")
            admin.execute("DROP TABLE in_postgres")


def test_a_logical_snapshot_holds_no_passwords_and_fails_loudly(
    stack: Cli, store: Path, tmp_path: Path
) -> None:
    dumped = logically(stack)
    assert b"CREATE ROLE shop" in dumped.streams["roles.sql"]
    assert b"SCRAM" not in dumped.streams["roles.sql"]
    written(stack, tmp_path, ", logical: true")
    assert [one["kind"] for one in stack.json("backup")["instances"]] == ["full", "logical"]
    with pg(stack) as admin:
        admin.execute("CREATE DATABASE broken")
        admin.execute("UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'broken'")
    try:
        done = stack.run("backup", "--logical")
    finally:
        with pg(stack) as admin:
            admin.execute("DROP DATABASE broken")
    assert (done.returncode, "pg_dump" in done.stderr, "broken" in done.stderr) == (1, True, True)
    *_, newest = sorted(store.rglob("manifest.json"))
    kept = json.loads(newest.read_bytes())["manifest"]["taken"]
    assert (set(kept["missing"]), "shop" in kept["notes"]["databases"]) == (
        {"database broken"},
        True,
    )
    (drill,) = json.loads(stack.run("--json", "drill", "--snapshot", newest.parent.name).stdout)[
        "drills"
    ]
    assert [one["name"] for one in drill["checks"] if one["verdict"] == "fail"] == [
        *("databases", "database broken")
    ]


@pytest.mark.parametrize("lock", ["LOCK TABLE held", "ALTER VIEW seen OWNER TO shop"])
def test_a_dump_waits_for_no_app_for_ever(
    stack: Cli, monkeypatch: pytest.MonkeyPatch, lock: str
) -> None:
    monkeypatch.setattr(postgres_logical, "PATIENCE", 2.0)
    sql(stack, "CREATE TABLE held (a int)", "CREATE VIEW seen AS SELECT a FROM held", app="shop")
    try:
        with pg(stack, "shop") as holder:
            pid = holder.info.backend_pid
            holder.execute(f"BEGIN; {lock}")
            dumped = logically(stack)
    finally:
        sql(stack, "DROP TABLE held CASCADE", app="shop")
    assert f"session {pid} of shop" in dumped.taken.missing["database shop"]
    assert "postgres.dump" in dumped.streams
    assert "shop.dump" not in dumped.streams


def test_settings_of_a_database_end_no_dump(stack: Cli) -> None:
    settings = {
        "idle_session_timeout": "1",
        "transaction_timeout": "1",
        "local_preload_libraries": "missing",
        "role": "shop",
        "search_path": "nowhere",
    }
    with pg(stack) as admin:
        try:
            for name, value in settings.items():
                admin.execute(f"ALTER DATABASE shop SET {name} = {value}")
            dumped = logically(stack)
        finally:
            for name in settings:
                admin.execute(f"ALTER DATABASE shop RESET {name}")
    assert dumped.taken.missing == {}
    assert "shop.dump" in dumped.streams


def test_an_app_does_not_hold_up_the_proof(stack: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_backup, "_READ", 1.0)
    monkeypatch.setattr(base_backup, "_LATE", 1.0)
    sql(
        stack,
        "CREATE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN "
        "IF current_setting('application_name') <> 'mngdb' THEN RETURN $1; END IF; "
        "LOOP BEGIN PERFORM pg_sleep(60); RETURN $1; "
        "EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$",
        "CREATE TABLE held AS SELECT 1 AS a",
        "CREATE INDEX ON held (slow(a))",
        app="shop",
    )
    begun = time.monotonic()
    try:
        trials = proved(stack, "postgres", taken(stack, "postgres").taken)
    finally:
        value(
            stack,
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE application_name = 'mngdb' AND datname = 'shop'",
        )
        sql(stack, "DROP EXTENSION IF EXISTS amcheck", database="shop")
        sql(stack, "DROP TABLE held", "DROP FUNCTION slow", app="shop")
    assert time.monotonic() - begun < 30
    assert not trials["database shop"].passed
    assert trials["database postgres"].passed


def test_the_proof_calls_amcheck_itself_wherever_an_app_has_it(stack: Cli) -> None:
    with pg(stack, database="shop") as admin:
        admin.execute("CREATE SCHEMA tools AUTHORIZATION shop")
        admin.execute("CREATE EXTENSION amcheck SCHEMA tools")
    fake = "CREATE FUNCTION tools.verify_heapam(oid, OUT msg text) LANGUAGE sql AS $$ SELECT 'x' $$"
    try:
        sql(stack, fake, app="shop")
        trials = proved(stack, "postgres", taken(stack, "postgres").taken)
    finally:
        sql(stack, "DROP EXTENSION amcheck", "DROP SCHEMA tools CASCADE", database="shop")
    assert trials["database shop"].passed, trials["database shop"]
    assert "amcheck" in trials["database shop"].detail
