"""Apps connect with what `mngdb env` gives, may do their work, and may do nothing else."""

from __future__ import annotations

import psycopg
import pytest

from tests.conftest import Cli
from tests.live.postgres import alone, pg, refused, sql, value

pytestmark = pytest.mark.live

FILE = """
name: mng
postgres: {port: PORT1, memory: 128mb}
apps:
  shop:   {postgres: {database: shop, extensions: [pgcrypto]}}
  clerk:  {postgres: {database: shop, access: readwrite, connections: 2, statement_timeout: 3s,
                      lock_timeout: 7s, idle_in_transaction_timeout: 55s}}
  report: {postgres: {database: shop, access: readonly}}
  blog:   {postgres: blog}
"""


@pytest.fixture(scope="module")
def cli(module_cli: Cli) -> Cli:
    module_cli.write(FILE)
    module_cli.ok("up")
    sql(
        module_cli,
        "CREATE TABLE item (id serial PRIMARY KEY, name text)",
        "CREATE VIEW names AS SELECT name FROM item",
        "CREATE SCHEMA more",
        "CREATE TABLE more.thing (id int GENERATED ALWAYS AS IDENTITY, name text)",
        "INSERT INTO item (name) VALUES ('first')",
        app="shop",
    )
    sql(module_cli, "CREATE TABLE post (id int)", app="blog")
    return module_cli


@pytest.mark.parametrize("app", ["shop", "clerk", "report", "blog"])
def test_an_app_connects_with_each_form_that_env_gives(cli: Cli, app: str) -> None:
    env = cli.env_of(app)
    with psycopg.connect(env["POSTGRES_URL"]) as connection:
        assert connection.info.user == app
    with psycopg.connect(
        host=env["POSTGRES_HOST"],
        port=int(env["POSTGRES_PORT"]),
        user=env["POSTGRES_USER"],
        password=env["POSTGRES_PASSWORD"],
        dbname=env["POSTGRES_DATABASE"],
        sslmode=env["POSTGRES_SSLMODE"],
    ) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (app,)


@pytest.mark.parametrize("app", ["shop", "clerk", "report", "blog"])
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE ROLE another",
        "CREATE DATABASE another",
        "SELECT * FROM pg_authid",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "COPY (SELECT 1) TO '/tmp/mngdb-never'",
        "SELECT pg_read_file('/etc/passwd')",
        "ALTER SYSTEM SET fsync = off",
        "SET ROLE postgres",
        "SELECT pg_reload_conf()",
        "CREATE EXTENSION dblink",
        "ALTER ROLE CURRENT_USER SUPERUSER",
        "DROP DATABASE postgres",
    ],
)
def test_no_app_may(cli: Cli, app: str, statement: str) -> None:
    assert refused(cli, app, statement) == "InsufficientPrivilege"


@pytest.mark.parametrize("app", ["shop", "clerk", "report", "blog"])
@pytest.mark.parametrize("database", ["shop", "blog", "template0", "template1"])
def test_an_app_enters_no_other_database(cli: Cli, app: str, database: str) -> None:
    if database == ("blog" if app == "blog" else "shop"):
        with pg(cli, app, database):
            return
    with (
        pytest.raises(psycopg.OperationalError, match="no pg_hba"),
        pg(cli, app, database),
    ):
        pass


def test_readwrite_changes_rows_of_old_and_new_tables_and_makes_none(cli: Cli) -> None:
    for table in ("item", "more.thing"):
        sql(
            cli,
            f"INSERT INTO {table} (name) VALUES ('clerk')",
            f"UPDATE {table} SET name = 'changed' WHERE name = 'clerk'",
            f"DELETE FROM {table} WHERE name = 'changed'",
            app="clerk",
        )
    for statement in (
        "CREATE TABLE mine (id int)",
        "DROP TABLE item",
        "TRUNCATE item",
        "ALTER TABLE item ADD x int",
        "CREATE SCHEMA mine",
        "GRANT SELECT ON item TO PUBLIC",
    ):
        done = sql_or_error(cli, "clerk", statement)
        assert done in {"InsufficientPrivilege", "no privileges were granted"}, statement


def sql_or_error(cli: Cli, app: str, statement: str) -> str:
    """The kind of error, or the warning, that a statement gets."""
    notices: list[str] = []
    with pg(cli, app) as connection:
        connection.add_notice_handler(lambda n: notices.append(n.message_primary or ""))
        try:
            connection.execute(statement)
        except psycopg.Error as error:
            return type(error).__name__
    return "no privileges were granted" if "no privileges" in " ".join(notices) else "let through"


