"""One app cannot harm the others: what an app may set on its own database and login keeps nobody
from changing the server."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.sql import SQL, Identifier, Literal

from tests.conftest import EVERYTHING, Cli
from tests.live.postgres import pg, sql, value

pytestmark = [pytest.mark.live, pytest.mark.postgres]

_FILE = """
name: mng
postgres: {{port: PORT1, memory: 128mb}}
apps:
  evil: {{postgres: evil}}
  good: {{postgres: good}}
  {more}
"""
#: Tried for every setting that is a text; most are refused, as they would be for anybody.
_TEXTS = (
    *("", "nonsense", "evil, pg_catalog", '"$user"', "SQL_ASCII", "EUC_JP", "LATIN1", "German"),
    *("C", "Antarctica/Troll", "view, foreign-table", "all", "set, inherit"),
)
_OUT = "-c local_preload_libraries= -c transaction_timeout=0 -c statement_timeout=0"


@pytest.fixture(scope="module")
def cli(module_cli: Cli) -> Cli:
    module_cli.write(_FILE.format(more=""))
    module_cli.ok("up")
    sql(
        module_cli,
        "CREATE SCHEMA evil",
        "CREATE TABLE public.item (id int)",
        "INSERT INTO public.item SELECT generate_series(1, 1000)",
        "CREATE VIEW public.seen AS SELECT * FROM public.item",
        # what stands before pg_catalog in a search_path is run in its place
        "CREATE FUNCTION evil.current_database() RETURNS name LANGUAGE sql AS 'SELECT NULL::name'",
        app="evil",
    )
    return module_cli


@pytest.fixture(scope="module")
def most(cli: Cli) -> float:
    """Seconds that an `up` may take here: ten times as long as without anything that harms."""
    return 10 * _up_with_new_app(cli, 0)


@pytest.fixture(autouse=True)
def _tidy(cli: Cli) -> Iterator[None]:
    yield
    sql(cli, "ALTER DATABASE evil RESET ALL", "ALTER ROLE evil RESET ALL")


def _hostile(cli: Cli) -> dict[str, list[str]]:
    """Every setting that an app may give its database or its login, with values that hurt."""
    found = {}
    rows = sql(
        cli,
        "SELECT name, vartype, setting, min_val, max_val, enumvals FROM pg_settings "
        "WHERE context IN ('user', 'backend') ORDER BY name",
        app="evil",
    )
    for name, kind, now, least, most, words in rows:
        if kind == "bool":
            found[name] = ["off" if now == "on" else "on"]
        elif kind == "enum":
            found[name] = [word for word in words if word != now]
        elif kind in {"integer", "real"}:
            found[name] = list(dict.fromkeys(["1", most, least]))
        else:
            found[name] = list(_TEXTS)
    found["role"] = ["pg_monitor", "none"]
    found["plpgsql.extra_errors"] = ["all"]
    found["plpgsql.variable_conflict"] = ["use_column"]
    return found


def _set(connection: psycopg.Connection, place: str, name: str, text: str) -> bool:
    statement = SQL("ALTER {} evil SET {} = {}").format(
        SQL(place),
        Identifier(name),
        Literal(text),
    )
    try:
        connection.execute(statement)
    except psycopg.Error:
        return False
    return True


def _up_with_new_app(cli: Cli, number: int) -> float:
    """Two logins come and two go: into the database of the one that harms, and into another's."""
    cli.write(
        _FILE.format(
            more=f"r{number}: {{postgres: {{database: evil, access: readonly}}}}\n"
            f"  w{number}: {{postgres: {{database: good, access: readwrite}}}}"
        )
    )
    begun = time.monotonic()
    cli.ok("up", "--prune")
    return time.monotonic() - begun


