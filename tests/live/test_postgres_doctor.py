"""Each cause for which an app cannot work, staged for real, has a sentence of its own (A12)."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.conftest import Cli
from tests.live.clients import problems, set_secret
from tests.live.postgres import Connection, alone, pg, sql

pytestmark = pytest.mark.live

FILE = """
name: mng
postgres: {port: PORT1, memory: 128mb, max_connections: 20}
apps:
  shop:   {postgres: {database: shop, connections: 3}}
  clerk:  {postgres: {database: shop, access: readwrite, connections: -1}}
  report: {postgres: {database: shop, access: readonly}}
"""


@pytest.fixture(scope="module")
def stack(module_cli: Cli) -> Cli:
    module_cli.write(FILE)
    module_cli.ok("up")
    sql(module_cli, "CREATE TABLE item (id int)", app="shop")
    return module_cli


@pytest.fixture
def cli(stack: Cli) -> Iterator[Cli]:
    """The stack, made whole after each test."""
    yield stack
    stack.write(FILE)
    stack.ok("up")


def says(cli: Cli, app: str) -> str:
    """What is wrong; nothing that is told holds a secret."""
    done = cli.run("doctor", app)
    secret = (cli.state / "secrets" / f"postgres_{app}").read_text().strip()
    assert secret not in done.stdout + done.stderr
    found = problems(cli, app)["postgres"]
    assert (done.returncode == 0) == (found is None)
    return found or ""


@pytest.mark.parametrize(
    ("extension", "said"),
    [("nowhere", "does not have the extension nowhere"), ("pg_trgm", "is not installed")],
)
def test_an_extension_of_the_file_that_is_not_there(cli: Cli, extension: str, said: str) -> None:
    cli.write(FILE.replace("connections: 3", f"connections: 3, extensions: [{extension}]"))
    assert said in says(cli, "shop")
    assert cli.run("doctor").returncode == 1


@pytest.mark.parametrize("app", ["shop", "clerk", "report"])
def test_all_is_well(cli: Cli, app: str) -> None:
    assert says(cli, app) == ""
    assert sql(cli, "SELECT 1 FROM pg_class WHERE relname = 'mngdb_doctor'", app="shop") == []
    counted = "SELECT query FROM pg_stat_statements JOIN pg_roles r ON userid = r.oid WHERE "
    tried = sql(cli, f"{counted} rolname = '{app}' AND query ~ 'mngdb_doctor|rolsuper|has_table'")
    assert tried
    assert all("/* mngdb */" in query[:24] for (query,) in tried)  # what `slow` leaves out


def test_a_wrong_secret(cli: Cli) -> None:
    before = cli.env_of("shop")["POSTGRES_PASSWORD"]
    set_secret(cli, "postgres_shop", "not-the-secret-of-the-role-32-letters")
    assert says(cli, "shop") == "the secret of shop in the vault is not the one on the server"
    set_secret(cli, "postgres_shop", before)


def test_no_such_role(cli: Cli) -> None:
    sql(cli, "DROP OWNED BY report", database="shop")
    sql(cli, "DROP ROLE report")
    assert says(cli, "report") == "there is no login report in postgres"


def test_blocked_by_hba(cli: Cli) -> None:
    conf = cli.state / "servers" / "mng-pg" / "conf" / "pg_hba.conf"
    lines = conf.read_text().splitlines(keepends=True)
    conf.write_text("".join(line for line in lines if '"report"' not in line))
    sql(cli, "SELECT pg_reload_conf()")
    assert says(cli, "report") == "pg_hba.conf has no entry for report in shop"


def test_the_database_is_missing(cli: Cli) -> None:
    sql(cli, "ALTER DATABASE shop RENAME TO moved")
    try:
        assert says(cli, "shop") == "the database shop is missing"
    finally:
        sql(cli, "ALTER DATABASE moved RENAME TO shop")


def test_the_database_takes_no_connections(cli: Cli) -> None:
    sql(cli, "ALTER DATABASE shop ALLOW_CONNECTIONS false")
    assert "accepts no connections" in says(cli, "shop")


def test_no_right_to_connect(cli: Cli) -> None:
    sql(cli, "REVOKE CONNECT ON DATABASE shop FROM report")
    assert says(cli, "report") == "report has no right to connect to shop"


def test_the_apps_own_connection_limit(cli: Cli) -> None:
    alone(cli)
    with pg(cli, "shop"), pg(cli, "shop"), pg(cli, "shop"):
        assert says(cli, "shop").startswith("PostgreSQL has no free connection for shop, which")
        done = cli.run("status")
        assert "no free connection for shop" in done.stderr
        assert "hint: 'mngdb connections postgres' shows who holds them" in done.stderr
        assert "'mngdb plan' shows" not in done.stderr
        assert "3 of 3" in cli.ok("connections", "postgres")


def test_the_servers_connection_limit(cli: Cli) -> None:
    held: list[Connection] = []
    sql(cli, "ALTER ROLE shop CONNECTION LIMIT -1")
    alone(cli)
    contexts = [pg(cli, "clerk") for _ in range(15)]
    try:
        held = [context.__enter__() for context in contexts]
        assert says(cli, "shop") == "PostgreSQL has no free connection for shop"
    finally:
        for connection in held:
            connection.close()


def test_the_server_is_down(cli: Cli) -> None:
    cli.ok("down")
    assert says(cli, "shop") == "mng-pg is not running (stopped)"


@pytest.mark.parametrize("app", ["shop", "clerk"])
def test_the_server_is_read_only(cli: Cli, app: str) -> None:
    sql(cli, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    assert says(cli, app).endswith("it has the setting default_transaction_read_only = 'on'")
    assert "'mngdb up' resets it" in cli.run("doctor", app).stdout
    assert says(cli, "report") == ""


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("VALID UNTIL '2020-01-01'", "the login shop has expired on the server"),
        ("NOLOGIN", "the login shop is disabled on the server"),
    ],
)
def test_a_login_that_was_closed_there_is_no_wrong_password(
    cli: Cli, option: str, said: str
) -> None:
    sql(cli, f"ALTER ROLE shop {option}")
    assert says(cli, "shop") == said
    assert said in json.loads(cli.run("doctor", "--json").stdout)["cause"]["text"]
    sql(cli, "ALTER ROLE shop LOGIN VALID UNTIL '2100-01-01'")
    assert says(cli, "shop") == ""


def test_tls_is_expected_by_the_server(cli: Cli) -> None:
    cli.write("tls: true" + FILE)
    cli.ok("up")
    assert says(cli, "shop") == ""
    cli.write(FILE)
    assert says(cli, "shop") == "PostgreSQL accepts shop only over TLS"


def test_tls_is_expected_of_the_server(cli: Cli) -> None:
    cli.write("tls: true" + FILE)
    cli.ok("up")
    cli.write(FILE)
    cli.ok("up")
    cli.write("tls: true" + FILE)
    assert says(cli, "shop") == "TLS is required, but the server does not support it"


def test_a_right_is_missing_on_a_table(cli: Cli) -> None:
    sql(cli, "REVOKE UPDATE ON item FROM clerk", app="shop")
    assert says(cli, "clerk") == "UPDATE is refused on the table public.item"


def test_a_schema_is_closed(cli: Cli) -> None:
    sql(cli, "REVOKE USAGE ON SCHEMA public FROM report, PUBLIC", database="shop")
    assert says(cli, "report") == "report may not use the schema public"
    sql(cli, "GRANT USAGE ON SCHEMA public TO PUBLIC", database="shop")


def test_a_right_too_many(cli: Cli) -> None:
    sql(cli, "GRANT INSERT ON item TO report", app="shop")
    assert "may INSERT on the table public.item" in says(cli, "report")


def test_more_power_than_an_app(cli: Cli) -> None:
    sql(cli, "ALTER ROLE shop SUPERUSER")
    assert "more rights than an app: SUPERUSER" in says(cli, "shop")


def test_the_owner_may_not_make_tables(cli: Cli) -> None:
    sql(cli, "REVOKE CREATE ON SCHEMA public FROM pg_database_owner", database="shop")
    try:
        assert "shop lacks a right in shop: permission denied for schema" in says(cli, "shop")
    finally:
        sql(cli, "GRANT CREATE ON SCHEMA public TO pg_database_owner", database="shop")


#: An administrator's session that the settings below do not reach.
UNTOUCHED = "-c local_preload_libraries= -c statement_timeout=0"
PLACES = ("ROLE shop", "DATABASE shop", "ROLE shop IN DATABASE shop")


SETTINGS = [
    ("local_preload_libraries", "nope", "nope cannot be loaded"),
    ("statement_timeout", "1ms", "due to statement timeout"),
    ("default_transaction_read_only", "on", "in a read-only transaction"),
    ("search_path", "nowhere", "names no schema of shop"),
]


@pytest.mark.parametrize(
    ("place", "name", "value", "said"),
    [(place, *setting) for place in PLACES for setting in SETTINGS] + [("ROLE ALL", *SETTINGS[0])],
)
def test_a_setting_in_the_way_is_named_with_the_statement_that_helps(
    cli: Cli, place: str, name: str, value: str, said: str
) -> None:
    sql(cli, f"ALTER {place} SET {name} = '{value}'")
    try:
        cause = json.loads(cli.run("doctor", "--json").stdout)["cause"]
        assert f"has the setting {name} = '{value}'" in cause["text"]
        assert said in cause["text"]
        whole = place.replace("shop", '"shop"')
        assert cause["command"] == f"ALTER {whole} RESET {name}"
    finally:
        with pg(cli, options=UNTOUCHED) as admin:
            admin.execute(f"ALTER {place} RESET {name}")
    assert says(cli, "shop") == ""


def test_a_database_without_the_schema_of_the_search_path_is_told_what_makes_it(cli: Cli) -> None:
    sql(cli, "ALTER SCHEMA public RENAME TO other", database="shop")
    try:
        cause = json.loads(cli.run("doctor", "--json").stdout)["cause"]
        assert """the search_path is '"$user", public'""" in cause["text"]
        assert cause["command"].startswith("CREATE SCHEMA")
    finally:
        sql(cli, "ALTER SCHEMA other RENAME TO public", database="shop")
    assert says(cli, "shop") == ""


@pytest.mark.parametrize("place", PLACES)
def test_up_takes_back_a_library_that_lets_nobody_in(cli: Cli, place: str) -> None:
    sql(cli, f"ALTER {place} SET local_preload_libraries = 'nope'")
    assert "PostgreSQL does not answer" not in cli.run("plan").stdout
    cli.ok("up")
    assert says(cli, "shop") == ""
