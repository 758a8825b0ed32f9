"""A server that somebody else runs: apps converge, all else stays, nothing is restarted."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.conftest import Cli, free_port
from tests.live.clients import converge, planned, set_secret, url
from tests.live.postgres import pg, sql, value
from tests.live.scrapes import AGENT, until, whole

pytestmark = pytest.mark.live

THEIRS = """
name: mng
postgres: {port: PORT1, memory: 128mb}
apps: {crm: {postgres: {database: crm, connections: 7}}}
"""
OURS = """
name: own
instances:
  legacy:
    engine: postgres
    target: {external: {url: "postgresql://ADMIN@127.0.0.1:PORT1/postgres"}}SETTINGS
apps:
  shop:   {legacy: shop}
  report: {legacy: {database: shop, access: readonly}}
"""
ADMIN_SECRET = "the-secret-of-the-other-administrator-32"


@pytest.fixture(scope="module")
def theirs(module_cli: Cli) -> Cli:
    """Somebody else's server: another stack's, whose hba file lets everybody in by password."""
    module_cli.write(THEIRS)
    module_cli.ok("up")
    hba = module_cli.state / "servers" / "mng-pg" / "conf" / "pg_hba.conf"
    hba.write_text(hba.read_text() + "host all all 127.0.0.1/32 scram-sha-256\n")
    sql(
        module_cli,
        "SELECT pg_reload_conf()",
        f"CREATE ROLE boss LOGIN SUPERUSER PASSWORD '{ADMIN_SECRET}'",
        f"CREATE ROLE clerk LOGIN CREATEROLE CREATEDB PASSWORD '{ADMIN_SECRET}'",
        "GRANT CONNECT ON DATABASE postgres TO clerk",
        "CREATE ROLE human LOGIN",
    )
    sql(module_cli, "CREATE TABLE customer (id int)", app="crm")
    return module_cli


@pytest.fixture(params=["boss", "clerk"])
def admin(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ours(tmp_path: Path, theirs: Cli, admin: str) -> Iterator[Cli]:
    """Our stack on their server, administered by a superuser and by one who may only make roles
    and databases."""
    cli = Cli(tmp_path)
    write(cli, theirs, admin)
    set_secret(cli, "legacy_admin", ADMIN_SECRET)
    yield cli
    for database in ("shop", "shop2", "quiet"):
        sql(theirs, f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
    for (role,) in sql(theirs, "SELECT rolname FROM pg_roles WHERE rolname IN ('shop', 'report')"):
        sql(theirs, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def write(cli: Cli, theirs: Cli, admin: str, settings: str = "", more: str = "") -> None:
    """The file of our stack."""
    text = OURS.replace("ADMIN", admin).replace("PORT1", str(theirs.port(1))) + more
    cli.write(text.replace("SETTINGS", f"\n    settings: {{{settings}}}" if settings else ""))


def theirs_as_it_was(theirs: Cli) -> list[object]:
    """All that is not ours on their server."""
    return [
        sql(theirs, "SELECT pg_postmaster_start_time()"),
        sql(theirs, "SELECT * FROM pg_authid WHERE rolname NOT IN ('shop', 'report') ORDER BY oid"),
        sql(
            theirs, "SELECT * FROM pg_database WHERE datname NOT IN ('shop', 'shop2') ORDER BY oid"
        ),
        sql(theirs, "SELECT relname, relowner, relacl FROM pg_class ORDER BY oid", database="crm"),
    ]


def test_apps_converge_and_all_else_stays(ours: Cli, theirs: Cli) -> None:
    before = theirs_as_it_was(theirs)
    converge(ours)
    with psycopg.connect(url(ours, "legacy", "shop"), autocommit=True) as shop:
        shop.execute("CREATE TABLE item (id int)")
    with psycopg.connect(url(ours, "legacy", "report"), autocommit=True) as report:
        assert report.execute("SELECT count(*) FROM item").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            report.execute("DELETE FROM item")
    assert ours.env_of("shop")["LEGACY_DATABASE"] == "shop"
    assert planned(ours) == []
    assert theirs_as_it_was(theirs) == before
    assert not (ours.state / "servers").exists()


def test_tampering_is_mended_and_a_secret_changed_by_hand_too(ours: Cli, theirs: Cli) -> None:
    ours.ok("up")
    sql(
        theirs,
        "ALTER ROLE shop PASSWORD 'guessed'",
        "ALTER ROLE report CREATEDB CONNECTION LIMIT 1",
        "GRANT CONNECT ON DATABASE shop TO PUBLIC",
    )
    assert {what for _, what in planned(ours)} == {"role shop", "role report", "database shop"}
    converge(ours)
    with psycopg.connect(url(ours, "legacy", "shop")):
        pass


def test_the_owner_moves_and_the_app_goes(ours: Cli, theirs: Cli, admin: str) -> None:
    ours.ok("up")
    with psycopg.connect(url(ours, "legacy", "shop"), autocommit=True) as shop:
        shop.execute("CREATE TABLE item (id int)")
    text = (ours.folder / "mngdb.yaml").read_text()
    ours.write(text.replace("{legacy: shop}", "{legacy: shop2}").replace("readonly", "owner"))
    converge(ours)
    with psycopg.connect(url(ours, "legacy", "report"), autocommit=True) as report:
        report.execute("ALTER TABLE item ADD x int")
    ours.write(text.split("  report:")[0])
    ours.ok("up", "--allow", "role report", "--allow", "database shop")
    assert planned(ours) == []
    assert value(theirs, "SELECT count(*) FROM pg_roles WHERE rolname = 'report'") == 0


def test_a_hand_over_that_is_killed_is_finished_by_the_same_command(
    ours: Cli, theirs: Cli, admin: str
) -> None:
    """Some tables in each transaction, also without a superuser's rights: all of them at once may
    need more locks than the server has. The app that stays works on."""
    ours.ok("up")
    with psycopg.connect(url(ours, "legacy", "shop"), autocommit=True) as shop:
        shop.execute("; ".join(f"CREATE TABLE t{n} (i serial)" for n in range(150)))
        shop.execute("CREATE FUNCTION plain() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    text = (ours.folder / "mngdb.yaml").read_text()
    stays = text.replace("{legacy: shop}", "{legacy: {database: shop, access: readwrite}}")
    ours.write(stays.replace("readonly", "owner"))
    argv = [*ours.argv("up"), "--allow", "database shop"]
    moved = "SELECT count(*) FROM pg_tables WHERE tableowner = 'report'"
    with pg(theirs, database="shop") as boss, boss.transaction():
        boss.execute("LOCK TABLE t120 IN ACCESS SHARE MODE")
        up = subprocess.Popen(argv, cwd=ours.folder, env=ours.environ(), stdout=subprocess.DEVNULL)
        try:
            until(lambda: value(theirs, moved, database="shop"))
        finally:
            up.kill()
            up.wait()
        assert value(theirs, moved, database="shop") < 150
        fill(ours, "shop")
    converge(ours, "--allow", "database shop")
    fill(ours, "shop")
    fill(ours, "report")
    every = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
    assert sql(theirs, every, database="shop") == [("report",)]
    whose = "SELECT proowner::regrole::text FROM pg_proc WHERE proname = 'plain'"
    assert value(theirs, whose, database="shop") == "report"


def fill(ours: Cli, app: str) -> None:
    """The first table, the last one and their sequences can be used."""
    with psycopg.connect(url(ours, "legacy", app), autocommit=True) as client:
        client.execute("INSERT INTO t0 DEFAULT VALUES; INSERT INTO t149 DEFAULT VALUES")


@pytest.mark.parametrize("admin", ["boss"], indirect=True)
def test_a_foreign_database_or_role_is_taken_over_only_by_name(ours: Cli, theirs: Cli) -> None:
    more = "  human: {legacy: crm}\n"
    before = theirs_as_it_was(theirs)
    write(ours, theirs, "boss", more=more)
    steps = [s for s in ours.json("plan")["steps"] if s["destructive"]]
    assert [s["object"] for s in steps] == ["role human"]
    assert ours.run("up").returncode == 1
    assert theirs_as_it_was(theirs) == before
    write(ours, theirs, "boss", more="  newcomer: {legacy: crm}\n")
    done = ours.run("up")
    assert done.returncode == 1
    assert "mngdb up --allow 'database crm'" in done.stderr
    assert (
        value(theirs, "SELECT datdba::regrole::text FROM pg_database WHERE datname='crm'") == "crm"
    )
    sql(theirs, "DROP ROLE newcomer")


@pytest.mark.parametrize("admin", ["boss"], indirect=True)
def test_a_role_of_another_stack_is_refused_also_by_name(ours: Cli, theirs: Cli) -> None:
    before = theirs_as_it_was(theirs)
    write(ours, theirs, "boss", more="  crm: {legacy: crm}\n")
    for command in (["plan"], ["up"], ["up", "--allow", "crm"]):
        done = ours.run(*command)
        assert done.returncode == 2
        assert "belongs to the stack mng" in done.stderr
    assert theirs_as_it_was(theirs) == before


@pytest.mark.parametrize("admin", ["boss"], indirect=True)
def test_an_app_that_their_pg_hba_shuts_out_is_told_by_up(ours: Cli, theirs: Cli) -> None:
    away = (
        f"{{engine: redis, target: {{external: {{url: 'redis://admin@127.0.0.1:{free_port()}'}}}}}}"
    )
    file = (ours.folder / "mngdb.yaml").read_text()
    ours.write(file.replace("apps:\n", f"  away: {away}\napps:\n"))
    set_secret(ours, "away_admin", ADMIN_SECRET)
    hba = theirs.state / "servers" / "mng-pg" / "conf" / "pg_hba.conf"
    before = hba.read_text()
    hba.write_text("host all report 127.0.0.1/32 reject\n" + before)
    try:
        sql(theirs, "SELECT pg_reload_conf()")
        done = ours.run("up")
        # another server's failure hides nothing: the next 'up' has no step that would tell
        assert done.returncode == 3, done.stderr
        assert "report cannot use legacy" in done.stderr
        assert "shop cannot use legacy" not in done.stderr
    finally:
        hba.write_text(before)
        sql(theirs, "SELECT pg_reload_conf()")


@pytest.mark.parametrize("admin", ["boss"], indirect=True)
def test_a_hot_setting_is_set_and_a_cold_one_becomes_a_remark(ours: Cli, theirs: Cli) -> None:
    before = value(theirs, "SELECT pg_postmaster_start_time()")
    write(ours, theirs, "boss", "log_temp_files: 20MB, max_connections: 77")
    try:
        steps = converge(ours)
        assert {"setting log_temp_files"} == {
            s["object"] for s in steps if s["object"].startswith("setting")
        }
        assert value(theirs, "SHOW log_temp_files") == "20MB"
        (notice,) = [r["text"] for r in ours.json("plan")["remarks"] if "max_conn" in r["text"]]
        assert notice.startswith("max_connections is 200")
        assert notice.endswith("77")
    finally:
        sql(theirs, "ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()")
    assert value(theirs, "SELECT pg_postmaster_start_time()") == before


@pytest.mark.parametrize("admin", ["clerk"], indirect=True)
def test_settings_without_the_right_to_set_them_are_remarks(ours: Cli, theirs: Cli) -> None:
    write(ours, theirs, "clerk", "log_temp_files: 20MB")
    converge(ours)
    (notice,) = [r for r in ours.json("plan")["remarks"] if "log_temp_files" in r["text"]]
    assert "external" in notice["hint"]


@pytest.mark.parametrize("admin", ["clerk"], indirect=True)
def test_the_secrets_come_from_the_environment(ours: Cli, theirs: Cli) -> None:
    text = (ours.folder / "mngdb.yaml").read_text()
    ours.write(text + "vault: environ\n")
    missing = ours.run("up")
    assert missing.returncode == 2
    assert "MNGDB_SECRET_LEGACY_ADMIN" in missing.stderr
    ours.env = {
        "MNGDB_SECRET_LEGACY_ADMIN": ADMIN_SECRET,
        "MNGDB_SECRET_LEGACY_SHOP": "s" * 32,
        "MNGDB_SECRET_LEGACY_REPORT": "r" * 32,
    }
    converge(ours)
    assert urlsplit(url(ours, "legacy", "shop")).password == "s" * 32


@pytest.mark.parametrize("admin", ["clerk"], indirect=True)
def test_an_administrator_without_the_log_has_logical_snapshots_and_brings_parts_back(
    ours: Cli, theirs: Cli, tmp_path: Path
) -> None:
    """As with RDS: who may make roles and databases, and no more."""
    backup = f"backup: {{store: {tmp_path}/store}}\n"
    agent = AGENT.replace("{ports", "{external: true, ports")
    write(ours, theirs, "clerk", more=backup + agent)
    assert "logical: only" in str(ours.json("plan")["remarks"])
    write(ours, theirs, "clerk", more=f"{backup}agent: false\n")
    ours.ok("up")
    with psycopg.connect(url(ours, "legacy", "shop"), autocommit=True) as shop:
        shop.execute("CREATE TABLE item AS SELECT 7 AS n")
        text = (ours.folder / "mngdb.yaml").read_text()
        ours.write(text.replace("engine: postgres", "engine: postgres\n    logical: only"))
        done = ours.run("backup", "--json")
        assert [one["kind"] for one in json.loads(done.stdout)["instances"]] == ["logical"]
        assert "crm" in done.stderr  # which is not theirs to read
    ours.ok("restore", "legacy", "--latest", "--database", "shop", "--as", "quiet")
    assert value(theirs, "SELECT n FROM item", database="quiet") == 7
    assert value(theirs, "SELECT count(*) FROM pg_roles WHERE rolname = 'mngdb_restoring'") == 0
    comes_back_beside(ours, tmp_path / "again")


def comes_back_beside(ours: Cli, folder: Path) -> None:
    """From a kit: nobody replaces the data of a server that somebody else runs."""
    kit = str(ours.folder / "kit.age")
    ours.ok("backup", "kit", "--output", kit, stdin="a passphrase\n")
    into = ("backup", "kit", "--open", kit, "--into", str(folder))
    done = ours.run(*into, "--restore", stdin="a passphrase\n")
    again = Cli(folder)
    assert (done.returncode, "is on external" in done.stderr) == (0, True), done.stderr
    try:
        address = again.ok("url", "legacy", "shop", "--restored").strip()
        with psycopg.connect(address) as client:
            assert client.execute("SELECT n FROM item").fetchall() == [(7,)]
    finally:
        again.ok("restore", "--forget")


@pytest.mark.parametrize("admin", ["boss"], indirect=True)
def test_a_wrong_administrators_secret_cannot_be_observed(ours: Cli, theirs: Cli) -> None:
    set_secret(ours, "legacy_admin", "quite-another-secret-of-32-characters")
    for command in ("plan", "up"):
        done = ours.run(command)
        assert done.returncode == 3
        assert "refuses the secret of boss" in done.stderr
        assert "quite-another" not in done.stderr + done.stdout
    assert theirs.json("status")["units"][0]["healthy"]


@pytest.mark.parametrize("admin", ["boss"], indirect=True)
def test_a_server_that_does_not_answer_cannot_be_observed(ours: Cli) -> None:
    text = (ours.folder / "mngdb.yaml").read_text()
    port = free_port()
    ours.write(text.replace("@127.0.0.1:", f"@127.0.0.1:{port}/postgres?x=").replace("=%", "="))
    for command in ("plan", "up"):
        done = ours.run(command)
        assert done.returncode == 3
        assert f"PostgreSQL does not answer at 127.0.0.1:{port}" in done.stderr
    assert not (ours.state / "servers").exists()


@pytest.mark.parametrize("admin", ["boss"], indirect=True)
def test_a_missing_administrators_secret_is_asked_for(ours: Cli) -> None:
    (ours.state / "secrets" / "legacy_admin").unlink()
    done = ours.run("up")
    assert done.returncode == 2
    assert "mngdb secret set legacy_admin" in done.stderr


def test_the_agent_looks_at_it_on_request(ours: Cli, theirs: Cli, admin: str) -> None:
    agent = AGENT.replace("{ports", "{external: true, ports")
    if admin == "clerk":
        sql(theirs, "GRANT pg_monitor TO clerk WITH ADMIN OPTION")
    write(ours, theirs, admin, more=agent)
    try:
        assert ours.json("plan")["remarks"] == []  # everybody may enter postgres
        sql(theirs, "REVOKE CONNECT ON DATABASE postgres FROM PUBLIC")
        assert ("create", "role monitor") in planned(ours)
        ours.ok("up")
        assert planned(ours) == []
        if admin == "clerk":
            (notice,) = [one["hint"] for one in ours.json("plan")["remarks"]]
            sql(theirs, notice.rpartition(": ")[2])
        assert whole(ours, "postgres").of("pg_database_size_bytes", datname="shop") > 0
        write(ours, theirs, admin)
        assert ("revoke", "role monitor") in planned(ours)
        sql(theirs, "REVOKE CONNECT ON DATABASE postgres FROM monitor")
        ours.ok("up", "--prune")
        assert value(theirs, "SELECT count(*) FROM pg_roles WHERE rolname = 'monitor'") == 0
    finally:
        write(ours, theirs, admin)
        ours.run("up", "--prune")
        sql(
            theirs,
            "REVOKE pg_monitor FROM clerk CASCADE",
            "GRANT CONNECT ON DATABASE postgres TO PUBLIC",
        )


def test_an_extension_that_the_server_lacks_is_told_before_anything_changes(
    ours: Cli, theirs: Cli, admin: str
) -> None:
    before = theirs_as_it_was(theirs)
    write(ours, theirs, admin)
    text = (ours.folder / "mngdb.yaml").read_text()
    asked = "{legacy: {database: shop, extensions: [pg_trgm, vector, uuid-ossp]}}"
    ours.write(text.replace("{legacy: shop}", asked))
    for command in ("plan", "up"):
        done = ours.run(command)
        assert done.returncode == 2
        assert (
            "the extensions 'vector' (app shop), 'uuid-ossp' (app shop) are not available"
            in done.stderr
        )
        assert "install postgresql-17, postgresql-17-pgvector" in done.stderr
    assert theirs_as_it_was(theirs) == before


def test_an_app_creates_databases_there_if_the_file_says_so(
    ours: Cli, theirs: Cli, admin: str
) -> None:
    write(ours, theirs, admin)
    text = (ours.folder / "mngdb.yaml").read_text()
    asked = "{legacy: {databases: [shop, 'quiet*'], create_databases: true}}"
    ours.write(text.replace("{legacy: shop}", asked))
    ours.ok("up")
    assert planned(ours) == []
    with psycopg.connect(ours.env_of("shop")["LEGACY_URL"], autocommit=True) as app:
        app.execute("CREATE DATABASE quiet")
        app.execute("CREATE DATABASE shop2")
    ours.ok("up")
    assert planned(ours) == []
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = "
    assert [value(theirs, f"{owner}'{one}'") for one in ("quiet", "shop2")] == ["shop"] * 2
