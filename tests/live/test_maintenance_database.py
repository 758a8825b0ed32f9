"""Every login may enter the database `postgres`, and may do nothing there: closed, it makes tools
take the app's own database for a place to try things in."""

from __future__ import annotations

import json

import psycopg
import pytest

from tests.conftest import Cli
from tests.live.postgres import pg, refused, sql

pytestmark = [pytest.mark.live, pytest.mark.postgres]

FILE = """
name: mng
postgres: {port: PORT1, memory: 128mb}
apps:
  shop: {postgres: shop}
  test: {postgres: test_shop}
  mart: {postgres: {database: shop, access: readonly}}
"""


@pytest.fixture(scope="module")
def cli(module_cli: Cli) -> Cli:
    module_cli.write(FILE)
    module_cli.ok("up")
    return module_cli


#: Everything that an ordinary server lets everybody do in `postgres`, and more.
NOTHING = [
    "CREATE TABLE mine (id int)",
    "CREATE TABLE public.mine (id int)",
    "CREATE TEMP TABLE mine (id int)",
    "CREATE SCHEMA mine",
    "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE EXTENSION citext",
    "SELECT * FROM public.pg_stat_statements",
    "SELECT public.pg_stat_statements_reset()",
    "SELECT lo_create(0)",
    "SELECT lo_creat(-1)",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT lo_import('/etc/passwd')",
    "CREATE PUBLICATION mine",
    "ALTER DATABASE postgres SET search_path = mine",
    "COMMENT ON DATABASE postgres IS 'mine'",
    "CREATE DATABASE mine",
]


@pytest.mark.parametrize("app", ["shop", "mart"])
def test_a_login_enters_the_maintenance_database_and_may_do_nothing_there(
    cli: Cli, app: str
) -> None:
    for statement in NOTHING:
        assert refused(cli, app, statement, "postgres") in {
            "InsufficientPrivilege",
            "InvalidSchemaName",
        }, statement
    with pg(cli, app, "postgres") as connection:
        assert connection.execute(
            "SELECT count(*) FROM pg_class WHERE relnamespace = "
            "'public'::regnamespace AND has_schema_privilege("
            "relnamespace, 'USAGE')"
        ).fetchone() == (0,)
    with pytest.raises(psycopg.OperationalError):
        pg(cli, app, "template1").__enter__()


def test_what_is_given_there_by_hand_is_found_and_taken_back(cli: Cli) -> None:
    sql(
        cli,
        "GRANT CREATE, TEMP ON DATABASE postgres TO PUBLIC",
        "GRANT USAGE, CREATE ON SCHEMA public TO PUBLIC",
        "CREATE SCHEMA more",
        "GRANT USAGE ON SCHEMA more TO PUBLIC",
        "GRANT EXECUTE ON FUNCTION lo_create(oid) TO PUBLIC",
    )
    verdict = _verdict(cli)
    assert verdict["verdict"] == "fail"
    for word in ("CREATE", "TEMPORARY", "more", "lo_create(oid)"):
        assert word in verdict["evidence"]
    cli.ok("up")
    for statement in NOTHING:
        assert refused(cli, "shop", statement, "postgres") in {
            "InsufficientPrivilege",
            "InvalidSchemaName",
        }, statement
    assert _verdict(cli)["verdict"] == "pass"
    sql(cli, "REVOKE CONNECT ON DATABASE postgres FROM PUBLIC", "DROP SCHEMA more")
    cli.ok("up")
    with pg(cli, "shop", "postgres"):
        pass


def _verdict(cli: Cli) -> dict[str, str]:
    found = json.loads(cli.run("--json", "check").stdout)["findings"]
    return next(one for one in found if one["id"] == "postgres.maintenance")


def test_a_test_runner_finds_the_maintenance_database_and_takes_no_other(cli: Cli) -> None:
    """As Django 5.2 does it with a pool: `postgres` first, the app's own database only where that
    is closed; then it looks for its test database, or makes it."""
    with pg(cli, "shop", "postgres") as connection:
        assert connection.info.dbname == "postgres"
        there = "SELECT 1 FROM pg_catalog.pg_database WHERE datname = %s"
        assert connection.execute(there, ["test_shop"]).fetchone() == (1,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE DATABASE test_other")