def _new_app_in_time(cli: Cli, number: int, setting: str, most: float) -> int:
    """The number of the new app. The machine may have been busy: what is not that takes as long the
    second time."""
    if _up_with_new_app(cli, number) < most:
        return number
    took = _up_with_new_app(cli, number + 1)
    assert took < most, f"{setting}: {took:.1f} s"
    return number + 1


def test_all_settings_of_an_app_at_once_keep_nobody_from_a_new_app(cli: Cli, most: float) -> None:
    hostile = _hostile(cli)
    assert len(hostile) > 130
    for number in range(max(map(len, hostile.values()))):
        with pg(cli, "evil", options=_OUT) as connection:
            for name, values in hostile.items():
                for place in ("DATABASE", "ROLE"):
                    _set(connection, place, name, values[number % len(values)])
        app = _new_app_in_time(cli, 2 * number + 1, f"values number {number}", most)
        assert cli.run("indexes").returncode == 0
        assert cli.run("bloat").returncode == 0
        assert cli.run("plan").returncode == 0
        sql(cli, "ALTER DATABASE evil RESET ALL", "ALTER ROLE evil RESET ALL")
        assert value(cli, "SELECT count(*) FROM public.item", f"r{app}") == 1000


def test_a_library_that_is_not_there_lets_nobody_in_until_up_takes_it_back(cli: Cli) -> None:
    cli.write(_FILE.format(more="clerk: {postgres: {database: evil, access: readonly}}"))
    cli.ok("up")
    for place in ("DATABASE evil", "ROLE evil", "ROLE evil IN DATABASE evil"):
        with pg(cli, "evil") as connection:
            connection.execute(f"ALTER {place} SET local_preload_libraries = 'nonsense'")
        with pytest.raises(psycopg.OperationalError, match="nonsense"), pg(cli, "evil"):
            pass
        assert "reset local_preload_libraries" in cli.run("plan").stdout
        cli.ok("up")
        with pg(cli, "evil"), pg(cli, "clerk"):
            pass


def test_a_library_that_lets_nobody_into_a_database_that_an_app_created(cli: Cli) -> None:
    right = '{{postgres: {{databases: [evil, "evil_*"], create_databases: true}}}}'
    cli.write(_FILE.replace("{{postgres: evil}}", right).format(more=""))
    cli.ok("up")
    setting = "ALTER DATABASE evil_2 SET local_preload_libraries = 'nonsense'"
    sql(cli, "CREATE DATABASE evil_2", setting, app="evil")
    assert "reset local_preload_libraries" in cli.run("plan").stdout
    cli.ok("up")
    assert value(cli, "SELECT 1", "evil", database="evil_2") == 1
    sql(cli, "DROP DATABASE evil_2", app="evil")


def test_a_preload_setting_of_an_apps_adds_no_other_to_a_session_of_the_administrators(
    cli: Cli,
) -> None:
    """The server splits a session's options at every kind of space: an app's library would have
    been loaded with the administrator's rights."""
    library = "session_preload_libraries=/nonsense/of/evil"
    values = [f"x{space}-c{space}{library}" for space in "\t\n\v\f\r\x85\xa0"]
    for number, text in enumerate([*values, f"x\\\t-c\t{library}", f"x\\ -c {library}"]):
        place = SQL("DATABASE" if number % 2 else "ROLE")
        setting = SQL("ALTER {} evil SET local_preload_libraries = {}").format(place, Literal(text))
        with pg(cli, "evil", options=_OUT) as connection:
            connection.execute(setting)
        assert "reset local_preload_libraries" in cli.run("plan").stdout, text
        cli.ok("up")
    log = "\n".join(cli.json("logs", "postgres", "-n", "9999")["lines"])
    assert 'could not access file "/nonsense/of/evil"' not in log


def test_an_app_that_uses_up_its_connections_makes_no_server_unhealthy(cli: Cli) -> None:
    sql(cli, "ALTER ROLE evil CONNECTION LIMIT 1")
    try:
        with pg(cli, "evil"):
            (unit, *_) = json.loads(cli.run("--json", "status").stdout)["units"]
        assert unit["healthy"]
        assert unit["user"] == "good"
        assert "no free connection for evil" in unit["warning"]
    finally:
        sql(cli, "ALTER ROLE evil CONNECTION LIMIT -1")


