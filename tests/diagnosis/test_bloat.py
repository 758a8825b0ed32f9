"""Dead rows that somebody holds, space that nobody gives back."""

from __future__ import annotations

import os
from typing import Any

import psycopg
import pymongo
import pytest

from tests.conftest import Cli
from tests.live.clients import brought_up

pytestmark = pytest.mark.live

FILE = """
postgres: {port: PORT1}
mongodb: {port: PORT2}
apps: {shop: {postgres: shop, mongodb: shop}}
"""
ROWS = 60_000
stack = brought_up(FILE)


def of(cli: Cli, engine: str) -> dict[str, dict[str, Any]]:
    (one,) = cli.json("bloat", engine)["instances"]
    return {found["name"]: found for found in one["objects"]}


def test_postgres(stack: Cli) -> None:
    assert of(stack, "postgres") == {}
    url = stack.env_of("shop")["POSTGRES_URL"]
    with psycopg.connect(url, autocommit=True) as pg, psycopg.connect(url) as holder:
        for name in ("tidy", "held"):
            pg.execute(f"CREATE TABLE {name} (id int, note text)")
            pg.execute(
                f"INSERT INTO {name} SELECT g, repeat('x', 100) FROM generate_series(1, {ROWS}) g"
            )
        pg.execute("ALTER TABLE held SET (autovacuum_enabled = off)")
        pg.execute('CREATE INDEX "held Id" ON held (id)')
        pg.execute("CREATE INDEX held_note ON held (note)")  # one value alone
        pg.execute("CREATE INDEX ON held ((id * 2)) WHERE note > ''")
        pg.execute("VACUUM ANALYZE tidy")
        pg.execute("ANALYZE held")
        holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT 1")
        pg.execute("DELETE FROM held WHERE id % 10 > 0")
        pg.execute("VACUUM ANALYZE held")
        pg.execute("SELECT pg_stat_force_next_flush()")
        found = of(stack, "postgres")
        names = {"public.held", 'public."held Id"', "public.held_expr_idx"}
        assert set(found) == names
        held = found["public.held"]
        assert held["dead"] == pytest.approx(ROWS * 0.9, rel=0.05)
        assert held["reason"] == "autovacuum is disabled for this table"
        pg.execute("ALTER TABLE held RESET (autovacuum_enabled)")
        for one in of(stack, "postgres").values():
            assert "the open transaction of shop" in one["reason"]
        holder.rollback()
        pg.execute("VACUUM ANALYZE held")
        pg.execute("SELECT pg_stat_force_next_flush()")
        held = of(stack, "postgres")["public.held"]
        size = held["size"]
        assert held["wasted"] == pytest.approx(size * 0.9, rel=0.1)
        assert held["statement"].startswith("VACUUM FULL public.held")
        assert set(of(stack, "postgres")) == names
        index = of(stack, "postgres")['public."held Id"']
        assert (index["kind"], index["dead"]) == ("index", 0)
        assert index["wasted"] == pytest.approx(index["size"] * 0.9, rel=0.1)
        for name in names - {"public.held"}:
            pg.execute(of(stack, "postgres")[name]["statement"])
        assert set(of(stack, "postgres")) == {"public.held"}
        assert "VACUUM FULL" in stack.ok("bloat")
        pg.execute("CREATE TABLE busy ()")
        holder.execute("LOCK TABLE busy")
        shown = stack.run("bloat", "postgres")  # and does not wait for the lock
        assert "VACUUM FULL" in shown.stdout
        assert "shop: a locked table is left out, see 'mngdb locks'" in shown.stdout + shown.stderr
        holder.rollback()
        pg.execute("DROP TABLE busy")
        pg.execute("VACUUM FULL held")
        pg.execute("ANALYZE held")
        assert of(stack, "postgres") == {}


def test_mongodb(stack: Cli) -> None:
    with pymongo.MongoClient[dict[str, Any]](stack.env_of("shop")["MONGO_URI"]) as mongo:
        orders = mongo["shop"]["orders"]
        orders.insert_many({"n": n, "note": os.urandom(200)} for n in range(ROWS))
        with pymongo.MongoClient[Any](stack.ok("url", "mongodb").strip()) as admin:
            admin.admin.command("fsync")
            orders.delete_many({"n": {"$mod": [10, 1]}})
            orders.delete_many({"n": {"$gt": 100}})
            admin.admin.command("fsync")
    found = of(stack, "mongodb")
    assert found["orders"]["wasted"] > 1 << 20
    assert found["orders"]["statement"] == 'db.getSiblingDB("shop").runCommand({compact: "orders"})'
