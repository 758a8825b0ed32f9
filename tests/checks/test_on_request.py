"""Checks that only control lists ask for, on what makes them pass and on what makes them fail."""

from __future__ import annotations

import json
from contextlib import closing

import psycopg
import pytest

from tests.checks.judge import one
from tests.conftest import Cli
from tests.live.clients import brought_up, mongo_as, redis_as, url

pytestmark = pytest.mark.live

stack = brought_up("""
postgres: {port: PORT1, settings: {log_statement: ddl}}
redis: {port: PORT2}
mongodb: {port: PORT3}
apps: {shop: {postgres: shop, redis: "shop:*", mongodb: shop}}
logs: 400d
""")


@pytest.mark.parametrize(
    "name",
    [
        *("postgres.log-statement", "postgres.admin-sessions", "redis.eviction-lru"),
        *("redis.replica-read-only", "mongodb.databases-known", "secrets.kinds"),
        *("stack.environment", "stack.log-retention"),
    ],
)
def test_it_passes_on_a_stack_of_ours(stack: Cli, name: str) -> None:
    assert one(stack, name).verdict == "pass"


def test_they_are_judged_only_where_they_are_asked_for(stack: Cli) -> None:
    def ids(*words: str) -> set[str]:
        return {
            one["id"] for one in json.loads(stack.run("--json", "check", *words).stdout)["findings"]
        }

    assert "redis.eviction-lru" not in ids("--only", "redis.*")
    assert "redis.eviction-lru" in ids("--control", "guide: Redis 3")


def test_what_is_wrong_is_named(stack: Cli) -> None:
    with redis_as(stack) as admin:
        admin.config_set("maxmemory-policy", "noeviction")
        admin.config_set("replica-read-only", "no")
    with closing(psycopg.connect(url(stack, "postgres"), application_name="DBeaver")) as person:
        person.execute("SELECT 1")
        found = one(stack, "postgres.admin-sessions")
        assert (found.verdict, found.evidence.split()[0]) == ("fail", "DBeaver")
        person.rollback()
        person.autocommit = True
        person.execute("ALTER SYSTEM SET log_statement = 'none'")
        person.execute("SELECT pg_reload_conf()")
    with mongo_as(stack) as client:
        client.test.things.insert_one({})
    try:
        for name, evidence in (
            ("redis.eviction-lru", "maxmemory-policy noeviction"),
            ("redis.replica-read-only", "replica-read-only no"),
            ("mongodb.databases-known", "test"),
            ("postgres.log-statement", "log_statement none"),
        ):
            found = one(stack, name)
            assert (found.verdict, found.evidence) == ("fail", evidence)
    finally:
        with mongo_as(stack) as client:
            client.drop_database("test")


def test_a_control_list_is_reported_by_item(stack: Cli) -> None:
    done = stack.run("check", "--control", "kisa: D-08", "--language", "ko")
    assert done.returncode == 0
    assert done.stdout.splitlines()[1].split()[:3] == ["pass", "D-08", "안전한"]
    found = json.loads(stack.run("--json", "check", "--control", "isms-p").stdout)
    assert "2.9.4" in {one["item"] for one in found["items"]}
    assert stack.run("check", "--control", "kisa: D-12").stdout.splitlines()[1].endswith("only")
    wrong = stack.run("check", "--control", "kiza")
    assert (wrong.returncode, "kisa" in wrong.stderr) == (2, True)
