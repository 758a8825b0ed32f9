"""What `keys`, `slow`, `locks`, `indexes` and `bloat` find in containers, staged and looked for.
The stack has PostgreSQL, Redis, MongoDB and the app `shop`; encrypted or not is the same here."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from tests.compose.stacks import ComposeCli

REDIS, POSTGRES, MONGO = "redis:8.4.6-bookworm", "postgres:17.11-bookworm", "mongo:8.0.37"


def redis(stack: ComposeCli, commands: str) -> str:
    """What the app says to Redis: a script that prints commands."""
    client = 'redis-cli --no-auth-warning -e ${REDIS_CA:+--cacert "$REDIS_CA"} -u "$REDIS_URL"'
    code, said = stack.app(REDIS, f"{{ {commands}; }} | {client}")
    assert code == 0, said
    return said


def mongo(stack: ComposeCli, script: str) -> None:
    """What the app says to MongoDB."""
    code, said = stack.app(MONGO, f"HOME=/tmp mongosh --quiet \"$MONGO_URI\" --eval '{script}'")
    assert code == 0, said


def keys(stack: ComposeCli) -> None:
    redis(stack, "for i in $(seq 300); do echo set shop:cart:$i:items xxxxxxxxxx; done")
    report = stack.json("keys")
    assert report["complete"]
    (found,) = [one for one in report["patterns"] if one["pattern"].startswith("shop:cart:")]
    assert found["count"] == 300
    assert found["bytes"] > 300 * 50


def slow(stack: ComposeCli) -> None:
    code, said = stack.app(POSTGRES, 'psql -c "select pg_sleep(0.3)" "$POSTGRES_URL"')
    assert code == 0, said
    redis(stack, "echo 'eval \"for i = 1, 20000000 do end\" 0'")
    mongo(
        stack,
        # each document with each: no join by a hash
        "db.a.insertMany([...Array(1000).keys()].map(n => ({n})));"
        "db.a.aggregate([{$lookup: {from: `a`, let: {m: `$n`}, as: `b`, pipeline: "
        "[{$match: {$expr: {$gt: [`$n`, `$$m`]}}}, {$count: `c`}]}}, {$match: {b: 0}}]).toArray()",
    )
    found: list[dict[str, Any]] = stack.json("slow")["statements"]
    by = {one["instance"]: one for one in found if _staged(one)}
    assert set(by) == {"postgres", "redis", "mongodb"}, found
    assert by["postgres"]["mean_ms"] > 300
    assert by["redis"]["mean_ms"] > 10
    assert by["mongodb"]["mean_ms"] > 100


def _staged(one: dict[str, Any]) -> bool:
    return any(word in one["text"].lower() for word in ("pg_sleep", "eval", "aggregate"))


@contextmanager
def session(stack: ComposeCli, script: str) -> Iterator[None]:
    """A session of psql that says this and stays."""
    words = ("exec", "-i", stack.unit("pg"), "psql", "-XqU", "postgres", "-d", "shop")
    with subprocess.Popen(
        ["docker", *words],
        env={**os.environ, **stack.docker.environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(script)
        process.stdin.flush()
        try:
            yield
        finally:
            process.stdin.close()


def chains(stack: ComposeCli) -> list[dict[str, Any]]:
    (one,) = stack.json("locks")["instances"]
    found: list[dict[str, Any]] = one["chains"]
    return found


def locks(stack: ComposeCli) -> None:
    stack.sql("CREATE TABLE stock AS SELECT 1 AS id, 0 AS n", "shop", "shop")
    deadline = time.monotonic() + 180
    with ExitStack() as sessions:
        sessions.enter_context(session(stack, "BEGIN;\nUPDATE stock SET n = 1;\n"))
        holds = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"
        while stack.sql(holds) != "1":
            assert time.monotonic() < deadline, "nobody holds the row"
        sessions.enter_context(session(stack, "UPDATE stock SET n = 2;\n"))
        while not (found := chains(stack)):
            assert time.monotonic() < deadline, "nobody waits"
        (root,) = found
        assert root["state"] == "idle in transaction"
        assert ["UPDATE stock" in one["query"] for one in root["blocked"]] == [True]
        assert "ended" in stack.ok("locks", "kill", str(root["pid"]), "--terminate")
        while stack.sql("SELECT n FROM stock", "shop") != "2":
            assert time.monotonic() < deadline, "the other goes on waiting"
        assert chains(stack) == []


def indexes(stack: ComposeCli) -> None:
    stack.sql(
        "CREATE TABLE item (id int PRIMARY KEY); CREATE INDEX twin ON item (id)", "shop", "shop"
    )
    mongo(stack, "db.b.insertOne({at: 1}); db.b.createIndexes([{at: 1}, {at: 1, user: -1}])")
    found = {
        one["instance"]: {(index["kind"], index["index"]) for index in one["indexes"]}
        for one in stack.json("indexes")["instances"]
    }
    assert ("duplicate", "twin") in found["postgres"]
    assert ("duplicate", "at_1") in found["mongodb"]


def bloat(stack: ComposeCli) -> None:
    rows = "SELECT g AS id, repeat('x', 100) AS note FROM generate_series(1, 40000) g"
    stack.sql(f"CREATE TABLE held WITH (autovacuum_enabled = off) AS {rows}", "shop", "shop")
    stack.sql("DELETE FROM held WHERE id % 10 > 0", "shop")
    stack.sql("ANALYZE held", "shop")
    (one,) = stack.json("bloat", "postgres")["instances"]
    (held,) = [found for found in one["objects"] if found["name"] == "public.held"]
    assert held["dead"] > 30_000
    assert held["reason"] == "autovacuum is disabled for this table"


ALL = (keys, slow, locks, indexes, bloat)
