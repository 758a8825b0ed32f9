"""Rights on the server's own objects, rights passed on, logins of nobody's, tables of the wrong
owner: told by `plan`, mended where they are ours, closed only when named."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Cli
from tests.live.clients import converge
from tests.live.postgres import pg, refused, sql, value

pytestmark = pytest.mark.live

FILE = """
name: mng
postgres: {port: PORT1, memory: 128mb}
apps:
  shop:   {postgres: shop}
  clerk:  {postgres: {database: shop, access: readwrite}}
  report: {postgres: {database: shop, access: readonly}}
"""


@pytest.fixture(scope="module")
def cli(module_cli: Cli) -> Cli:
    module_cli.write(FILE)
    module_cli.ok("up")
    sql(module_cli, "CREATE TABLE item (id int)", app="shop")
    return module_cli


#: What somebody grants by hand, and the app and statement that must be refused afterwards. They
#: are revoked together in the app's database and in the administrator's.
GRANTED = {
    "pg_authid to everybody": (
        "GRANT SELECT ON pg_catalog.pg_authid TO public",
        "SELECT rolpassword FROM pg_authid",
    ),
    "pg_authid to an app": ("GRANT SELECT ON pg_authid TO report", "SELECT * FROM pg_authid"),
    "pg_shadow": ("GRANT SELECT ON pg_shadow TO report", "SELECT passwd FROM pg_shadow"),
    "one column": (
        "GRANT SELECT (rolpassword) ON pg_authid TO report",
        "SELECT rolpassword FROM pg_authid",
    ),
    "connection strings": (
        "GRANT SELECT (subconninfo) ON pg_subscription TO public",
        "SELECT subconninfo FROM pg_subscription",
    ),
    "rows of others in statistics": (
        "GRANT SELECT ON pg_statistic TO report",
        "SELECT * FROM pg_statistic",
    ),
    "large objects": ("GRANT SELECT ON pg_largeobject TO report", "SELECT * FROM pg_largeobject"),
    "files": (
        "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO report",
        "SELECT pg_read_file('postgresql.conf')",
    ),
    "files to everybody": (
        "GRANT EXECUTE ON FUNCTION pg_ls_dir(text) TO public",
        "SELECT pg_ls_dir('.')",
    ),
    "files into the database": (
        "GRANT EXECUTE ON FUNCTION lo_import(text) TO report",
        "SELECT lo_import('/etc/hostname')",
    ),
    "the server's reload": (
        "GRANT EXECUTE ON FUNCTION pg_reload_conf() TO report",
        "SELECT pg_reload_conf()",
    ),
    "objects in pg_catalog": (
        "GRANT CREATE ON SCHEMA pg_catalog TO report",
        "CREATE FUNCTION pg_catalog.trap() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ),
    "a setting": (
        "GRANT SET ON PARAMETER log_statement TO report",
        "SET log_statement = 'none'",
    ),
    "a right that may be passed on": (
        "GRANT SELECT ON pg_authid TO report WITH GRANT OPTION",
        "SELECT * FROM pg_authid",
    ),
    "files by a group": (
        "GRANT pg_read_server_files TO report WITH INHERIT FALSE, SET TRUE",
        "SET ROLE pg_read_server_files",
    ),
}


@pytest.mark.parametrize("what", GRANTED)
def test_a_right_on_the_servers_own_objects_is_shown_and_revoked(cli: Cli, what: str) -> None:
    grant, use = GRANTED[what]
    sql(cli, grant, database="shop")
    sql(cli, grant)
    with pg(cli, "report") as report:
        report.execute(use)
    steps = converge(cli)
    assert steps
    assert {step["action"] for step in steps} == {"revoke"}
    assert not any(step["destructive"] for step in steps)
    assert refused(cli, "report", use) == "InsufficientPrivilege"


def test_all_functions_at_once_are_one_step_for_each_database(cli: Cli) -> None:
    for database in ("shop", "postgres"):
        sql(cli, "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pg_catalog TO clerk", database=database)
    steps = converge(cli)
    assert {(one["object"], one["action"]) for one in steps} == {
        ("database shop", "revoke"),
        ("database postgres", "revoke"),
    }
    assert all("rights more" in one["detail"] for one in steps)


@pytest.fixture
def guest(cli: Cli) -> Iterator[Cli]:
    """A login of somebody else's, with a password."""
    sql(cli, "CREATE ROLE guest LOGIN PASSWORD 'a-password-that-nobody-has-in-a-list'")
    yield cli
    for database in ("shop", "postgres"):
        sql(
            cli, "REASSIGN OWNED BY guest TO shop", "DROP OWNED BY guest CASCADE", database=database
        )
    sql(cli, "DROP ROLE guest")
    cli.ok("up")


def notices(cli: Cli) -> str:
    """What `plan` says beside its steps."""
    return cli.run("plan").stderr


def test_a_login_that_the_file_does_not_name_is_told_with_its_powers(guest: Cli) -> None:
    sql(guest, "GRANT pg_read_all_data TO guest", "ALTER ROLE guest CREATEDB")
    sql(guest, "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO guest", database="shop")
    said = notices(guest)
    assert "the login guest is not in the file (CREATEDB; member of pg_read_all_data; execute on "
    assert "function pg_read_file(text) in shop)" in said
    assert "mngdb up --allow guest" in said
    assert guest.json("plan")["steps"] == []