def test_an_app_that_ends_its_own_sessions_makes_no_server_unhealthy(cli: Cli) -> None:
    sql(cli, "ALTER ROLE evil SET statement_timeout = 1", "ALTER ROLE evil SET jit_above_cost = 0")
    sql(cli, "ALTER ROLE evil SET transaction_timeout = 1")
    for _ in range(3):  # now and then a millisecond is enough
        (unit, *_) = json.loads(cli.run("--json", "status").stdout)["units"]
        assert unit["healthy"], unit


@pytest.mark.slow
def test_each_setting_of_an_app_alone_keeps_nobody_from_a_new_app(cli: Cli, most: float) -> None:
    number = 100
    hostile = _hostile(cli)
    if not EVERYTHING:  # each of them takes two 'up's
        hostile = dict(random.Random(9).sample(sorted(hostile.items()), 12))
    with pg(cli, "evil", options=_OUT) as connection, pg(cli) as admin:
        for name, values in hostile.items():
            for place in ("DATABASE", "ROLE"):
                worst = [text for text in values if _set(connection, place, name, text)]
                if not worst:
                    continue  # refused for everybody, as `session_authorization` is
                setting = f"ALTER {place} SET {name} = {worst[-1]}"
                number = _new_app_in_time(cli, number + 1, setting, most)
                admin.execute(f"ALTER {place} evil RESET ALL")
    assert number > (350 if EVERYTHING else 112)


def test_doctor_says_of_a_reader_what_is_true_whatever_the_owner_puts_into_the_path(
    cli: Cli,
) -> None:
    cli.write(_FILE.format(more="clerk: {postgres: {database: evil, access: readonly}}"))
    cli.ok("up")
    before = cli.run("doctor", "clerk")
    sql(
        cli,
        "CREATE FUNCTION evil.has_table_privilege(oid, text) RETURNS bool LANGUAGE sql "
        "AS 'SELECT false'",
        "CREATE FUNCTION evil.concat_ws(text, VARIADIC text[]) RETURNS text LANGUAGE sql "
        "AS 'SELECT ''SUPERUSER'''",
        "CREATE VIEW evil.pg_roles AS SELECT CURRENT_USER AS rolname, true AS rolsuper, "
        "true AS rolcreatedb, true AS rolcreaterole, true AS rolreplication, true AS rolbypassrls",
        "GRANT USAGE ON SCHEMA evil TO PUBLIC",
        "GRANT SELECT ON evil.pg_roles TO PUBLIC",
        "ALTER DATABASE evil SET search_path = evil, pg_catalog, public",
        app="evil",
    )
    try:
        after = cli.run("doctor", "clerk")
        assert (after.returncode, after.stdout) == (before.returncode, before.stdout)
        assert after.returncode == 0
        assert cli.run("doctor", "evil").returncode == 0
    finally:
        sql(
            cli,
            "DROP VIEW evil.pg_roles",
            "DROP FUNCTION evil.concat_ws",
            "DROP FUNCTION evil.has_table_privilege",
            database="evil",
        )


def test_no_verifier_of_ours_is_in_pg_stat_statements_or_in_the_log(cli: Cli) -> None:
    sql(cli, "SELECT pg_stat_statements_reset()")
    cli.write(_FILE.format(more="late: {postgres: late}"))
    cli.ok("up")
    sql(cli, "ALTER ROLE late PASSWORD 'another-one-0123456789'")
    cli.ok("up")
    assert value(cli, "SELECT count(*) FROM pg_stat_statements WHERE query ~ 'SCRAM'") == 0
    assert "SCRAM-SHA-256$" not in cli.ok("logs", "postgres")