def test_readonly_reads_tables_views_and_new_schemas_and_changes_nothing(cli: Cli) -> None:
    for relation in ("item", "names", "more.thing"):
        sql(cli, f"SELECT * FROM {relation}", app="report")
    for statement in (
        "INSERT INTO item (name) VALUES ('x')",
        "UPDATE item SET name = 'x'",
        "DELETE FROM item",
        "TRUNCATE item",
        "SELECT nextval('item_id_seq')",
        "CREATE TABLE mine (id int)",
        "CREATE TEMP TABLE mine (id int)",
        "SELECT * FROM item FOR UPDATE",
    ):
        assert refused(cli, "report", statement) == "InsufficientPrivilege", statement


def test_what_the_owner_adds_later_reaches_the_others_at_once(cli: Cli) -> None:
    sql(
        cli,
        "CREATE SCHEMA later",
        "CREATE TABLE later.tables (id serial, v int)",
        "CREATE MATERIALIZED VIEW later.seen AS SELECT 1 AS one",
        app="shop",
    )
    sql(cli, "INSERT INTO later.tables (v) VALUES (1)", app="clerk")
    assert value(cli, "SELECT v FROM later.tables", "report") == 1
    assert value(cli, "SELECT one FROM later.seen", "report") == 1
    assert cli.json("plan")["steps"] == []
    sql(cli, "DROP SCHEMA later CASCADE", app="shop")


def test_the_owner_makes_changes_and_drops_what_is_its_own(cli: Cli) -> None:
    sql(
        cli,
        "CREATE SCHEMA s",
        "CREATE TABLE s.t (id int)",
        "CREATE INDEX ON s.t (id)",
        "CREATE FUNCTION s.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER TABLE s.t ADD x int",
        "CREATE TEMP TABLE tmp (id int)",
        "DROP SCHEMA s CASCADE",
        app="shop",
    )


def test_the_extension_of_the_file_works_for_every_app_of_the_database(cli: Cli) -> None:
    for app in ("shop", "clerk", "report"):
        assert len(value(cli, "SELECT gen_salt('bf')", app)) == 29


def test_timeouts_of_the_file_end_the_apps_statements(cli: Cli) -> None:
    assert refused(cli, "clerk", "SELECT pg_sleep(60)") == "QueryCanceled"
    rows = sql(
        cli,
        "SELECT name, setting FROM pg_settings WHERE name LIKE '%\\_timeout' AND source = 'user'",
        app="clerk",
    )
    assert dict(rows) == {
        "statement_timeout": "3000",
        "lock_timeout": "7000",
        "idle_in_transaction_session_timeout": "55000",
    }


def test_a_transaction_left_open_is_ended_after_ten_minutes_unless_the_file_says_else(
    cli: Cli,
) -> None:
    assert value(cli, "SHOW idle_in_transaction_session_timeout", "shop") == "10min"
    assert value(cli, "SHOW statement_timeout", "shop") == "0"


def test_the_connection_limit_of_the_file_holds(cli: Cli) -> None:
    alone(cli)
    with pg(cli, "clerk"), pg(cli, "clerk"):
        with (
            pytest.raises(psycopg.OperationalError, match="too many connections"),
            pg(cli, "clerk"),
        ):
            pass
        with pg(cli, "report"):
            pass


def test_an_app_that_plants_functions_does_not_become_the_administrator(cli: Cli) -> None:
    """Its database's settings and functions must not reach mngdb's own session there."""
    sql(
        cli,
        "CREATE TABLE loot (who text)",
        "CREATE FUNCTION public.count(int) RETURNS bigint LANGUAGE plpgsql AS "
        "$$BEGIN INSERT INTO loot VALUES (current_user); RETURN 1; END$$",
        "CREATE FUNCTION public.chr(int) RETURNS text LANGUAGE plpgsql AS "
        "$$BEGIN INSERT INTO public.loot VALUES (current_user); RETURN 'x'; END$$",
        "CREATE FUNCTION public.same(name, text) RETURNS bool LANGUAGE plpgsql AS "
        "$$BEGIN INSERT INTO public.loot VALUES (current_user); RETURN true; END$$",
        "CREATE OPERATOR public.<> (leftarg = name, rightarg = text, function = public.same)",
        "CREATE OPERATOR public.!~ (leftarg = name, rightarg = text, function = public.same)",
        "ALTER DATABASE blog SET search_path = public, pg_catalog",
        "ALTER DATABASE blog SET role = blog",
        "ALTER DATABASE blog SET default_transaction_read_only = on",
        app="blog",
    )
    try:
        sql(
            cli,
            "SET default_transaction_read_only = off",
            "GRANT UPDATE ON post TO PUBLIC",
            app="blog",
        )
        assert [s["action"] for s in cli.json("up")["steps"]] == ["revoke"]
        assert sql(cli, "SELECT who FROM public.loot", app="blog") == []
    finally:
        sql(
            cli,
            "SET default_transaction_read_only = off",
            "ALTER DATABASE blog RESET ALL",
            "DROP OPERATOR public.<> (name, text)",
            "DROP OPERATOR public.!~ (name, text)",
            "DROP FUNCTION public.count(int), public.chr(int), public.same(name, text)",
            "DROP TABLE loot",
            app="blog",
        )
