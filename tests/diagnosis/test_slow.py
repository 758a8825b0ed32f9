"""Slow work, staged in each engine under load, ranked and explained."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import psycopg
import pymongo
import pytest
import redis

from tests.conftest import Cli
from tests.live.clients import brought_up, redis_as, set_secret
from tests.live.scrapes import until

pytestmark = pytest.mark.live

FILE = """
postgres: {port: PORT1}
redis: {port: PORT2, slow: 1ms}
mongodb: {port: PORT3, slow: 1ms}
apps: {shop: {postgres: shop, redis: "shop:*", mongodb: shop}}
"""
stack = brought_up(FILE)
ROWS = 40_000


@pytest.fixture(scope="module")
def loaded(stack: Cli) -> Cli:
    env = stack.env_of("shop")
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as pg:
        pg.execute("CREATE TABLE item (id int PRIMARY KEY, owner int, at timestamptz, note text)")
        pg.execute(
            f"INSERT INTO item SELECT g, g % 500, now(), repeat('x', 40) FROM "
            f"generate_series(1, {ROWS}) g"
        )
        pg.execute("ANALYZE item")
        for owner in range(30):
            pg.execute("SELECT * FROM item WHERE owner = %s AND at > '2020-01-01'", [owner])
            pg.execute("SELECT * FROM item WHERE id = %s", [owner])
        pg.execute("SET work_mem = '64kB'")
        pg.execute("SELECT count(*) FROM (SELECT * FROM item ORDER BY note, owner) x")
    with redis.Redis.from_url(env["REDIS_URL"], socket_timeout=60) as client:
        client.hset("shop:cart:17", mapping={f"field{n}": "v" * 50 for n in range(40_000)})
        for _ in range(3):
            client.hgetall("shop:cart:17")
    with pymongo.MongoClient[dict[str, Any]](env["MONGO_URI"]) as mongo:
        orders = mongo["shop"]["orders"]
        orders.insert_many(
            {"_id": n, "user": n % 100, "at": n, "card": "4111"} for n in range(ROWS)
        )
        for user in range(10):
            list(orders.find({"user": user, "at": {"$gt": 5}, "card": "secret-4111"}).sort("at", 1))
    return stack


def statements(cli: Cli, engine: str, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cli.json("slow", engine, *options)["statements"]
    return found


def test_postgres_says_which_table_is_read_whole_and_for_what(loaded: Cli) -> None:
    found = statements(loaded, "postgres")
    (scan,) = [one for one in found if "owner =" in one["text"]]
    assert scan["app"] == "shop"
    assert scan["calls"] == 30
    assert scan["total_ms"] == pytest.approx(scan["mean_ms"] * 30, rel=0.01)
    (why,) = scan["why"]
    assert why == f"reads all of public.item (about {ROWS:,} rows) to find owner, at"
    (key,) = [one for one in found if "WHERE id =" in one["text"]]
    assert key["why"] == []


def test_postgres_says_what_spills_to_disk(loaded: Cli) -> None:
    (one,) = [s for s in statements(loaded, "postgres") if "ORDER BY note" in s["text"]]
    assert any("spilled" in why and "work_mem" in why for why in one["why"])


def test_redis_groups_keys_of_a_kind_and_says_what_else_to_use(loaded: Cli) -> None:
    (one,) = [s for s in statements(loaded, "redis") if s["text"].startswith("HGETALL")]
    assert one["text"] == "HGETALL shop:cart:*"
    assert one["calls"] == 3
    assert one["app"] == "shop"
    assert "HSCAN" in one["why"][0]


def test_mongodb_says_what_lacks_an_index_and_shows_no_value(loaded: Cli) -> None:
    found = [s for s in statements(loaded, "mongodb") if "find" in s["text"]]
    assert len(found) == 1
    assert found[0]["text"] == "orders.find({user: ?, at: {$gt: ?}, card: ?}).sort(at: 1)"
    assert found[0]["app"] == "shop"
    assert f"{ROWS:,} documents for 0" in found[0]["why"][0]
    assert "to find user, card, at" in found[0]["why"][0]
    assert "secret" not in loaded.ok("slow", "--json")


def test_all_engines_are_ranked_together_by_what_they_cost(loaded: Cli) -> None:
    found = loaded.json("slow", "--most", "500")["statements"]
    totals = [one["total_ms"] for one in found]
    assert totals == sorted(totals, reverse=True)
    assert {one["instance"] for one in found} == {"postgres", "redis", "mongodb"}
    assert len(loaded.json("slow", "--most", "2")["statements"]) == 2
    text = loaded.ok("slow")
    assert "reads all of public.item" in text


def test_a_name_cannot_command_a_terminal(loaded: Cli) -> None:
    with redis_as(loaded) as admin:
        before = admin.config_get("slowlog-log-slower-than")
        admin.config_set("slowlog-log-slower-than", 0)
        admin.get("shop:\x1b[2J\nred\u202e")
        admin.config_set("slowlog-log-slower-than", before["slowlog-log-slower-than"])
    text = loaded.ok("slow", "redis", "--most", "500")
    assert "GET shop:\\x1b[*J\\x0ared\\x202e" in text
    assert "\x1b" not in text
    found = loaded.ok("--json", "slow", "redis", "--most", "500")
    assert ("\u202e" in found, "\\u202e" in found) == (False, True)
    assert any("\u202e" in one["text"] for one in json.loads(found)["statements"])


def test_since_leaves_out_what_is_older(loaded: Cli) -> None:
    def nothing_new(engine: str) -> bool:
        return statements(loaded, engine, "--since", "1s") == []

    for engine in ("redis", "mongodb"):
        until(partial(nothing_new, engine))
        assert statements(loaded, engine, "--since", "1h") != []
    done = loaded.run("slow", "--since", "soon")
    assert done.returncode == 2
    assert "24h" in done.stderr


def test_a_trap_in_an_apps_database_does_not_run_as_administrator(loaded: Cli) -> None:
    """Planning evaluates immutable functions: with the administrator's rights an app could make
    itself one. The plan is asked for as the app itself."""
    env = loaded.env_of("shop")
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as pg:
        pg.execute(
            "CREATE FUNCTION trap() RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN "
            "EXECUTE 'ALTER ROLE shop SUPERUSER'; RETURN 1; EXCEPTION WHEN OTHERS THEN "
            "RETURN 2; END $$"
        )
        pg.execute("SELECT * FROM item WHERE owner = trap()")
    loaded.ok("slow", "postgres")
    with psycopg.connect(loaded.ok("url", "postgres").strip()) as admin:
        row = admin.execute("SELECT rolsuper FROM pg_roles WHERE rolname = 'shop'").fetchone()
    assert row == (False,)


def test_a_stranger_whose_apps_all_come_as_the_administrator(loaded: Cli, tmp_path: Path) -> None:
    at = loaded.ok("url", "postgres").strip()
    with psycopg.connect(at, autocommit=True) as admin:
        admin.execute("SELECT count(*) FROM generate_series(1, 500000) theirs")
    stranger = Cli(tmp_path)
    user, _, host = at.removeprefix("postgresql://").partition("@")
    stranger.write(
        "postgres: {target: {external: {url: "
        f"'postgresql://{user.partition(':')[0]}@{host}'}}}}}}\n"
    )
    set_secret(stranger, "postgres_admin", unquote(user.partition(":")[2]))
    found = [one["text"] for one in statements(stranger, "postgres", "--most", "500")]
    assert any("theirs" in one for one in found)
    assert not any("pg_stat" in one for one in found)
    assert not any("theirs" in one["text"] for one in statements(loaded, "postgres"))


def test_a_server_without_the_extension_is_said(loaded: Cli) -> None:
    with psycopg.connect(loaded.ok("url", "postgres").strip(), autocommit=True) as admin:
        admin.execute("DROP EXTENSION pg_stat_statements")
    try:
        done = loaded.run("--json", "slow")
        assert done.returncode == 3
        document = json.loads(done.stdout)
        assert "pg_stat_statements is not installed" in document["errors"]["postgres"]
        assert {one["instance"] for one in document["statements"]} == {"redis", "mongodb"}
    finally:
        loaded.ok("up")


def test_what_the_monitor_asks_is_left_out_and_counted(loaded: Cli) -> None:
    with psycopg.connect(loaded.ok("url", "postgres").strip(), autocommit=True) as admin:
        admin.execute("CREATE ROLE monitor")
        try:
            admin.execute("SET ROLE monitor")
            admin.execute("SELECT 1 AS asked_for_metrics, pg_sleep(0.5)")
            admin.execute("RESET ROLE")
            said = loaded.json("slow", "postgres", "--most", "500")
        finally:
            admin.execute("DROP ROLE monitor")
    assert [one for one in said["statements"] if "asked_for_metrics" in one["text"]] == []
    assert "of the login monitor" in said["notes"]["postgres"]
