"""Apps come, change, move and go; their data stays, their rights follow the file."""

from __future__ import annotations

import psycopg
import pytest

from tests.conftest import Cli
from tests.live.clients import converge, planned, url
from tests.live.postgres import pg, refused, sql, value

pytestmark = pytest.mark.live

HEAD = "name: mng\npostgres: {port: PORT1, memory: 128mb}\napps:\n"


def apps(cli: Cli, **rights: str) -> None:
    """The file with these apps."""
    lines = "".join(f"  {app}: {{postgres: {right}}}\n" for app, right in rights.items())
    cli.write(HEAD + lines if lines else HEAD.replace("apps:\n", ""))


@pytest.fixture(scope="module")
def stack(module_cli: Cli) -> Cli:
    apps(module_cli, first="start")
    module_cli.ok("up")
    return module_cli


@pytest.fixture
def cli(stack: Cli) -> Cli:
    """The stack with nothing in it but a table of `first`."""
    apps(stack, first="start")
    stack.ok("up", "--prune", "--allow", "database start")  # another app may have its code
    for (name,) in sql(
        stack,
        "SELECT datname FROM pg_database WHERE datname NOT IN "
        "('start', 'postgres', 'template0', 'template1')",
    ):
        sql(stack, f'DROP DATABASE "{name}"')
    sql(
        stack,
        "DROP SCHEMA public CASCADE",
        "CREATE SCHEMA public",
        "CREATE TABLE item (id int)",
        "INSERT INTO item VALUES (1)",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE TYPE mood AS ENUM ('good')",
        app="first",
    )
    return stack


def test_a_right_changes_in_every_direction(cli: Cli) -> None:
    apps(cli, first="start", second="{database: start, access: readonly}")
    converge(cli)
    assert refused(cli, "second", "INSERT INTO item VALUES (2)") == "InsufficientPrivilege"
    apps(cli, first="start", second="{database: start, access: readwrite}")
    (step,) = converge(cli)
    assert step["action"] == "grant"
    sql(cli, "INSERT INTO item VALUES (2)", "DELETE FROM item WHERE id = 2", app="second")
    apps(cli, first="start", second="{database: start, access: readonly}")
    assert {step["action"] for step in converge(cli)} == {"revoke"}
    assert refused(cli, "second", "INSERT INTO item VALUES (2)") == "InsufficientPrivilege"
    assert value(cli, "SELECT id FROM item", "second") == 1


def test_the_ownership_moves_to_another_app_with_everything_in_the_database(cli: Cli) -> None:
    sql(cli, "CREATE SCHEMA side", "CREATE VIEW side.v AS SELECT 1", app="first")
    apps(cli, first="{database: start, access: readwrite}", second="start")
    converge(cli, "--allow", "database start")  # there is a function of the first in it
    sql(cli, "ALTER TABLE item ADD x int", "DROP FUNCTION f()", "DROP TYPE mood", app="second")
    sql(cli, "DROP SCHEMA side CASCADE", app="second")
    assert refused(cli, "first", "ALTER TABLE item ADD y int") == "InsufficientPrivilege"
    sql(cli, "INSERT INTO item VALUES (3)", app="first")
    sql(cli, "CREATE TABLE newer (id int)", app="second")
    sql(cli, "INSERT INTO newer VALUES (1)", app="first")


def test_two_owners_change_places_and_each_keeps_to_its_own_database(cli: Cli) -> None:
    apps(cli, first="start", second="a")
    cli.ok("up")
    sql(cli, "CREATE TABLE other (id int)", app="second")
    apps(cli, first="a", second="start")
    cli.ok("up", "--allow", "database start")
    assert planned(cli) == []
    sql(cli, "ALTER TABLE other ADD x int", app="first")
    sql(cli, "ALTER TABLE item ADD x int", app="second")
    rows = sql(
        cli,
        "SELECT datname, datdba::regrole::text FROM pg_database WHERE datname IN ('a', 'start')",
    )
    assert dict(rows) == {"a": "first", "start": "second"}


