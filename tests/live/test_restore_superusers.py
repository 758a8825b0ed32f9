"""`restore --database` and `--table` of what an app cannot make: foreign servers, casts, languages.
And what a table has to do with others: row security, publications, large objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Cli
from tests.live.postgres import pg, sql, value

pytestmark = pytest.mark.live

FILE = """
postgres: {port: PORT1, memory: 128mb, settings: {wal_level: logical}}
agent: false
apps: {shop: {postgres: shop}, other: {postgres: other}}
backup: {}
"""
OURS = (
    "CREATE EXTENSION postgres_fdw",
    "CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'far.example')",
    "COMMENT ON SERVER far IS 'away'",
    "CREATE USER MAPPING FOR shop SERVER far OPTIONS (user 'u', password 'hidden')",
    "GRANT USAGE ON FOREIGN SERVER far TO shop",
    "CREATE CAST (text AS int) WITH INOUT",
    "COMMENT ON CAST (text AS int) IS 'ours'",
    "CREATE FUNCTION beyond(internal) RETURNS internal LANGUAGE internal AS 'int4_avg_combine'",
    "COMMENT ON FUNCTION beyond IS 'ours'",
    "GRANT EXECUTE ON FUNCTION beyond TO shop",
    "CREATE SUBSCRIPTION taker CONNECTION 'host=far.example' PUBLICATION p WITH (connect = false)",
)
APPS = (
    "CREATE FOREIGN TABLE remote (id int) SERVER far",
    "CREATE TYPE colour AS ENUM ('red', 'blue')",
    "CREATE CAST (varchar AS colour) WITH INOUT AS IMPLICIT",
    "CREATE TABLE item (id int PRIMARY KEY, n int)",
    "INSERT INTO item SELECT g, g FROM generate_series(1, 9) g",
    "ALTER TABLE item ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE item FORCE ROW LEVEL SECURITY",
    "CREATE POLICY few ON item USING (n > 5)",
    "CREATE TABLE bought (item int REFERENCES item, n int, file oid, PRIMARY KEY (item))",
    "INSERT INTO bought SELECT g, g, lo_from_bytea(0, 'x') FROM generate_series(1, 9) g",
)


@pytest.fixture(scope="module")
def stack(module_cli: Cli) -> Iterator[Cli]:
    """A server with a snapshot of all of it."""
    module_cli.write(FILE)
    module_cli.ok("up")
    with pg(module_cli, database="shop") as admin:
        for one in OURS:
            admin.execute(one)
    sql(module_cli, *APPS, app="shop")
    with pg(module_cli, database="shop") as admin:
        admin.execute("CREATE PUBLICATION chosen FOR TABLE bought (item, n) WHERE (n > 2)")
        admin.execute("CREATE PUBLICATION gone FOR TABLE bought")
    module_cli.ok("backup")
    yield module_cli
    with pg(module_cli, database="shop") as admin:
        admin.execute("ALTER SUBSCRIPTION taker SET (slot_name = NONE)")
        admin.execute("DROP SUBSCRIPTION taker")


def notes(found: Any) -> str:
    return "\n".join(found["notes"])


def test_a_database_comes_back_with_the_servers_that_the_administrator_owns(stack: Cli) -> None:
    found = stack.json("restore", "postgres", "--latest", "--database", "shop", "--as", "copy")
    assert found["counts"]["rows"] == 18
    assert "function public.beyond(" in notes(found)
    assert "taker" in notes(found)
    mapping = (
        "SELECT srvowner::regrole::text, umoptions FROM pg_user_mappings m "
        "JOIN pg_foreign_server s ON s.oid = srvid"
    )
    with pg(stack, database="copy") as admin:
        assert admin.execute(mapping).fetchall() == [("postgres", ["password=hidden", "user=u"])]
        comments = "SELECT description FROM pg_description WHERE description IN ('away', 'ours')"
        assert len(admin.execute(comments).fetchall()) == 2
        assert admin.execute("SELECT '7'::text::int").fetchone() == (7,)
        owner = "SELECT relowner::regrole::text FROM pg_class WHERE relname = 'remote'"
        assert admin.execute(owner).fetchone() == ("shop",)
    log = (stack.state / "servers/mng-pg/server.log").read_text()
    assert "hidden" not in log
    with pg(stack) as admin:
        admin.execute("DROP DATABASE copy")


def test_a_table_comes_back_into_its_publications_and_below_row_security(stack: Cli) -> None:
    sql(stack, "SELECT lo_unlink(file) FROM bought WHERE n < 3", "DROP TABLE bought", app="shop")
    with pg(stack, database="shop") as admin:
        admin.execute("DROP PUBLICATION gone")
    found = stack.json("restore", "postgres", "--latest", "--table", "shop.public.bought")
    assert found["name"] == "shop.public.bought"
    assert found["counts"]["rows"] == 9
    told = notes(found)
    assert "2 of the large objects that its column file" in told
    assert "gone or list no tables: gone" in told
    with pg(stack, database="shop") as admin:
        one = "SELECT pubname, attnames, rowfilter FROM pg_publication_tables"
        assert admin.execute(one).fetchall() == [("chosen", ["item", "n"], "(n > 2)")]
        assert admin.execute(
            "SELECT relforcerowsecurity, relrowsecurity FROM pg_class WHERE relname = 'item'"
        ).fetchone() == (True, True)
        key = "SELECT convalidated FROM pg_constraint WHERE conname = 'bought_item_fkey'"
        assert admin.execute(key).fetchone() == (True,)
    copy = stack.json("restore", "postgres", "--latest", "--table", "shop.bought", "--as", "second")
    assert "publications" not in notes(copy)
    asked = stack.run("restore", "postgres", "--latest", "--table", "bought")
    assert (asked.returncode, "--table shop.public.bought\n" in asked.stderr) == (2, True)


def test_what_a_table_needs_and_only_a_superuser_may_create_is_told_before(stack: Cli) -> None:
    with pg(stack) as admin:
        admin.execute("CREATE DATABASE odd OWNER shop")
    with pg(stack, database="odd") as admin:
        admin.execute("CREATE TYPE money2")
        for word, name in (("cstring", "in"), ("money2", "out")):
            returns = "money2" if name == "in" else "cstring"
            admin.execute(
                f"CREATE FUNCTION money2{name}({word}) RETURNS {returns} "
                f"LANGUAGE internal IMMUTABLE STRICT AS 'int4{name}'"
            )
        admin.execute("CREATE TYPE money2 (INPUT = money2in, OUTPUT = money2out, LIKE = int4)")
        admin.execute("CREATE TABLE priced (at money2)")
        admin.execute("ALTER TABLE priced OWNER TO shop")
    stack.ok("backup", "postgres")
    done = stack.run("restore", "postgres", "--latest", "--database", "odd", "--as", "copied")
    assert done.returncode == 2, done.stderr
    assert "public.money2" in done.stderr
    assert "priced" in done.stderr
    assert not value(stack, "SELECT count(*) FROM pg_database WHERE datname ~ 'copy|restoring'")