def test_a_login_of_another_projects_stack_stays(guest: Cli) -> None:
    """That project has this server as an external one; `up` closed its apps."""
    mark = "mngdb: an app of stack theirs/82aabeef"
    sql(guest, f"COMMENT ON ROLE guest IS '{mark}'", "ALTER ROLE guest CREATEDB")
    guest.ok("up", "--prune")
    assert guest.json("plan")["steps"] == []
    text = "the login guest belongs to the stack theirs of another project (CREATEDB)"
    assert text in notices(guest)
    query = "SELECT rolcanlogin AND rolcreatedb FROM pg_roles WHERE rolname = 'guest'"
    assert value(guest, query)


def test_a_login_of_nobodys_is_closed_only_when_the_command_names_it(guest: Cli) -> None:
    sql(guest, "GRANT CREATE ON SCHEMA public TO guest", database="shop")
    sql(guest, "SET ROLE guest", "CREATE TABLE theirs (id int)", database="shop")
    before = value(guest, "SELECT rolpassword FROM pg_authid WHERE rolname = 'guest'")
    guest.ok("up")
    guest.ok("up", "--prune")
    assert value(guest, "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'guest'")
    (step,) = converge(guest, "--allow", "guest")
    assert (step["action"], step["object"], step["destructive"]) == ("revoke", "role guest", True)
    assert not value(guest, "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'guest'")
    assert value(guest, "SELECT rolpassword FROM pg_authid WHERE rolname = 'guest'") == before
    assert value(guest, "SELECT count(*) FROM theirs", database="shop") == 0
    assert "the login guest" not in notices(guest)


def test_a_grant_option_is_told(guest: Cli) -> None:
    sql(guest, "GRANT SELECT ON item TO guest WITH GRANT OPTION", app="shop")
    said = notices(guest)
    assert "guest may pass on rights in the database shop: select on 1 table" in said
    assert "REVOKE GRANT OPTION FOR" in said


def test_a_right_that_a_stranger_passed_on_to_an_app_is_revoked(guest: Cli) -> None:
    """It was granted in the stranger's name: a plain REVOKE left it, and `up` failed."""
    sql(guest, "GRANT UPDATE ON item TO guest WITH GRANT OPTION", app="shop")
    sql(
        guest,
        "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO guest WITH GRANT OPTION",
        "SET ROLE guest",
        "GRANT UPDATE ON item TO report",
        "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO report, clerk",
        database="shop",
    )
    steps = converge(guest)
    assert {step["object"] for step in steps} == {"database shop"}
    assert refused(guest, "report", "UPDATE item SET id = 1") == "InsufficientPrivilege"
    assert refused(guest, "clerk", "SELECT pg_read_file('x')") == "InsufficientPrivilege"


def test_a_function_that_may_be_passed_on_is_kept_without_that(cli: Cli) -> None:
    sql(
        cli,
        "CREATE FUNCTION own() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "REVOKE EXECUTE ON FUNCTION own() FROM public",
        "GRANT EXECUTE ON FUNCTION own() TO report WITH GRANT OPTION",
        app="shop",
    )
    (step,) = converge(cli)
    assert step["detail"] == "report: passing on of execute on routine public.own()"
    assert value(cli, "SELECT own()", "report") == 1


def test_tables_that_the_administrator_restored_become_the_owners(cli: Cli) -> None:
    """pg_restore as superuser: `up`, `doctor` and the check all passed."""
    sql(
        cli,
        "CREATE TABLE restored AS SELECT 1 AS id",
        "CREATE SCHEMA restored",
        "CREATE TABLE restored.item AS SELECT 1 AS id",
        database="shop",
    )
    assert refused(cli, "shop", "SELECT * FROM restored") == "InsufficientPrivilege"
    done = cli.run("doctor", "shop")
    assert done.returncode == 1
    assert "is refused on the table public.restored, which belongs to postgres" in done.stdout
    steps = converge(cli)
    assert ("grant", "database shop") in {(one["action"], one["object"]) for one in steps}
    sql(cli, "UPDATE restored SET id = 2", "ALTER TABLE restored.item ADD name text", app="shop")
    assert cli.run("doctor", "shop").returncode == 0


def test_tables_of_a_stranger_in_an_apps_database_are_told(guest: Cli) -> None:
    sql(guest, "CREATE TABLE alien (id int)", "ALTER TABLE alien OWNER TO guest", database="shop")
    guest.ok("up")
    said = notices(guest)
    assert "shop cannot work with 1 table of guest in its database shop" in said
    assert "REASSIGN OWNED BY guest TO shop" in said
    sql(guest, "REASSIGN OWNED BY guest TO shop", database="shop")
    guest.ok("up")
    assert "cannot work" not in notices(guest)
    sql(guest, "DROP TABLE alien", app="shop")


def test_an_owner_whose_own_rights_were_revoked_has_them_again(cli: Cli) -> None:
    sql(cli, "REVOKE ALL ON item FROM shop", database="shop")
    assert refused(cli, "shop", "SELECT * FROM item") == "InsufficientPrivilege"
    (step,) = converge(cli)
    assert step["detail"] == "shop: its rights on 1 table of its own"
    sql(cli, "SELECT * FROM item", app="shop")


def test_an_app_that_becomes_the_owner_keeps_its_rights(cli: Cli) -> None:
    """What it had been granted was revoked after the tables were its own: it lost its own."""
    text = (cli.folder / "mngdb.yaml").read_text()
    swapped = text.replace("shop:   {postgres: shop}", "shop:   {postgres: other}")
    cli.write(swapped.replace("database: shop, access: readonly", "database: shop"))
    # the database's code will run with the new owner's rights: up waits for a word
    named = ("--allow", "database shop")
    try:
        converge(cli, *named)
        sql(cli, "SELECT * FROM item", "INSERT INTO item VALUES (1)", app="report")
    finally:
        cli.write(text)
        converge(cli, *named)
        sql(cli, "DELETE FROM item", app="shop")