def test_an_app_that_moves_loses_the_database_that_it_leaves(cli: Cli) -> None:
    apps(cli, first="a", second="{database: a, access: readonly}")
    steps = converge(cli)
    assert ("revoke", "database start") in {(s["action"], s["object"]) for s in steps}
    assert value(cli, "SELECT datdba::regrole::text FROM pg_database WHERE datname = 'start'") == (
        "postgres"
    )
    assert not value(cli, "SELECT has_database_privilege('first', 'start', 'CONNECT')")
    assert value(cli, "SELECT count(*) FROM item", database="start") == 1
    apps(cli, first="a", second="{database: b, access: readwrite}")
    steps = converge(cli)
    assert not value(cli, "SELECT has_database_privilege('second', 'a', 'CONNECT')")
    apps(cli, first="start")
    converge(cli)
    sql(cli, "ALTER TABLE item ADD x int", app="first")


def test_an_app_that_left_cannot_log_in_its_sessions_end_and_it_is_listed(cli: Cli) -> None:
    secret = url(cli, "postgres", "first")
    apps(cli, second="other")
    with psycopg.connect(secret, autocommit=True) as connection:
        plan = cli.json("plan")
        assert "revoke role first" in {f"{s['action']} {s['object']}" for s in plan["steps"]}
        assert any("first has no app" in notice["text"] for notice in plan["remarks"])
        cli.ok("up")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert planned(cli) == []
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(secret)
    report = cli.json("up")
    assert any("in start" in notice["text"] for notice in report["remarks"])
    assert not value(cli, "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'first'")


def test_an_app_that_left_comes_back_to_its_tables(cli: Cli) -> None:
    apps(cli, second="other")
    cli.ok("up")
    apps(cli, first="start", second="other")
    converge(cli)
    sql(cli, "ALTER TABLE item ADD x int", app="first")


def test_prune_drops_the_login_and_never_the_database(cli: Cli) -> None:
    apps(cli, first="start", reader="{database: loose, access: readonly}")
    cli.ok("up")
    apps(cli)
    *_, step = (one for one in cli.json("plan")["steps"] if one["instance"] != "vault")
    assert step["action"] == "revoke"
    cli.ok("up", "--prune")
    assert planned(cli) == []
    roles = sql(cli, "SELECT rolname FROM pg_roles WHERE rolcanlogin")
    assert roles == [("postgres",)]
    assert value(cli, "SELECT count(*) FROM item", database="start") == 1
    assert value(cli, "SELECT count(*) FROM pg_database WHERE datname = 'loose'") == 1


def test_a_pruned_app_that_comes_back_owns_what_it_had(cli: Cli) -> None:
    apps(cli)
    cli.ok("up", "--prune")
    apps(cli, first="start", reader="{database: start, access: readonly}")
    converge(cli)
    sql(cli, "ALTER TABLE item ADD x int", "DROP FUNCTION f()", "DROP TYPE mood", app="first")
    assert value(cli, "SELECT count(*) FROM item", "reader") == 1


def test_allow_drops_only_the_login_that_it_names(cli: Cli) -> None:
    apps(cli, first="start", second="{database: start, access: readonly}", third="other2")
    cli.ok("up")
    apps(cli, third="other2")
    cli.ok("up", "--allow", "role second")
    roles = {name for (name,) in sql(cli, "SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_'")}
    assert roles == {"postgres", "first", "third"}


def test_a_right_that_the_file_no_longer_grants_ends_open_doors(cli: Cli) -> None:
    apps(cli, first="start", second="{database: start, access: readonly}")
    cli.ok("up")
    apps(cli, first="start", second="elsewhere")
    cli.ok("up")
    with (
        pytest.raises(psycopg.OperationalError, match="no pg_hba"),
        pg(cli, "second", "start"),
    ):
        pass


def test_a_database_that_no_app_uses_any_more_is_named_with_its_size(cli: Cli) -> None:
    apps(cli, first="other")
    for command in ("plan", "up", "plan"):
        (notice,) = [
            n for n in cli.json(command)["remarks"] if "no app in the file uses" in n["text"]
        ]
        assert "start (" in notice["text"]
        assert " kB" in notice["text"] or " MB" in notice["text"]
        assert 'DROP DATABASE "start"' in notice["hint"]
    apps(cli, first="other", second="{database: start, access: readonly}")
    assert not [n for n in cli.json("plan")["remarks"] if "no app in the file uses" in n["text"]]
