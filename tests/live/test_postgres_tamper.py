"""What somebody changes by hand, the next `up` mends, and `plan` shows it first."""

from __future__ import annotations

import re

import pytest

from tests.conftest import Cli
from tests.live.clients import converge, set_secret
from tests.live.postgres import pg, refused, sql, value

pytestmark = pytest.mark.live

FILE = """
name: mng
postgres: {port: PORT1, memory: 128mb}
apps:
  shop:   {postgres: shop}
  clerk:  {postgres: {database: shop, access: readwrite, connections: 9}}
  report: {postgres: {database: shop, access: readonly}}
"""


@pytest.fixture(scope="module")
def cli(module_cli: Cli) -> Cli:
    module_cli.write(FILE)
    module_cli.ok("up")
    sql(
        module_cli,
        "CREATE TABLE item (id serial PRIMARY KEY, name text, price int)",
        "CREATE SCHEMA side",
        "CREATE TABLE side.thing (id int)",
        app="shop",
    )
    sql(module_cli, "CREATE ROLE team NOLOGIN", "CREATE ROLE stranger LOGIN")
    return module_cli


#: What is done by hand together: statements of the administrator in the app's database, and what
#: the plan says of each: action, object, words of the detail.
BY_HAND = {
    "more rights for a role": [
        ("GRANT UPDATE ON item TO report", "revoke", "database shop", "report: .*update on tables"),
        ("GRANT INSERT (name) ON item TO report", "revoke", "database shop", "insert on tables"),
        (
            "GRANT TRUNCATE ON ALL TABLES IN SCHEMA side TO clerk",
            "revoke",
            "database shop",
            "trunc",
        ),
        (
            "GRANT SELECT ON item TO clerk WITH GRANT OPTION",
            "revoke",
            "database shop",
            "passing on",
        ),
        ("GRANT CREATE ON SCHEMA public TO clerk", "revoke", "database shop", "create on schemas"),
        ("GRANT UPDATE ON SEQUENCE item_id_seq TO report", "revoke", "database shop", "sequences"),
        ("GRANT CREATE ON DATABASE shop TO report", "revoke", "database shop", "report: .*create"),
        ("GRANT CONNECT ON DATABASE postgres TO report", "revoke", "database postgres", "connect"),
    ],
    "rights for everybody": [
        ("GRANT SELECT ON item TO PUBLIC", "revoke", "database shop", "PUBLIC: .*select on tab"),
        ("GRANT UPDATE (name) ON item TO PUBLIC", "revoke", "database shop", "PUBLIC: .*update"),
        ("GRANT CREATE ON SCHEMA public TO PUBLIC", "revoke", "database shop", "PUBLIC: create"),
        (
            "GRANT CONNECT ON DATABASE shop TO PUBLIC",
            "revoke",
            "database shop",
            "PUBLIC's right",
        ),
        ("GRANT TEMP ON DATABASE postgres TO PUBLIC", "revoke", "database postgres", "PUBLIC"),
    ],
    "rights on what comes later": [
        (
            "ALTER DEFAULT PRIVILEGES FOR ROLE shop GRANT DELETE ON TABLES TO report",
            *("revoke", "database shop", "report: new tables"),
        ),
        (
            "ALTER DEFAULT PRIVILEGES IN SCHEMA side GRANT INSERT ON TABLES TO PUBLIC",
            *("revoke", "database shop", "PUBLIC: new tables"),
        ),
        (
            "ALTER DEFAULT PRIVILEGES FOR ROLE postgres GRANT SELECT ON TABLES TO clerk",
            *("revoke", "database shop", "clerk: new tables"),
        ),
    ],
    "fewer rights": [
        ("REVOKE SELECT ON item FROM report", "grant", "database shop", "select on tables"),
        ("REVOKE USAGE ON SCHEMA side FROM clerk", "grant", "database shop", "usage on schemas"),
        (
            "REVOKE CONNECT ON DATABASE shop FROM clerk",
            "grant",
            "database shop",
            "clerk: .*connect",
        ),
        (
            "ALTER DEFAULT PRIVILEGES FOR ROLE shop REVOKE SELECT ON TABLES FROM report",
            *("grant", "database shop", "report: .*new tables"),
        ),
    ],
    "the administrator as owner": [
        (
            "ALTER DATABASE shop OWNER TO postgres",
            "grant",
            "database shop",
            "owner postgres → shop",
        ),
        ("CREATE TABLE restored (id int)", "grant", "database shop", "with what postgres created"),
    ],
    "a stranger as owner": [
        ("ALTER DATABASE shop OWNER TO stranger", "grant", "database shop", "stranger → shop"),
        ("ALTER TABLE item OWNER TO clerk", "grant", "database shop", "objects of clerk → shop"),
    ],
    "more rights than an app": [
        ("ALTER ROLE shop SUPERUSER", "revoke", "role shop", "SUPERUSER"),
        (
            "ALTER ROLE report CREATEDB CREATEROLE REPLICATION BYPASSRLS",
            *("revoke", "role report", "CREATEDB, CREATEROLE, REPLICATION, BYPASSRLS"),
        ),
        ("GRANT team TO report", "revoke", "role report", "membership of .*team"),
        ("GRANT pg_read_all_data TO report", "revoke", "role report", "pg_read_all_data"),
    ],
    "other secrets and limits": [
        ("ALTER ROLE report PASSWORD 'guessed'", "change", "role report", "set the secret"),
        ("ALTER ROLE report NOLOGIN", "change", "role report", "may log in again"),
        ("ALTER ROLE shop PASSWORD NULL", "change", "role shop", "set the secret"),
        ("ALTER ROLE shop VALID UNTIL '2020-01-01'", "change", "role shop", "does not expire"),
        ("ALTER ROLE clerk CONNECTION LIMIT 1", "change", "role clerk", "connection limit 1 → 9"),
        (
            "ALTER ROLE clerk SET idle_in_transaction_session_timeout = 0",
            *("change", "role clerk", "idle_in_transaction_session_timeout = 600000"),
        ),
        ("ALTER ROLE postgres PASSWORD 'guessed'", "change", "role postgres", "administrator's"),
    ],
}


