"""Indexes that nobody uses, that are there twice, that are broken, and that are missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pymongo
import pytest

from tests.conftest import Cli
from tests.live.clients import brought_up

pytestmark = pytest.mark.live

FILE = """
postgres: {port: PORT1}
mongodb:
  port: PORT2
  slow: 1ms
  databases: {shop: {indexes: {orders: [{keys: {at: 1}}], empty: [{keys: {x: 1}}]}}}
apps: {shop: {postgres: shop, mongodb: shop}}
"""
ROWS = 30_000
stack = brought_up(FILE)


@pytest.fixture(scope="module")
def staged(stack: Cli) -> Cli:
    env = stack.env_of("shop")
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as pg:
        pg.execute(
            "CREATE TABLE item (id int PRIMARY KEY, owner int, kind int, price int, "
            "code text UNIQUE)"
        )
        pg.execute(
            "INSERT INTO item SELECT g, g % 500, g % 9, g, g::text FROM "
            f"generate_series(1, {ROWS}) g"
        )
        pg.execute("CREATE INDEX twin ON item (id)")
        pg.execute("CREATE INDEX by_kind ON item (kind)")
        pg.execute("CREATE INDEX by_kind_owner ON item (kind, owner)")
        pg.execute("CREATE INDEX some_kinds ON item (kind) WHERE owner > 400")
        pg.execute('CREATE INDEX "odd ""name" ON item ((owner * 2))')
        pg.execute("ANALYZE item")
        # the first columns in another order serve nobody who needs them in this one
        pg.execute('CREATE INDEX in_c ON item (code COLLATE "C")')
        pg.execute("CREATE INDEX code_kind ON item (code, kind)")
        pg.execute("CREATE INDEX one_owner ON item (owner)")
        pg.execute("CREATE INDEX other_owner ON item (owner)")
        # one NULL alone is a rule of its own, and the plain one beside it adds nothing
        pg.execute("CREATE TABLE nick (name text, at int)")
        pg.execute(f"INSERT INTO nick SELECT 'n' || g, g FROM generate_series(1, {ROWS}) g")
        pg.execute("CREATE UNIQUE INDEX nick_name ON nick (name)")
        pg.execute("CREATE UNIQUE INDEX nick_null ON nick (name) NULLS NOT DISTINCT")
        pg.execute("CREATE TABLE sale (item int REFERENCES item, kind int REFERENCES item)")
        pg.execute(f"INSERT INTO sale SELECT g, 5 FROM generate_series(1, {ROWS}) g")
        pg.execute("CREATE INDEX sale_item ON sale (item) WHERE item IS NOT NULL")
        pg.execute("ANALYZE nick, sale")
        pg.execute(f"INSERT INTO item (id) SELECT {ROWS} + generate_series(1, 300)")
        pg.execute(f"DELETE FROM item WHERE id > {ROWS}")
        pg.execute("CREATE TABLE log (at int NOT NULL, who text) PARTITION BY RANGE (at)")
        pg.execute("CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (0) TO (9999999)")
        pg.execute(f"INSERT INTO log SELECT g, g::text FROM generate_series(1, {ROWS}) g")
        pg.execute("CREATE INDEX log_at ON log (at)")
        pg.execute("CREATE INDEX log_at_too ON log (at)")
        pg.execute("ANALYZE item, log")
        pg.execute("SET enable_seqscan = off")
        for owner in range(20):
            pg.execute("SELECT * FROM item WHERE owner = %s", [owner])
        pg.execute("RESET enable_seqscan")
        with pytest.raises(psycopg.errors.UniqueViolation):
            pg.execute("CREATE UNIQUE INDEX CONCURRENTLY broken ON item (kind)")
        for owner in range(20):
            pg.execute("SELECT * FROM item WHERE price = %s", [owner])
        pg.execute("SELECT pg_stat_force_next_flush()")
    with pymongo.MongoClient[dict[str, Any]](env["MONGO_URI"]) as mongo:
        orders = mongo["shop"]["orders"]
        orders.insert_many({"user": n % 100, "at": n, "until": n} for n in range(ROWS))
        orders.create_index([("at", 1)])
        orders.create_index([("at", 1), ("user", -1)])
        orders.create_index([("until", 1)], unique=True)
        orders.create_index([("never", 1)])
        list(orders.find({"at": 5, "user": 7}))
        mongo["shop"].create_collection(
            "seen", viewOn="orders", pipeline=[{"$match": {"user": {"$gte": 0}}}]
        )
        list(mongo["shop"]["seen"].find({"colour": 3}))
        orders.find_one_and_update({"size": 3}, {"$set": {"size": 4}})
        list(orders.find({"user": 7, "until": {"$gt": 3}}).sort("at", 1))
        # where all are compared for equality, an index of another order serves
        for _ in range(2):
            list(orders.find({"shelf": 1, "user": 3}))
            orders.create_index([("user", 1), ("shelf", 1)])
    return stack


def of(cli: Cli, engine: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Kind and index to the advice."""
    (one,) = cli.json("indexes", engine, "--unused-for", "0s")["instances"]
    return {(a["kind"], a["index"]): a for a in one["indexes"]}


