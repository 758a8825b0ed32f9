"""PostgreSQL 18 beside 17: found by version, as hardened, as seen."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from mngdb.targets.local import copied, programs
from tests.conftest import Cli
from tests.live import faults
from tests.live.clients import brought_up, converge
from tests.live.scrapes import AGENT, until, whole

pytestmark = pytest.mark.live

FILE = (
    AGENT
    + """
postgres: {version: 18, port: PORT1, memory: 64mb}
instances:
  old: {engine: postgres, version: 17, port: PORT2, memory: 64mb}
apps:
  shop: {postgres: {database: shop, extensions: [pg_trgm]}, old: shop}
  report: {postgres: {database: shop, access: readonly}}
"""
)
stack = brought_up(FILE)
ALONE = "postgres: {version: 18, port: PORT1, memory: 64mb}\napps: {shop: {postgres: shop}}\n"


def test_both_run_side_by_side_and_nothing_is_left_to_do(stack: Cli) -> None:
    units = {unit["instance"]: unit["version"] for unit in stack.json("status")["units"]}
    assert units["postgres"].startswith("18.")
    assert units["old"].startswith("17.")
    assert stack.json("plan")["steps"] == []


def test_pgvector_is_found_in_18_and_17_says_where_it_is(cli: Cli) -> None:
    for version, code in (("18", 0), ("17", 2)):
        text = ALONE.replace(
            "{postgres: shop}", "{postgres: {database: shop, extensions: [vector]}}"
        )
        cli.write(text.replace("18", version))
        done = cli.run("plan")
        assert done.returncode == code, done.stderr
    assert "postgresql-17-pgvector" in done.stderr
    assert "'version: 18' (pip install 'mngdb[postgres18]')" in done.stderr


def test_the_settings_are_those_that_are_shown(stack: Cli) -> None:
    """Read back from the server; what it was not built with is not asked for."""
    with psycopg.connect(stack.ok("url", "postgres").strip()) as admin:
        rows: list[Any] = admin.execute("SELECT name, setting FROM pg_settings").fetchall()
        errors = admin.execute("SELECT * FROM pg_file_settings WHERE error IS NOT NULL").fetchall()
        sums = admin.execute("SHOW data_checksums").fetchone()
    found = dict(rows)
    assert errors == []
    assert sums == ("on",)
    assert found["wal_compression"] == "pglz"
    assert found["password_encryption"] == "scram-sha-256"


def test_an_app_works_with_its_rights_alone(stack: Cli) -> None:
    with psycopg.connect(stack.env_of("shop")["POSTGRES_URL"], autocommit=True) as shop:
        shop.execute("CREATE TABLE item (id bigint PRIMARY KEY)")
        shop.execute("INSERT INTO item VALUES (1)")
    with psycopg.connect(stack.env_of("report")["POSTGRES_URL"], autocommit=True) as report:
        assert report.execute("SELECT id FROM item").fetchall() == [(1,)]
        for app in ("shop", "report"):
            assert "problem" not in stack.ok("doctor", app)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            report.execute("DELETE FROM item")
    assert "apps.report.postgres.access: readwrite" in stack.run("doctor", "report").stdout


def test_every_check_can_be_judged_as_on_17(stack: Cli) -> None:
    report = json.loads(stack.run("--json", "check", "--only", "postgres.*").stdout)
    assert report["summary"]["unknown"] == 0
    verdicts: dict[str, dict[str, str]] = {}
    for one in report["findings"]:
        verdicts.setdefault(one["id"], {})[one["instance"]] = one["verdict"]
    differ = {
        name: both for name, both in verdicts.items() if both.get("postgres") != both.get("old")
    }
    assert set(differ) <= {"postgres.version"}, differ


def test_the_metrics_are_those_of_17(stack: Cli) -> None:
    def names(instance: str) -> set[str]:
        return whole(stack, "postgres", f"/metrics/{instance}").names

    assert len(names("postgres")) > 100
    # what only 17 has are settings of things that 18 was not built with
    until(lambda: all(one.startswith("pg_settings_") for one in names("old") - names("postgres")))


@pytest.mark.parametrize("command", ["locks", "sessions", "slow", "memory", "indexes", "bloat"])
def test_the_looks_work(stack: Cli, command: str) -> None:
    done = stack.run("--json", command)
    assert done.returncode in {0, 1}, done.stderr
    assert json.loads(done.stdout)


def test_a_snapshot_of_the_other_major_version_is_refused_before_anything_is_read(
    stack: Cli,
) -> None:
    stack.ok("backup")
    text = (stack.folder / "mngdb.yaml").read_text()
    stack.write(text.replace("version: 18", "version: XX").replace("version: 17", "version: 18")
                .replace("version: XX", "version: 17").replace("[pg_trgm]", "[]"))  # fmt: skip
    for instance, taken, here in (("postgres", "18", "17"), ("old", "17", "18")):
        done = stack.run("restore", instance, "--latest")
        assert done.returncode == 1
        assert f"the snapshot is of PostgreSQL {taken}" in done.stderr
        assert f"is {here}." in done.stderr
        (drill,) = json.loads(stack.run("--json", "drill", instance).stdout)["drills"]
        assert drill["verdict"] == "fail"
        assert f"install PostgreSQL {taken}" in done.stderr
    assert not list((stack.state / "restored").glob("*/"))
    assert not list((stack.state / "drills").glob("*/"))
    (stack.folder / "mngdb.yaml").write_text(text)
    assert {one["verdict"] for one in stack.json("drill")["drills"]} == {"pass"}


def test_external_servers_of_both_versions_have_incremental_snapshots(
    stack: Cli, tmp_path: Path
) -> None:
    """The file does not say which version they have. Where they keep no summaries of their log,
    each snapshot is a full one, and that is said."""
    ours = Cli(tmp_path)
    text = f"name: ours\nagent: false\nbackup: {{store: {tmp_path}/store}}\ninstances:\n"
    for name, port in (("new", 1), ("old", 2)):
        at = f"postgresql://postgres@127.0.0.1:{stack.port(port)}/postgres"
        text += f"  {name}: {{engine: postgres, target: {{external: {{url: '{at}'}}}}}}\n"
    ours.write(text)
    for name, theirs in (("new", "postgres"), ("old", "old")):
        secret = (stack.state / "secrets" / f"{theirs}_admin").read_text()
        ours.ok("secret", "set", f"{name}_admin", stdin=secret)
    ours.ok("up")

    def kinds() -> tuple[list[str], str]:
        done = ours.run("backup", "--json")
        return [one["kind"] for one in json.loads(done.stdout)["instances"]], done.stderr

    assert kinds()[0] == ["full"] * 2
    assert kinds()[0] == ["incremental"] * 2
    drills = ours.json("drill")["drills"]
    assert {one["verdict"] for one in drills} == {"pass"}, drills
    off, on = "ALTER SYSTEM SET summarize_wal = off", "ALTER SYSTEM RESET summarize_wal"
    for change in (off, on):
        for instance in ("postgres", "old"):
            with psycopg.connect(stack.ok("url", instance).strip(), autocommit=True) as admin:
                admin.execute(change)
                admin.execute("SELECT pg_reload_conf()")
        if change == off:
            for _ in range(2):
                found, said = kinds()
                assert (found, said.count("summarize_wal is off")) == (["full"] * 2, 2), said


def test_what_its_build_lacks_is_told_before_anything_starts(cli: Cli) -> None:
    for text, said in (
        (ALONE.replace("18, ", "18, tls: true, "), "built without it"),
        (ALONE.replace("18, ", "18, settings: {wal_compression: zstd}, "), "wal_compression"),
        (
            ALONE.replace("postgres: shop}", "postgres: {database: shop, extensions: [pgcrypto]}}"),
            "the extension 'pgcrypto' (app shop) is not available",
        ),
    ):
        cli.write(text)
        for command in ("plan", "up"):
            done = cli.run(command)
            assert done.returncode in {1, 2}
            assert said in done.stderr
        assert faults.running(cli) == set()


def test_the_data_of_the_other_major_version_is_refused_either_way(cli: Cli) -> None:
    for wrote, other in ((18, 17), (17, 18)):
        cli.write(ALONE.replace("18", str(wrote)))
        cli.ok("up")
        cli.write(ALONE.replace("18", str(other)))
        before = faults.running(cli)
        assert before
        for command in ("plan", "up"):
            done = cli.run(command)
            assert done.returncode == 1
            assert f"was written by PostgreSQL {wrote}, and PostgreSQL {other}" in done.stderr
            assert "dump and restore" in done.stderr
        assert faults.running(cli) == before
        cli.ok("destroy", "--yes", "mng")


def test_a_change_converges(cli: Cli) -> None:
    cli.write(ALONE)
    cli.ok("up")
    cli.write(ALONE.replace("memory: 64mb", "memory: 96mb, max_connections: 50, slow: 1s"))
    assert any(step["restart"] for step in converge(cli))
    cli.write(ALONE)
    converge(cli)


def test_its_libraries_come_with_it_to_where_the_servers_account_can_go(tmp_path: Path) -> None:
    """Its programs look for them in a folder beside its package."""
    found = programs.find("postgres", "18", None, None)
    package = Path(found.folder).parents[1]
    private = tmp_path / "venv"
    private.mkdir(mode=0o700)
    shutil.copytree(package, private / package.name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    shutil.copytree(libraries, private / libraries.name)
    folder = private / Path(found.folder).relative_to(package.parent)
    hidden = replace(found, server=str(folder / "postgres"), folder=str(folder))
    copy = copied.reachable(hidden, os.geteuid() + 4242, tmp_path / "copies", alone=False)
    assert Path(copy.server).is_relative_to(tmp_path / "copies")
    shutil.rmtree(private)
    for name in ("postgres", "initdb", "psql", "pg_resetwal"):
        done = subprocess.run(
            [f"{copy.folder}/{name}", "--version"], capture_output=True, text=True
        )
        assert "18." in done.stdout, done.stderr


def test_both_are_found_by_their_version() -> None:
    found = {v: programs.find("postgres", v, None, None).version for v in ("17", "18")}
    assert {v: version.split(".")[0] for v, version in found.items()} == {"17": "17", "18": "18"}
