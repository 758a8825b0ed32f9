"""Where memory goes, staged on real servers: each part, its holder, and what to change."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pymongo
import pytest
import redis

from mngdb.checks.memory import mongodb as judge_mongodb
from mngdb.facts.memory import Around
from mngdb.facts.mongodb_memory import MongodbMemory
from mngdb.findings import Seen
from tests.conftest import Cli
from tests.live import faults
from tests.live.clients import brought_up, redis_as, set_secret
from tests.live.postgres import alone, sql
from tests.live.scrapes import until

pytestmark = pytest.mark.live

FILE = """
postgres: {port: PORT1, memory: 128mb}
redis: {port: PORT2, memory: 900mb, eviction: noeviction}
mongodb: {port: PORT3, memory: 256mb}
apps: {shop: {postgres: shop, redis: "shop:*", mongodb: shop}}
"""
stack = brought_up(FILE)
#: Keys of 300 bytes, of which the allocator's pages hold many.
FILL = """
for i = ARGV[1], ARGV[2] do redis.call('SET', 'shop:' .. i, string.rep('x', 300)) end
"""
THIN = """
for i = ARGV[1], ARGV[2] do
  if i % 10 > 0 then redis.call('DEL', 'shop:' .. i) end
end
"""
MB = 1 << 20


def of(cli: Cli, engine: str) -> dict[str, Any]:
    """The answer for one engine; its parts are the whole."""
    (one,) = cli.json("memory", engine)["instances"]
    assert sum(part["size"] for part in one["parts"]) == one["total"]
    assert isinstance(one, dict)
    return one


def said(one: dict[str, Any]) -> str:
    return "\n".join(f"{a['text']} -> {a['change']}" for a in one["advice"])


def part(one: dict[str, Any], name: str) -> int:
    (size,) = [p["size"] for p in one["parts"] if name in p["name"]]
    return int(size)


def test_an_empty_redis_has_a_ratio_that_means_nothing(stack: Cli) -> None:
    one = of(stack, "redis")
    assert one["figures"]["fragmentation_ratio"] > 1.5
    assert "means nothing below 128 MB" in said(one)
    assert "activedefrag" not in said(one)


def test_fragmentation_after_deletes_is_explained_and_its_remedy_works(stack: Cli) -> None:
    with redis_as(stack) as admin:
        for begin in range(0, 400_000, 100_000):
            admin.eval(FILL, 0, begin, begin + 99_999)
        full = of(stack, "redis")
        assert part(full, "data: 400000 keys") > 100 * MB
        until(lambda: "free places" not in said(of(stack, "redis")))
        for begin in range(0, 400_000, 100_000):
            admin.eval(THIN, 0, begin, begin + 99_999)
        # Redis measures itself ten times a second
        until(lambda: of(stack, "redis")["figures"]["fragmentation_ratio"] > 1.5)
        one = of(stack, "redis")
        assert part(one, "fragmentation: free places") > 30 * MB
        text = said(one)
        assert "are free places in pages that still hold a value" in text
        assert "were in use once, and keys were deleted since" in text
        (settings,) = re.findall(r"redis: {(settings: {activedefrag: 'yes'.*?})}, then", text)
        shown = stack.ok("memory", "redis")
        assert "fragmentation: free places" in shown
        assert "█" in shown
        # what it says to do mends it
        before = part(one, "fragmentation: free places")
        stack.write(FILE.replace("noeviction", f"noeviction, {settings}"))
        stack.ok("up")
        end = time.monotonic() + 200
        while part(of(stack, "redis"), "fragmentation: free places") > before * 0.6:
            assert time.monotonic() < end
            time.sleep(0.5)
        admin.flushall()
    stack.write(FILE)
    stack.ok("up")


def test_a_client_that_does_not_read_is_named_with_its_app(stack: Cli) -> None:
    env = stack.env_of("shop")
    with redis.Redis.from_url(env["REDIS_URL"], socket_timeout=60) as client:
        client.set("shop:large", "x" * MB)
    with socket.create_connection((env["REDIS_HOST"], int(env["REDIS_PORT"]))) as lazy:
        lazy.sendall(f"AUTH {env['REDIS_USER']} {env['REDIS_PASSWORD']}\r\n".encode())
        assert lazy.recv(5) == b"+OK\r\n"
        lazy.sendall(b"CLIENT SETNAME reports\r\n" + b"GET shop:large\r\n" * 60)
        end = time.monotonic() + 60
        while True:
            one = of(stack, "redis")
            holder = one["holders"][0]
            if (holder["size"] or 0) > 30 * MB:
                break
            assert time.monotonic() < end, one["holders"]
            time.sleep(0.2)
    assert holder["app"] == "shop"
    assert part(one, "clients: buffers") > 30 * MB
    text = said(one)
    assert "shop from 127.0.0.1" in text
    assert "does not read its answers" in text
    assert re.search(r"CLIENT KILL ID \d+ frees it", text)
    assert env["REDIS_PASSWORD"] not in json.dumps(one)


def test_a_redis_near_its_limit_says_what_happens_there(stack: Cli) -> None:
    with redis_as(stack) as admin:
        for n in range(40):
            admin.set(f"shop:{n}", "x" * 100_000)
        admin.config_set("maxmemory", str(int(admin.info("memory")["used_memory"] / 0.9)))
        text = said(of(stack, "redis"))
        admin.flushall()
    stack.ok("up")
    assert "at the limit writes are refused (noeviction)" in text
    assert re.search(r"\d+% of maxmemory \(\d+ MB\) are used", text)
    assert re.search(r"redis: {memory: \d+mb}, then 'mngdb up'", text)


@pytest.fixture
def sessions(stack: Cli) -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def test_work_mem_that_is_too_large_is_counted_and_its_remedy_works(stack: Cli) -> None:
    assert "work_mem" not in said(of(stack, "postgres"))
    large = FILE.replace("memory: 128mb", "memory: 128mb, settings: {work_mem: 4GB}")
    stack.write(large)
    stack.ok("up")
    one = of(stack, "postgres")
    assert one["figures"]["worst_case"] > 200 * (8 << 30)
    assert "200 × 4096 MB (work_mem) × 2 (hash_mem_multiplier)" in said(one)
    (change,) = re.findall(r"work_mem: (\d+MB)}", said(one))
    stack.write(large.replace("4GB", change))
    stack.ok("up")
    one = of(stack, "postgres")
    assert "work_mem" not in said(one)
    assert one["figures"]["worst_case"] <= one["limit"]
    stack.write(FILE)
    stack.ok("up")


def test_sessions_of_postgres_are_weighed_by_app(stack: Cli, sessions: ExitStack) -> None:
    alone(stack)
    url = stack.env_of("shop")["POSTGRES_URL"]
    for _ in range(3):
        connection = sessions.enter_context(psycopg.connect(url, autocommit=True))
        connection.execute("SET temp_buffers = '160MB'")
    connection.execute(
        "CREATE TEMP TABLE t AS SELECT repeat('x', 1000) FROM generate_series(1, 150000)"
    )
    one = of(stack, "postgres")
    (holder,) = [h for h in one["holders"] if h["app"] == "shop"]
    assert holder["what"].startswith("3 sessions, 3 idle")
    assert holder["size"] > 130 * MB
    assert part(one, "sessions of shop (3)") == holder["size"]
    assert "one session of shop" in said(one)


def test_temporary_files_and_what_is_in_the_cache(stack: Cli, sessions: ExitStack) -> None:
    url = stack.env_of("shop")["POSTGRES_URL"]
    connection = sessions.enter_context(psycopg.connect(url, autocommit=True))
    connection.execute("CREATE TABLE IF NOT EXISTS large AS SELECT g, repeat('x', 500) AS t "
                       "FROM generate_series(1, 60000) g")  # fmt: skip
    connection.execute("SET work_mem = '64kB'")
    for _ in range(4):
        connection.execute("SELECT count(*) FROM (SELECT * FROM large ORDER BY t, g DESC) s")
    connection.execute("SELECT pg_stat_force_next_flush()")
    one = of(stack, "postgres")
    assert re.search(r"shop wrote \d+ MB in [\d,]+ temporary files", said(one))
    assert {"postgres", "shop"} <= {c["name"] for c in one["contents"]}
    sql(stack, "CREATE EXTENSION pg_buffercache", database="postgres")
    one = of(stack, "postgres")
    by_name = {c["name"]: c for c in one["contents"]}
    assert by_name["shop"]["size"] > 20 * MB
    assert one["figures"]["cache_used"] > by_name["shop"]["size"]
    sql(stack, "DROP EXTENSION pg_buffercache", database="postgres")


def test_mongodbs_cache_is_weighed_by_collection(stack: Cli) -> None:
    with pymongo.MongoClient[dict[str, Any]](stack.env_of("shop")["MONGO_URI"]) as mongo:
        for batch in range(12):
            mongo["shop"]["orders"].insert_many(
                {"n": batch * 100 + n, "note": os.urandom(100_000)} for n in range(100)
            )
        mongo["shop"]["small"].insert_one({"n": 1})
        mongo["shop"]["orders"].count_documents({"missing": 1})
        one = of(stack, "mongodb")
        mongo["shop"]["orders"].drop()
    assert one["contents"][0]["name"] == "shop.orders"
    assert one["contents"][0]["size"] > 80 * MB
    assert one["figures"]["cache_used"] > 0.4 * one["figures"]["cache_limit"]
    assert part(one, "the cache: as on disk") > 60 * MB
    assert {"shop"} <= {holder["app"] for holder in one["holders"]}


def test_a_full_cache_of_mongodb_and_its_connections_are_told() -> None:
    cache = {
        "maximum bytes configured": 100 * MB,
        "bytes currently in the cache": 97 * MB,
        "tracked dirty bytes in the cache": 30 * MB,
        "pages evicted by application threads": 900,
        "unmodified pages evicted": 4000,
    }
    status = {
        "mem": {"resident": 300},
        "connections": {"current": 800},
        "wiredTiger": {"cache": cache},
        "tcmalloc": {
            "generic": {"heap_size": 280 * MB, "current_allocated_bytes": 150 * MB},
            "tcmalloc": {"pageheap_unmapped_bytes": 0},
        },
    }
    unseen: Seen[Any] = Seen(missing="not here")
    facts = MongodbMemory(status, Seen(4000 * MB), unseen, unseen)
    one = judge_mongodb.judge(facts, Around(unseen, Seen(4000 * MB)), "mongodb").as_json()
    text = said(one)
    assert "the cache is full: 97% of 100 MB" in text
    assert "30% of the cache wait to be written" in text
    assert "operations themselves threw 900 pages" in text
    assert "130 MB of the heap of 280 MB are free" in text
    assert "800 connections have a stack" in text
    assert sum(p["size"] for p in one["parts"]) == one["total"] == 300 * MB
    assert [t.partition(":")[0] for t in one["unseen"]] == [
        "the process",
        "connections",
        "what is in the cache",
    ]


THEIRS = """
name: theirs
postgres: {target: {external: {url: "postgresql://shop@127.0.0.1:PORT1/shop"}}}
redis: {target: {external: {url: "redis://looker@127.0.0.1:PORT2"}}}
mongodb: {target: {external: {url: "mongodb://shop@127.0.0.1:PORT3/?authSource=admin&directConnection=true"}}}
"""


def test_logins_with_few_rights_see_what_they_may_and_hear_what_they_may_not(
    stack: Cli, tmp_path: Any
) -> None:
    theirs = Cli(tmp_path, _ports=stack._ports)
    theirs.write(THEIRS)
    with redis_as(stack) as admin:
        admin.execute_command("ACL", "SETUSER", "looker", "on", ">" + "l" * 40, "+info", "+ping")
    set_secret(theirs, "redis_admin", "l" * 40)
    for engine in ("postgres", "mongodb"):
        secret = (stack.state / "secrets" / f"{engine}_shop").read_text()
        set_secret(theirs, f"{engine}_admin", secret)
    done = theirs.run("--json", "memory")
    assert done.returncode == 3, done.stderr
    found = json.loads(done.stdout)
    assert "serverStatus is refused" in found["errors"]["mongodb"]
    by_name = {one["instance"]: one for one in found["instances"]}
    assert set(by_name) == {"postgres", "redis"}
    redis_unseen = "\n".join(by_name["redis"]["unseen"])
    assert "MEMORY STATS is refused" in redis_unseen
    assert "CLIENT LIST is refused" in redis_unseen
    assert by_name["redis"]["total"] > 0
    postgres = by_name["postgres"]
    assert any("not a member of pg_read_all_stats" in text for text in postgres["unseen"])
    assert part(postgres, "shared_buffers, the cache, as it is set aside") == 128 * MB
    with redis_as(stack) as admin:
        admin.acl_deluser("looker")


def test_a_server_that_hangs_is_said_in_bounded_time_and_the_others_are_shown(stack: Cli) -> None:
    pid = faults.pid(stack, "mng-pg")
    os.kill(pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        done = stack.run("--json", "memory")
        assert time.monotonic() - begun < 60
    finally:
        os.kill(pid, signal.SIGCONT)
    assert done.returncode == 3
    found = json.loads(done.stdout)
    assert set(found["errors"]) == {"postgres"}
    assert {one["instance"] for one in found["instances"]} == {"redis", "mongodb"}