@pytest.mark.parametrize("what", BY_HAND)
def test_by_hand_is_shown_and_mended(cli: Cli, what: str) -> None:
    with pg(cli, database="shop") as connection:
        for statement, *_ in BY_HAND[what]:
            connection.execute(statement)  # the session lives on when its own secret is changed
    steps = converge(cli)
    for statement, action, thing, words in BY_HAND[what]:
        details = [s["detail"] for s in steps if (s["action"], s["object"]) == (action, thing)]
        assert any(re.search(words, detail) for detail in details), (statement, steps)
    assert not any(step["restart"] or step["destructive"] for step in steps)
    assert value(cli, "SELECT count(*) FROM item", "report") == 0
    assert refused(cli, "report", "DELETE FROM item") == "InsufficientPrivilege"
    sql(cli, "ALTER TABLE item ADD x int", "ALTER TABLE item DROP x", app="shop")


def test_a_right_that_was_passed_on_is_revoked_with_its_source(cli: Cli) -> None:
    sql(cli, "GRANT UPDATE ON item TO report WITH GRANT OPTION", app="shop")
    sql(cli, "GRANT UPDATE ON item TO clerk", app="report")
    sql(cli, "GRANT UPDATE ON item TO stranger", app="report")
    converge(cli)
    assert not value(cli, "SELECT has_table_privilege('stranger', 'item', 'UPDATE')", "shop")
    sql(cli, "UPDATE item SET price = 1", app="clerk")


def test_a_membership_that_another_role_granted_is_revoked(cli: Cli) -> None:
    sql(
        cli,
        "GRANT team TO stranger WITH ADMIN OPTION",
        "SET ROLE stranger",
        "GRANT team TO report",
    )
    steps = converge(cli)
    assert [s["detail"] for s in steps] == ["membership of team"]


def test_dropped_things_come_back(cli: Cli) -> None:
    sql(cli, "DROP OWNED BY report", database="shop")
    sql(cli, "DROP ROLE report")
    sql(cli, "DROP EXTENSION pg_stat_statements")
    steps = converge(cli)
    assert ("create", "role report") in {(s["action"], s["object"]) for s in steps}
    assert ("create", "extension pg_stat_statements") in {(s["action"], s["object"]) for s in steps}
    assert value(cli, "SELECT count(*) FROM item", "report") == 0


def test_a_closed_database_opens_again(cli: Cli) -> None:
    sql(cli, "ALTER DATABASE shop ALLOW_CONNECTIONS false")
    steps = converge(cli)
    assert (steps[0]["action"], steps[0]["detail"]) == ("change", "accept connections again")
    assert value(cli, "SELECT 1", "shop") == 1


def test_a_secret_changed_in_the_vault_becomes_the_roles_and_the_old_one_ends(cli: Cli) -> None:
    before = cli.env_of("report")["POSTGRES_PASSWORD"]
    set_secret(cli, "postgres_report", "a-new-secret-that-is-32-characters-long")
    steps = converge(cli)
    assert [(s["object"], s["detail"]) for s in steps] == [("role report", "set the secret")]
    assert value(cli, "SELECT 1", "report") == 1
    set_secret(cli, "postgres_report", before)
    cli.ok("up")


def test_the_administrators_secret_changed_in_the_vault_becomes_the_servers(cli: Cli) -> None:
    set_secret(cli, "postgres_admin", "another-secret-that-is-32-characters-long")
    steps = converge(cli)
    assert [(s["object"], s["restart"]) for s in steps] == [("role postgres", False)]
    assert "another-secret" in cli.ok("url", "postgres")
    assert value(cli, "SELECT 1") == 1


def test_a_secret_of_every_punctuation_lets_the_app_in_by_its_url(cli: Cli) -> None:
    # all but the single quote, which 'mngdb env' cannot print beside these
    set_secret(cli, "postgres_report", '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~0aZ')
    converge(cli)
    assert value(cli, "SELECT 1", "report") == 1


def test_a_role_without_our_mark_is_taken_over_only_when_the_command_names_it(cli: Cli) -> None:
    sql(cli, "COMMENT ON ROLE clerk IS NULL")
    (step,) = cli.json("plan")["steps"]
    assert (step["object"], step["destructive"]) == ("role clerk", True)
    done = cli.run("up")
    assert done.returncode == 1
    assert "mngdb up --allow 'role clerk'" in done.stderr
    assert cli.json("plan")["steps"] == [step]
    allowed = cli.json("plan", "--allow", "clerk")  # by its name alone, as in every engine
    assert allowed["steps"] != [step]
    cli.ok("up", "--allow", "role clerk")
    assert cli.json("plan")["steps"] == []