def test_postgres(staged: Cli) -> None:
    found = of(staged, "postgres")
    # which one the planner took, it alone knows: that one stays
    ((kind, spare),) = {one for one in found if one[1] in {"one_owner", "other_owner"}}
    assert (kind, "is the same" in found[kind, spare]["reason"]) == ("duplicate", True)
    with psycopg.connect(staged.env_of("shop")["POSTGRES_URL"]) as pg:
        scans = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = %s"
        assert pg.execute(scans, [spare]).fetchone() == (0,)
    ((kind, twice),) = {one for one in found if one[1] in {"log_at", "log_at_too"}}
    assert (kind, found[kind, twice]["size"] > ROWS * 10) == ("duplicate", True)
    assert set(found) - {("duplicate", spare), ("duplicate", twice)} == {
        ("missing", "price"),
        ("missing", "kind"),
        ("duplicate", "nick_name"),
        ("invalid", "broken"),
        ("duplicate", "twin"),
        ("duplicate", "by_kind"),
        ("unused", 'odd "name'),
        ("unused", "in_c"),
        ("unused", "code_kind"),
        *({("unused", "some_kinds")} & set(found)),
    }
    assert found["duplicate", "nick_name"]["reason"] == "nick_null is the same"
    assert "the foreign key sale_kind_fkey has no index" in found["missing", "kind"]["reason"]
    assert found["missing", "kind"]["statement"].endswith('ON public.sale ("kind")')
    assert found["duplicate", "twin"]["reason"] == "item_pkey is the same"
    assert "by_kind_owner begins" in found["duplicate", "by_kind"]["reason"]
    assert "reads all 30,000 rows" in found["missing", "price"]["reason"]


def test_what_a_delete_costs_is_told(staged: Cli) -> None:
    every = staged.json("slow", "postgres")["statements"]
    (delete,) = [one for one in every if one["text"].startswith("DELETE FROM item")]
    assert "foreign key sale_kind_fkey has no index on kind" in " ".join(delete["why"])
    assert "sale_item" not in " ".join(delete["why"])


def test_a_young_index_is_not_called_unused(staged: Cli) -> None:
    for engine, index in (("postgres", "in_c"), ("mongodb", "never_1")):
        said = staged.json("indexes", engine)
        (one,) = said["instances"]
        assert "unused" not in {advice["kind"] for advice in one["indexes"]}
        assert index in said["notes"][engine]
        assert "less than 7 days" in said["notes"][engine]


