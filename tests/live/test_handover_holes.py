"""What an app wrote never runs with more rights than the app had: not when it leaves the file, and
not when its database becomes another app's. Nor does an owner keep `up` out of its database."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

import psycopg
import pytest

from mngdb.engines.postgres import locktable
from tests.conftest import Cli
from tests.live.clients import converge, planned
from tests.live.postgres import pg, refused, sql, value
from tests.live.scrapes import until

pytestmark = [pytest.mark.live, pytest.mark.postgres]

HEAD = "name: mng\npostgres: {port: PORT1, memory: 128mb}\napps:\n  other: {postgres: mine}\n"
OWNER = "  evil: {postgres: box}\n"
READER = "  evil: {postgres: {database: box, access: readwrite}}\n"
HEIR = "  heir: {postgres: box}\n"
#: With whose rights a function runs.
WHO = (
    "CREATE FUNCTION {name}() RETURNS text LANGUAGE plpgsql {how} AS "
    "$$BEGIN RETURN current_user; END$$"
)


@pytest.fixture(scope="module")
def stack(module_cli: Cli) -> Cli:
    module_cli.write(HEAD + OWNER)
    module_cli.ok("up")
    return module_cli


@pytest.fixture
def cli(stack: Cli) -> Iterator[Cli]:
    """A database `box` of the app `evil`, with code of all kinds in it."""
    stack.write(HEAD + OWNER)
    stack.ok("up")
    sql(
        stack,
        "CREATE TABLE item (id int, whose text)",
        WHO.format(name="borrowed", how="SECURITY DEFINER"),
        WHO.format(name="written", how=""),
        "CREATE FUNCTION seal() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN NEW.whose := current_user; RETURN NEW; END$$",
        "CREATE TRIGGER seal BEFORE INSERT ON item FOR EACH ROW EXECUTE FUNCTION seal()",
        "CREATE FUNCTION quiet(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1'",
        "CREATE INDEX ON item (quiet(id))",
        "CREATE VIEW seen AS SELECT rolname FROM pg_authid",
        "GRANT EXECUTE ON FUNCTION borrowed() TO PUBLIC",
        app="evil",
    )
    yield stack
    stack.write(HEAD)
    stack.ok("up")
    sql(stack, "DROP DATABASE box WITH (FORCE)")
    stack.ok("up", "--prune")
    assert value(stack, "SELECT count(*) FROM pg_roles WHERE rolname IN ('evil', 'heir')") == 0


def owners(cli: Cli) -> set[str]:
    """Everybody who owns a relation or a function in the database, or the database."""
    query = (
        "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " UNION SELECT pg_get_userbyid(proowner) FROM pg_proc"
        " WHERE pronamespace = 'public'::regnamespace"
        " UNION SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
    )
    return {name for (name,) in sql(cli, query, database="box")}


@pytest.mark.parametrize("how", [[], ["--prune"], ["--allow", "role evil"]])
def test_nothing_of_an_app_becomes_the_superusers(cli: Cli, how: list[str]) -> None:
    sql(cli, "CREATE ROLE team", "GRANT team, pg_read_all_data TO evil", "ALTER ROLE evil CREATEDB")
    try:
        cli.write(HEAD)
        texts = [one["detail"] for one in cli.json("plan", *how)["steps"]]
        assert any(
            text.startswith("its app left the file; login disabled, kept as the owner of")
            and text.endswith(" objects in box")
            for text in texts
        )
        cli.ok("up", *how)
    finally:
        sql(cli, "DROP ROLE team")
    assert owners(cli) == {"evil"}
    inert = "NOT rolcanlogin AND NOT rolcreatedb AND rolpassword IS NULL"
    assert value(cli, f"SELECT {inert} FROM pg_authid WHERE rolname = 'evil'")
    assert value(cli, "SELECT count(*) FROM pg_auth_members WHERE member = 'evil'::regrole") == 0
    # whoever calls it borrows nobody's rights but those
    assert value(cli, "SELECT borrowed()", database="box") == "evil"
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        sql(cli, "SELECT * FROM seen", database="box")
    assert planned(cli) == []
    assert cli.json("plan", "--prune")["steps"] == []
    (notice,) = [r for r in cli.json("plan")["remarks"] if "evil" in r["text"]]
    assert "objects in box; it cannot log in" in notice["text"]
    # it comes back to what it had
    cli.write(HEAD + OWNER)
    converge(cli)
    sql(cli, "INSERT INTO item VALUES (1)", "DROP FUNCTION borrowed()", app="evil")


def test_code_changes_hands_only_when_the_command_says_so(cli: Cli) -> None:
    cli.write(HEAD + READER + HEIR)
    report = cli.json("plan")
    (step,) = [one for one in report["steps"] if one["object"] == "database box"]
    assert step["destructive"]
    assert step["detail"] == (
        "owner evil → heir; code of evil will run with the rights of heir: 4 functions, 1 view, "
        "1 trigger; SECURITY DEFINER is removed from 1 function"
    )
    cli.run("up")
    assert owners(cli) == {"evil"}
    assert value(cli, "SELECT borrowed()", "evil") == "evil"
    converge(cli, "--allow", "database box")
    assert owners(cli) == {"heir"}
    # called by who may still call it, it is the caller
    assert value(cli, "SELECT borrowed()", "evil") == "evil"
    assert value(cli, "SELECT count(*) FROM pg_proc WHERE prosecdef", database="box") == 0
    assert refused(cli, "evil", "ALTER ROLE heir PASSWORD 'x'") == "InsufficientPrivilege"
    sql(cli, "DROP TRIGGER seal ON item", "INSERT INTO item VALUES (2)", app="heir")


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (
            "ALTER TABLE item ADD seen text DEFAULT set_config('application_name', "
            "query_to_xml('SELECT 1', false, true, '')::text, false)",
            "1 SQL-running expression",
        ),
        (
            "CREATE DOMAIN d AS int CHECK (query_to_xml('SELECT 1', false, true, '') IS NOT NULL)",
            "1 SQL-running expression",
        ),
        ("CREATE RULE r AS ON INSERT TO item DO ALSO NOTIFY x", "1 rule"),
        ("CREATE POLICY p ON item USING (true)", "1 row-level security check"),
        ("CREATE VIEW v AS SELECT 1", "1 view"),
        ("ALTER TABLE item ADD number serial CHECK (number > 0)", ""),
    ],
)
def test_what_runs_by_itself_without_a_function_of_the_owners_counts(
    cli: Cli, statement: str, told: str
) -> None:
    sql(
        cli,
        *("DROP VIEW seen", "DROP TABLE item"),
        *(f"DROP FUNCTION {name}" for name in ("borrowed()", "written()", "seal()", "quiet(int)")),
        *("CREATE TABLE item (id int)", statement),
        app="evil",
    )
    cli.write(HEAD + READER + HEIR)
    steps = [one for one in cli.json("plan")["steps"] if one["object"] == "database box"]
    assert any(step["destructive"] for step in steps) == bool(told)
    details = " ".join(step["detail"] for step in steps)
    assert told in details
    assert ("will run with the rights of heir" in details) == bool(told)


def test_code_that_the_owner_gave_to_the_owners_group_counts(cli: Cli) -> None:
    with pg(cli, "evil") as connection:
        for name in ("borrowed()", "written()", "seal()", "quiet(int)"):
            connection.execute(f"ALTER FUNCTION {name} OWNER TO pg_database_owner")
    cli.write(HEAD + HEIR)
    (step,) = [one for one in cli.json("plan")["steps"] if one["object"] == "database box"]
    assert step["destructive"]
    assert "4 functions, 1 view, 1 trigger" in step["detail"]
    converge(cli, "--allow", "database box")


def test_tables_alone_change_hands_by_themselves(cli: Cli) -> None:
    with pg(cli, "evil") as connection:
        connection.execute("DROP FUNCTION borrowed, written")
        connection.execute("DROP FUNCTION seal, quiet CASCADE")
        connection.execute("DROP VIEW seen")
    cli.write(HEAD + READER + HEIR)
    assert not any(step["destructive"] for step in converge(cli))
    assert owners(cli) == {"heir"}


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("CONNECTION LIMIT 0", "connection limit 0 → none"),
        ("CONNECTION LIMIT 3", "connection limit 3 → none"),
        ("ALLOW_CONNECTIONS false", "accept connections again"),
        ("IS_TEMPLATE true", "no longer a template"),
    ],
)
def test_what_an_owner_sets_on_its_database_is_taken_back(cli: Cli, option: str, text: str) -> None:
    with pg(cli, "evil", "postgres") as connection:
        connection.execute(f"ALTER DATABASE box {option}")
    if option.endswith("0"):
        assert "its own connection limit" in cli.run("doctor").stdout
    steps = converge(cli)
    assert text in {one["detail"] for one in steps if one["object"] == "database box"}
    assert value(cli, "SELECT 1", "evil") == 1
    found = (
        "SELECT datconnlimit, datallowconn, datistemplate FROM pg_database WHERE datname = 'box'"
    )
    assert sql(cli, found) == [(-1, True, False)]


def test_many_tables_change_hands_with_few_locks(cli: Cli) -> None:
    """More than one transaction has locks for: from the administrator, and to another app."""
    few = "128mb, max_connections: 20, settings: {max_locks_per_transaction: 10}"
    head = HEAD.replace("128mb", few)
    cli.write(head + OWNER)
    cli.ok("up")
    sql(cli, "DROP VIEW seen", "DROP TABLE item", app="evil")
    sql(cli, "DROP FUNCTION borrowed(), written(), seal(), quiet(int)", app="evil")
    with pg(cli, database="box") as admin:
        for first in range(0, 1000, 50):
            names = range(first, first + 50)
            admin.execute("; ".join(f"CREATE TABLE t{n} (i int PRIMARY KEY)" for n in names))
    with pg(cli) as admin:
        admin.execute("ALTER DATABASE box OWNER TO CURRENT_USER")
    converge(cli)
    assert owners(cli) == {"evil"}
    cli.write(head + READER + HEIR)
    converge(cli)
    assert owners(cli) == {"heir"}


@pytest.mark.parametrize(
    ("place", "statement", "moved"),
    [
        ("the database", "GRANT USAGE ON SCHEMA public TO other", ()),
        ("the tables", "LOCK TABLE t150 IN ACCESS SHARE MODE", ("t0",)),
        ("the rest", "ALTER FUNCTION plain() COST 7", ("t0", "t199")),
    ],
)
def test_a_hand_over_that_is_killed_is_finished_by_the_same_command(
    cli: Cli, place: str, statement: str, moved: tuple[str, ...]
) -> None:
    """Where an open transaction holds it up. Until then, and after that, the app that stays works
    with all tables: those that are still its own, and those that are not."""
    sql(cli, "DROP VIEW seen", "DROP TABLE item", app="evil")
    sql(cli, "DROP FUNCTION borrowed(), written(), seal(), quiet(int)", app="evil")
    with pg(cli, "evil") as evil:
        evil.execute("; ".join(f"CREATE TABLE t{n} (i serial)" for n in range(200)))
        evil.execute("CREATE FUNCTION plain() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    cli.write(HEAD + READER + HEIR)
    with pg(cli, database="box") as admin, admin.transaction():
        admin.execute(statement)
        up = subprocess.Popen(
            [*cli.argv("up"), "--allow", "database box"],
            cwd=cli.folder,
            env=cli.environ(),
            stdout=subprocess.DEVNULL,
        )
        try:
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            until(lambda: value(cli, waiting) and {*moved} <= tables_of(cli, "heir"))
        finally:
            up.kill()
            up.wait()
        assert ("heir" in owners(cli)) == bool(moved)
        assert "evil" in owners(cli)
        works(cli, "evil")
    works(cli, "evil")
    converge(cli, "--allow", "database box")
    assert owners(cli) == {"heir"}
    works(cli, "evil")
    works(cli, "heir")


def works(cli: Cli, app: str) -> None:
    """The first table, the last one and their sequences can be used."""
    for table in ("t0", "t199"):
        sql(cli, f"INSERT INTO {table} DEFAULT VALUES", app=app, database="box")


def tables_of(cli: Cli, owner: str) -> set[str]:
    query = f"SELECT tablename FROM pg_tables WHERE tableowner = '{owner}'"
    return {name for (name,) in sql(cli, query, database="box")}


def test_a_lock_table_that_is_full_is_told(cli: Cli) -> None:
    with pg(cli) as admin, pg(cli, "evil", "postgres") as connection:
        ((pid,),) = connection.execute("SELECT pg_backend_pid()").fetchall()
        with contextlib.suppress(psycopg.errors.OutOfMemory):  # it keeps those that it has
            connection.execute("SELECT pg_advisory_lock(n) FROM generate_series(1, 1000000) AS n")
        # who is in finds out who it is; nobody else gets in
        with pytest.raises(psycopg.errors.OutOfMemory) as error:
            admin.execute("SELECT * FROM pg_stat_activity")
        text, hint = locktable.cause(admin, error.value) or ("", "")
        assert f"lock table is full: the session {pid} " in text
        assert hint.startswith(f"mngdb locks kill {pid} --terminate")
        said = cli.run("doctor").stdout
        assert said.startswith("PostgreSQL's lock table is full")
        assert "'mngdb restart postgres' ends all sessions" in said
        done = cli.run("up")
        assert done.returncode == 3
        assert "lock table is full" in done.stdout + done.stderr
        cli.ok("restart", "postgres")
    assert value(cli, "SELECT 1", "evil") == 1
