"""Apps with several databases: by name, by the beginning of the name, and made by themselves."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pymongo
import pytest
from pymongo.errors import OperationFailure

from tests.conftest import Cli
from tests.live.clients import url
from tests.live.postgres import pg, refused, sql, value

pytestmark = [pytest.mark.live, pytest.mark.postgres, pytest.mark.mongodb]

FILE = """
name: mng
agent: false
postgres: {port: PORT1, memory: 64mb}
mongodb: {port: PORT2, memory: 256mb, outdated: true}
apps:
  shop:
    postgres: {databases: [shop, shop_test, "tenant_*"], create_databases: true}
    mongodb: {databases: [shop, shop_test]}
  report:
    postgres: {databases: [shop, "tenant_*"], access: readonly}
    mongodb: {databases: [shop], access: readonly}
  blog: {postgres: blog, mongodb: blog}
"""
_OWNER = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = "
_CHECKS = (
    *("postgres.app-databases", "postgres.role-create", "postgres.public-connect"),
    *("postgres.public-temporary", "postgres.app-excess", "postgres.app-useful"),
    *("mongodb.app-own-database", "mongodb.app-harmless", "mongodb.app-useful"),
    "mongodb.app-readonly",
)


@pytest.fixture(scope="module")
def cli(module_cli: Cli) -> Cli:
    module_cli.write(FILE)
    assert "role shop: login with the secret of the app; may create databases" in _steps(module_cli)
    module_cli.ok("up")
    return module_cli


def _steps(cli: Cli) -> list[str]:
    return [f"{one['object']}: {one['detail']}" for one in cli.json("plan")["steps"]]


def _mongo(cli: Cli, app: str) -> pymongo.MongoClient[Any]:
    return pymongo.MongoClient(url(cli, "mongodb", app))


def _checks(cli: Cli) -> list[str]:
    """The checks of rights that do not pass."""
    only = [word for one in _CHECKS for word in ("--only", one)]
    found = json.loads(cli.run("--json", "check", "--all", *only).stdout)["findings"]
    assert {one["id"] for one in found} == {*_CHECKS}
    return [f"{one['id']}: {one['evidence']}" for one in found if one["verdict"] != "pass"]


def test_the_app_has_all_that_the_file_names_and_variables_for_each(cli: Cli) -> None:
    assert _steps(cli) == []
    env = cli.env_of("shop")
    assert env["POSTGRES_DATABASE"] == env["MONGO_DATABASE"] == "shop"
    assert env["POSTGRES_DATABASE_SHOP_TEST"] == env["MONGO_DATABASE_SHOP_TEST"] == "shop_test"
    with psycopg.connect(env["POSTGRES_URL_SHOP_TEST"], autocommit=True) as connection:
        connection.execute("CREATE TABLE a (id int)")
        assert connection.info.dbname == "shop_test"
    with pymongo.MongoClient[Any](env["MONGO_URI_SHOP_TEST"]) as client:
        client.get_default_database().a.insert_one({})
        assert client.get_default_database().name == "shop_test"
    assert _checks(cli) == []
    prisma = cli.json("env", "shop", "--for", "prisma")
    assert prisma["DATABASE_URL_SHOP_TEST"].split("?")[0].endswith("/shop_test")
    rights = "mongodb: {databases: [shop, shop_test]}"
    own = f"{rights}\n    env: {{DATABASE_URL: postgres, SHADOW: postgres.url.shop_test}}"
    cli.write(FILE.replace(rights, own))
    env = cli.env_of("shop")
    assert env["SHADOW"].split("?")[0] == env["DATABASE_URL"].split("?")[0] + "_test"
    cli.write(FILE.replace(rights, own.replace("url.shop_test", "url.shop_tset")))
    assert "postgres has no 'url.shop_tset'" in cli.run("plan").stderr
    cli.write(FILE)
    assert "ok" in cli.ok("doctor", "shop")


def test_what_it_creates_stays_its_own_and_nobody_elses(cli: Cli) -> None:
    sql(cli, "CREATE DATABASE scratch", app="shop")
    sql(
        cli,
        "CREATE TABLE kept (id int)",
        "INSERT INTO kept VALUES (7)",
        app="shop",
        database="scratch",
    )
    # before the next `up`, checks know whose it is, and pg_hba.conf keeps others out
    assert _checks(cli) == []
    with pytest.raises(psycopg.OperationalError, match="no pg_hba"), pg(cli, "blog", "scratch"):
        pass
    assert _steps(cli) == ["database scratch: PUBLIC's right to connect"]
    cli.ok("up")
    assert value(cli, f"{_OWNER}'scratch'") == "shop"
    assert value(cli, "SELECT id FROM kept", "shop", "scratch") == 7
    assert "scratch" not in cli.ok("plan")
    sql(cli, "DROP DATABASE scratch", app="shop")


def test_a_prefix_reaches_what_the_app_makes_and_whoever_reads_it(cli: Cli) -> None:
    sql(cli, "CREATE DATABASE tenant_1", app="shop")
    sql(cli, "CREATE TABLE t (id int)", app="shop", database="tenant_1")
    cli.ok("up")
    assert sql(cli, "SELECT * FROM t", app="report", database="tenant_1") == []
    assert refused(cli, "report", "INSERT INTO t VALUES (1)", "tenant_1") == "InsufficientPrivilege"
    assert _steps(cli) == []
    sql(cli, "CREATE DATABASE tenant_2")  # by the administrator: it becomes the app's
    cli.ok("up")
    assert value(cli, f"{_OWNER}'tenant_2'") == "shop"
    sql(cli, "CREATE DATABASE tenant_3 OWNER blog")
    assert "tenant_3 of blog is named like those of shop" in str(cli.json("plan")["remarks"])
    assert _steps(cli) == ["database tenant_3: PUBLIC's right to connect"]
    sql(cli, "DROP DATABASE tenant_3")
    assert _checks(cli) == []
    for app, database in (("report", "shop_test"), ("blog", "tenant_1"), ("shop", "blog")):
        with pytest.raises(psycopg.OperationalError), pg(cli, app, database):
            pass


def test_both_logins_of_a_rotation_create_databases(cli: Cli) -> None:
    cli.ok("rotate", "shop", "--now")
    assert cli.env_of("shop")["POSTGRES_USER"] == "shop.2"
    assert _steps(cli) == []
    sql(cli, "CREATE DATABASE tenant_4", app="shop")
    assert value(cli, f"{_OWNER}'tenant_4'") == "shop"
    sql(cli, "CREATE DATABASE other", "SET ROLE NONE", "CREATE DATABASE second", app="shop")
    cli.ok("up")
    assert value(cli, f"{_OWNER}'second'") == "shop"
    assert _steps(cli) == []
    assert _checks(cli) == []
    cli.ok("rotate", "shop", "--now")


def test_what_an_app_made_under_its_former_name_is_closed_and_told(cli: Cli) -> None:
    sql(cli, "CREATE DATABASE tenant_0", "CREATE DATABASE loose", app="shop")
    cli.write(renamed := FILE.replace("  shop:\n", "  market:\n"))
    cli.ok("up")
    assert _steps(cli) == []
    names = "ARRAY['tenant_0', 'loose']"
    public = (
        "SELECT count(*) FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba)))"
    )
    assert value(cli, f"{public} WHERE grantee = 0 AND datname = ANY({names})") == 0
    done = cli.run("doctor", "market")
    assert "tenant_0" in done.stdout
    assert "owned by shop, whose login is disabled" in done.stdout
    assert "under 'databases' of market, name each" in done.stdout
    cli.write(renamed.replace('"tenant_*"], create', 'tenant_0, "tenant_*"], create'))
    cli.ok("up")
    assert value(cli, f"{_OWNER}'tenant_0'") == "market"
    cli.write(FILE)
    cli.ok("up")
    sql(cli, "DROP DATABASE tenant_0", "DROP DATABASE loose")


def test_a_mongodb_app_changes_what_it_may_make(cli: Cli) -> None:
    with _mongo(cli, "shop") as client:
        for name in ("shop", "shop_test"):
            database = client[name]
            database.create_collection("orders")
            database.orders.create_index("at", expireAfterSeconds=60)
            index = {"keyPattern": {"at": 1}, "expireAfterSeconds": 90}
            database.command("collMod", "orders", index=index)
            database.command("collMod", "orders", validator={"n": {"$gte": 0}})
            assert len(list(database.orders.aggregate([{"$indexStats": {}}]))) == 2
            assert database.command("validate", "orders")["valid"]
            database.command("collStats", "orders")
        client.drop_database("shop_test")
        for other in ("blog", "tenant_1"):
            with pytest.raises(OperationFailure, match="not authorized"):
                client[other].command("dropDatabase")
            with pytest.raises(OperationFailure, match="not authorized"):
                client[other].command("collMod", "orders", validator={})
        for command in ("createUser", "profile"):
            with pytest.raises(OperationFailure, match="not authorized"):
                client.shop.command(
                    command, "x" if command == "createUser" else 2, pwd="x", roles=[]
                )
    with _mongo(cli, "report") as client:
        assert list(client.shop.orders.aggregate([{"$indexStats": {}}]))
        for command in ("collMod", "validate"):
            with pytest.raises(OperationFailure, match="not authorized"):
                client.shop.command(command, "orders")
        with pytest.raises(OperationFailure, match="not authorized"):
            client.shop.command("dropDatabase")


def test_a_database_that_left_the_file_is_the_administrators(cli: Cli) -> None:
    cli.write(
        FILE.replace('[shop, shop_test, "tenant_*"], create_databases: true', "[shop]").replace(
            "[shop, shop_test]}", "[shop]}"
        )
    )
    cli.ok("up")
    assert _steps(cli) == []
    for name in ("shop_test", "tenant_1", "tenant_4", "second"):
        assert value(cli, f"{_OWNER}'{name}'") == "postgres"
        with pytest.raises(psycopg.OperationalError), pg(cli, "shop", name):
            pass
    assert refused(cli, "shop", "CREATE DATABASE more") == "InsufficientPrivilege"
    with _mongo(cli, "shop") as client, pytest.raises(OperationFailure, match="not authorized"):
        client.shop_test.a.find_one()
    assert _checks(cli) == []