def test_a_server_of_others_is_looked_at_whole(staged: Cli, cli: Cli) -> None:
    """The file names no app there, so no database: all are looked at that let the login in."""
    urls = {name: staged.ok("url", name).strip() for name in ("postgres", "mongodb")}
    lines = []
    for name, url in urls.items():
        login, _, place = url.rpartition("@")
        head, _, password = login.rpartition(":")
        lines.append(f"{name}: {{target: {{external: {{url: '{head}@{place}'}}}}}}")
        cli.write("\n".join(lines))
        cli.ok("secret", "set", f"{name}_admin", stdin=password)
    with psycopg.connect(urls["postgres"], autocommit=True) as admin:
        admin.execute("CREATE DATABASE apart")
        hba = Path(admin.execute("SHOW hba_file").fetchone()[0])  # type: ignore[index]
        before = hba.read_text()
        hba.write_text("host apart all all reject\n" + before)
        admin.execute("SELECT pg_reload_conf()")
        try:
            found = cli.json("indexes", "--unused-for", "0s")
            note = cli.json("bloat")["notes"]["postgres"]
        finally:
            hba.write_text(before)
            admin.execute("SELECT pg_reload_conf()")
            admin.execute("DROP DATABASE apart")
    assert "apart was skipped: " in note
    assert note in found["notes"]["postgres"]
    assert "missing indexes are unknown" in found["notes"]["postgres"]
    every = staged.json("indexes", "--unused-for", "0s")["instances"]
    whole = {one["instance"]: one["indexes"] for one in every}
    for one in found["instances"]:
        shown = {(a["kind"], a["index"], a["database"]) for a in one["indexes"]}
        wanted = {(a["kind"], a["index"], a["database"]) for a in whole[one["instance"]]}
        if one["instance"] == "postgres":  # plans are asked for as apps
            wanted = {a for a in wanted if a[0] != "missing"}
        assert shown >= wanted != set()


def test_every_statement_runs_and_then_nothing_is_left(staged: Cli) -> None:
    env = staged.env_of("shop")
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as pg:
        for (kind, _), one in of(staged, "postgres").items():
            # a unique index over values that are not cannot be mended, only dropped
            text = "DROP INDEX broken" if kind == "invalid" else one["statement"]
            pg.execute(text)
        pg.execute("SELECT * FROM item WHERE price = 1")
    left = {kind for kind, _ in of(staged, "postgres")}
    assert left <= {"unused"}


def test_mongodb(staged: Cli) -> None:
    found = of(staged, "mongodb")
    assert set(found) == {
        ("missing", "user, at, until"),
        ("missing", "colour"),
        ("missing", "size"),
        ("duplicate", "at_1"),
        ("unused", "never_1"),
    }
    assert {found["missing", one]["table"] for one in ("colour", "size")} == {"orders"}
    missing = found["missing", "user, at, until"]
    assert missing["statement"] == (
        'db.getSiblingDB("shop")["orders"].createIndex({"user": 1, "at": 1, "until": 1})'
    )
    assert "until_1" not in {index for _, index in found}
    # the file has it, and would have it made again
    assert found["duplicate", "at_1"]["statement"] == "mngdb up --allow shop.orders.at_1"
    assert "remove it from the file" in found["duplicate", "at_1"]["cost"]
    assert "dropIndex" in found["unused", "never_1"]["statement"]


def test_a_made_index_is_no_longer_missing(staged: Cli) -> None:
    with pymongo.MongoClient[dict[str, Any]](staged.env_of("shop")["MONGO_URI"]) as mongo:
        mongo["shop"]["orders"].create_index([("user", 1), ("at", 1), ("until", 1)])
    assert ("missing", "user, at, until") not in of(staged, "mongodb")
    text = staged.ok("indexes", "--unused-for", "0s")
    assert "dropIndex" in text


def test_redis_has_none(staged: Cli, cli: Cli) -> None:
    cli.write("redis: {port: PORT1}\n")
    done = cli.run("indexes")
    assert done.returncode == 2
    assert "PostgreSQL, MongoDB" in done.stderr
