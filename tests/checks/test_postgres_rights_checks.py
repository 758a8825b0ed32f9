"""Rights by effect: whatever way a login comes to them, the check tells, and its remedy ends it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.checks.judge import findings, one
from tests.conftest import Cli
from tests.live.clients import converge
from tests.live.postgres import sql

pytestmark = pytest.mark.live

FILE = """
postgres: {port: PORT1, memory: 128mb}
apps:
  shop: {postgres: shop}
  report: {postgres: {database: shop, access: readonly}}
agent: {ports: {postgres: PORT2, mngdb: PORT3}}
"""
CHECKS = ("system-rights", "grant-option", "traps", "definer-path", "role-server", "app-useful")


@pytest.fixture(scope="module")
def cli(module_cli: Cli) -> Cli:
    module_cli.write(FILE)
    module_cli.ok("up")
    sql(module_cli, "CREATE TABLE item (id int)", app="shop")
    sql(module_cli, "CREATE ROLE inner_group", "CREATE ROLE outer_group", "CREATE ROLE guest LOGIN")
    sql(module_cli, "GRANT inner_group TO outer_group", "GRANT outer_group TO guest")
    sql(module_cli, "CREATE DATABASE other")
    return module_cli


@pytest.fixture
def clean(cli: Cli) -> Iterator[Cli]:
    """Everything passes before and after."""
    for name in CHECKS:
        assert one(cli, f"postgres.{name}").verdict == "pass"
    yield cli
    for name in CHECKS:
        assert one(cli, f"postgres.{name}").verdict == "pass"


#: A grant in a database that the file does not name, and the evidence for it.
GRANTS = {
    "SELECT ON pg_authid TO PUBLIC": "other: SELECT ON TABLE pg_authid TO PUBLIC",
    "SELECT ON pg_shadow TO guest": "other: SELECT ON TABLE pg_shadow TO guest",
    "SELECT (rolpassword) ON pg_authid TO guest": (
        "other: SELECT (rolpassword) ON TABLE pg_authid TO guest"
    ),
    "SELECT ON pg_hba_file_rules TO inner_group": (
        "other: SELECT ON TABLE pg_hba_file_rules TO guest by inner_group"
    ),
    "EXECUTE ON FUNCTION pg_read_binary_file(text) TO inner_group": (
        "other: EXECUTE ON FUNCTION pg_read_binary_file(text) TO guest by inner_group"
    ),
    "EXECUTE ON FUNCTION lo_export(oid, text) TO report": (
        "other: EXECUTE ON FUNCTION lo_export(oid,text) TO report"
    ),
    "CREATE ON SCHEMA pg_catalog TO guest": "other: CREATE ON SCHEMA pg_catalog TO guest",
    "INSERT ON pg_class TO guest": "other: INSERT ON TABLE pg_class TO guest",
}


@pytest.mark.parametrize("grant", GRANTS)
def test_a_right_on_the_servers_own_objects(clean: Cli, grant: str) -> None:
    sql(clean, f"GRANT {grant}", database="other")
    found = one(clean, "postgres.system-rights")
    assert (found.verdict, found.severity) == ("fail", "critical")
    assert GRANTS[grant] in found.evidence
    _follow(clean, found.evidence)


def _follow(cli: Cli, evidence: str) -> None:
    """What the remedies say, with what the evidence names: the group where one lends the right."""
    for text in re.split(r", (?=\w+: )", evidence):
        database, _, right = text.partition(": ")
        what, _, who = right.rpartition(" TO ")
        sql(cli, f"REVOKE {what} FROM {who.split(' by ')[-1]} CASCADE", database=database)


def test_a_group_without_a_login_lends_a_right_to_nobody(clean: Cli) -> None:
    sql(clean, "REVOKE outer_group FROM guest")
    sql(clean, "GRANT SELECT ON pg_authid TO inner_group", database="other")
    assert one(clean, "postgres.system-rights").verdict == "pass"
    sql(clean, "GRANT outer_group TO guest WITH INHERIT FALSE, SET TRUE")
    found = one(clean, "postgres.system-rights")
    assert "TO guest by inner_group" in found.evidence
    _follow(clean, found.evidence)


def test_a_setting_that_a_login_may_change(clean: Cli) -> None:
    sql(clean, "GRANT SET, ALTER SYSTEM ON PARAMETER log_statement TO guest")
    found = one(clean, "postgres.system-rights")
    assert "ALTER SYSTEM ON PARAMETER log_statement TO guest" in found.evidence
    sql(clean, "REVOKE SET, ALTER SYSTEM ON PARAMETER log_statement FROM guest")


def test_a_function_of_an_extension_that_its_script_closed(clean: Cli) -> None:
    sql(clean, "CREATE EXTENSION dblink", database="other")
    sql(clean, "GRANT EXECUTE ON FUNCTION dblink_connect_u(text) TO guest", database="other")
    found = one(clean, "postgres.system-rights")
    assert found.evidence == "other: EXECUTE ON FUNCTION public.dblink_connect_u(text) TO guest"
    _follow(clean, found.evidence)
    sql(clean, "DROP EXTENSION dblink", database="other")


@pytest.mark.parametrize(
    ("grant", "evidence"),
    [
        ("SELECT ON item TO guest", "shop: SELECT ON TABLE public.item TO guest"),
        ("INSERT (id) ON item TO guest", "shop: INSERT (id) ON TABLE public.item TO guest"),
        ("USAGE ON SCHEMA public TO inner_group", "ON SCHEMA public TO guest by inner_group"),
        ("EXECUTE ON FUNCTION own() TO report", "EXECUTE ON ROUTINE public.own() TO report"),
        ("CONNECT ON DATABASE shop TO guest", "CONNECT ON DATABASE shop TO guest"),
    ],
)
def test_a_right_that_may_be_passed_on(clean: Cli, grant: str, evidence: str) -> None:
    sql(
        clean,
        "CREATE OR REPLACE FUNCTION own() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        f"GRANT {grant} WITH GRANT OPTION",
        app="shop",
    )
    found = one(clean, "postgres.grant-option")
    assert found.verdict == "fail"
    assert evidence in found.evidence
    right, _, who = grant.rpartition(" TO ")
    sql(clean, f"REVOKE GRANT OPTION FOR {right} FROM {who} CASCADE", database="shop")


def test_a_membership_that_may_be_passed_on(clean: Cli) -> None:
    sql(clean, "GRANT inner_group TO guest WITH ADMIN OPTION")
    assert one(clean, "postgres.grant-option").evidence == "ROLE inner_group TO guest"
    sql(clean, "REVOKE ADMIN OPTION FOR inner_group FROM guest", "REVOKE inner_group FROM guest")


@pytest.mark.parametrize(
    ("make", "evidence", "drop"),
    [
        (
            "CREATE FUNCTION pg_catalog.lower(int) RETURNS int LANGUAGE sql AS 'SELECT 1'; "
            "ALTER FUNCTION pg_catalog.lower(int) OWNER TO report",
            "other: FUNCTION lower(integer) by an app's function",
            "DROP FUNCTION pg_catalog.lower(int)",
        ),
        (
            "CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; "
            "ALTER FUNCTION watch() OWNER TO guest; "
            "CREATE EVENT TRIGGER eye ON ddl_command_end EXECUTE FUNCTION watch()",
            "other: EVENT TRIGGER eye by an app's function",
            "DROP FUNCTION watch() CASCADE",
        ),
        (
            "CREATE FUNCTION turn(text) RETURNS int LANGUAGE sql AS 'SELECT 1'; "
            "ALTER FUNCTION turn(text) OWNER TO guest; "
            "CREATE CAST (text AS int) WITH FUNCTION turn(text) AS IMPLICIT",
            "other: CAST (text AS integer) by an app's function",
            "DROP FUNCTION turn(text) CASCADE",
        ),
        (
            "ALTER FUNCTION pg_catalog.pg_read_file(text) OWNER TO guest",
            "other: FUNCTION pg_read_file(text) of guest",
            "ALTER FUNCTION pg_catalog.pg_read_file(text) OWNER TO postgres",
        ),
    ],
)
def test_an_apps_code_in_everybodys_sessions(
    clean: Cli, make: str, evidence: str, drop: str
) -> None:
    sql(clean, *make.split("; "), database="other")
    found = one(clean, "postgres.traps")
    assert (found.verdict, found.evidence) == ("fail", evidence)
    sql(clean, drop, database="other")


def test_a_definer_function_in_pg_catalog_or_in_an_extension(clean: Cli) -> None:
    """Functions there were not looked at."""
    sql(
        clean,
        "CREATE FUNCTION pg_catalog.loose() RETURNS int LANGUAGE sql SECURITY DEFINER "
        "AS 'SELECT 1'",
        database="other",
    )
    found = findings(clean, "postgres.definer-path", "postgres.definer-superuser")
    assert {f.evidence for f in found.values()} == {"other: pg_catalog.loose()"}
    sql(clean, "DROP FUNCTION pg_catalog.loose()", database="other")
    sql(
        clean,
        "CREATE EXTENSION citext",
        "CREATE FUNCTION hidden() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
        "ALTER FUNCTION hidden() OWNER TO guest",
        "ALTER EXTENSION citext ADD FUNCTION hidden()",
        database="other",
    )
    assert one(clean, "postgres.definer-path").evidence == "other: public.hidden()"
    sql(clean, "DROP EXTENSION citext", database="other")


@pytest.mark.parametrize(
    ("group", "login"),
    [("pg_maintain", "guest"), ("pg_checkpoint", "guest"), ("pg_create_subscription", "guest"),
     ("pg_signal_backend", "guest"), ("pg_use_reserved_connections", "guest"),
     ("pg_monitor", "report")],
)  # fmt: skip
def test_a_predefined_role(clean: Cli, group: str, login: str) -> None:
    sql(clean, "GRANT inner_group TO report", f"GRANT {group} TO inner_group")
    found = one(clean, "postgres.role-server")
    assert found.verdict == "fail"
    assert f"{login}: {group}" in found.evidence
    sql(clean, f"REVOKE {group} FROM inner_group")
    converge(clean)


def test_the_monitor_has_a_reserved_connection_and_nobody_has_it_by_the_monitor(
    clean: Cli,
) -> None:
    reserved = (
        "SELECT pg_has_role('monitor', 'pg_use_reserved_connections', 'USAGE')::text AS found"
    )
    assert sql(clean, reserved) == [("true",)]
    sql(clean, "GRANT monitor TO guest", "GRANT pg_signal_backend TO monitor")
    found = one(clean, "postgres.role-server")
    by_both = "pg_signal_backend pg_use_reserved_connections"
    assert found.evidence == f"guest: {by_both}, monitor: pg_signal_backend"
    sql(clean, "REVOKE monitor FROM guest", "REVOKE pg_signal_backend FROM monitor")


def test_an_owner_that_cannot_read_what_a_superuser_restored(clean: Cli) -> None:
    sql(clean, "CREATE TABLE restored AS SELECT 1 AS id", database="shop")
    found = one(clean, "postgres.app-useful")
    assert (found.verdict, "shop: shop on public.restored" in found.evidence) == ("fail", True)
    converge(clean)  # as the remedy says


def test_the_login_of_a_stranger_is_found_until_it_is_closed(cli: Cli) -> None:
    found = one(cli, "postgres.logins-known")
    assert (found.verdict, found.evidence) == ("fail", "guest")
    cli.ok("up", "--allow", "role guest")
    assert one(cli, "postgres.logins-known").verdict == "pass"
    sql(cli, "ALTER ROLE guest LOGIN")
