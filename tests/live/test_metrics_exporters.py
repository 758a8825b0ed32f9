"""Side by side with the exporters that people use today: names, types, labels, values.

The exporters log in as `monitor`, so the rights of that login are proved by the way.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pymongo
import pytest
import redis

from mngdb.cli.common import Options
from mngdb.engines.postgres import metrics
from tests.conftest import ROOT, Cli
from tests.live import dashboards, exporters
from tests.live.scrapes import AGENT, ENGINES, Labels, Scrape, fetch, read, scrape, until, whole

pytestmark = pytest.mark.live

#: What exporters count of themselves and of the Go runtime.
_THEIRS = (
    "go_",
    "process_",
    "promhttp_",
    "collector_scrape",
    "postgres_exporter_",
    "redis_exporter_",
    "pg_exporter_",
    "pg_scrape_collector_",
    "redis_target_scrape",
    "redis_last_key_groups",
)


#: How often each was asked; and the memory of those who ask, of which ours is not counted (CLIENT
#: NO-EVICT).
_SCRAPES = {
    *(f"{metric}_exporter_scrapes_total" for metric in ("pg", "redis", "mongodb")),
    "redis_mem_clients_normal",
    "pg_scrape_collector_success",  # of parts that have other names
}
#: MongoDB's metrics under their older names.
_OLDER = (
    "mongodb_asserts", "mongodb_collstats", "mongodb_connections", "mongodb_extra_info",
    "mongodb_instance", "mongodb_memory", "mongodb_mongod_", "mongodb_network", "mongodb_op_c",
)  # fmt: skip


@pytest.fixture(scope="module")
def stack(module_cli: Cli) -> Cli:
    cli = module_cli
    cli.write(ENGINES + AGENT)
    cli.ok("up")
    env = cli.env_of("shop")
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        connection.execute("create table item (id int primary key, name text)")
        connection.execute(
            "insert into item select n, 'thing ' || n from generate_series(1, 999) n"
        )
        connection.execute("update item set name = upper(name) where id < 100")
        connection.execute("delete from item where id > 900")
        connection.execute("vacuum analyze item")
        connection.execute("select * from item where id = 7").fetchone()
    client = redis.Redis.from_url(env["REDIS_URL"], socket_timeout=60)
    for number in range(50):
        client.set(f"shop:{number}", "x" * 100, ex=None if number % 2 else 3600)
        client.get(f"shop:{number + 25}")
    with pytest.raises(redis.ResponseError):
        client.execute_command("NOSUCH")
    client.close()
    mongo: pymongo.MongoClient[dict[str, object]] = pymongo.MongoClient(env["MONGO_URI"])
    mongo.shop.users.insert_many([{"username": f"user {n}"} for n in range(100)])
    assert mongo.shop.users.count_documents({}) == 100
    mongo.close()
    # what was made after the first look into a database is seen at the next, which is rationed
    until(lambda: "pg_stat_user_tables_n_tup_upd" in scrape(cli, "postgres").names)
    until(lambda: _counted(scrape(cli, "mongodb")))
    return cli


def _counted(page: Scrape) -> bool:
    """MongoDB's own statistics are of each full second, those of databases rationed."""
    sizes = (value for (name, labels), value in page.values.items()
             if name == "mongodb_dbstats_objects" and ("database", "shop") in labels)  # fmt: skip
    inserts = page.get("mongodb_ss_opcounters", legacy_op_type="insert") or 0
    return 100 in sizes and inserts >= 100


@pytest.fixture(scope="module")
def redis_exporter(stack: Cli) -> Iterator[int]:
    with exporters.redis(stack) as running:
        yield running.port


@pytest.fixture(scope="module")
def postgres_exporter(stack: Cli) -> Iterator[int]:
    with exporters.postgres(stack, "shop") as running:
        yield running.port


@pytest.fixture(scope="module")
def mongodb_exporter(stack: Cli) -> Iterator[int]:
    with exporters.mongodb(stack, *exporters.COMPATIBLE) as running:
        yield running.port


@dataclass(frozen=True)
class Sides:
    """Two scrapes of ours, and one of theirs between them."""

    before: Scrape
    theirs: Scrape
    after: Scrape

    def differences(self, lively: tuple[str, ...] = (), skipped: Labels = frozenset()) -> list[str]:
        """What differs in families that both have: types, label sets, and values that do not lie
        between ours before and after, or within 2 % (and 1) of that. In `lively` families a look
        changes what is seen: label sets are not compared, and values within a factor of two. The
        samples with a label of `skipped` are of the scrapes themselves."""
        ours, theirs, found = self.after, self.theirs, []
        for name in sorted(ours.names & theirs.names - _SCRAPES):
            if ours.types[name] != theirs.types[name]:
                found.append(f"{name}: {ours.types[name]}, theirs {theirs.types[name]}")
            first, mine, other = (_samples(s, name, skipped) for s in (self.before, ours, theirs))
            near = 0.5 if name.startswith(lively) else 0.02
            if near == 0.02:
                found += [f"only one has {key}" for key in sorted(set(mine) ^ set(other), key=repr)]
            for key in first.keys() & mine.keys() & other.keys():
                values = (first[key], mine[key], other[key])
                if not (all(map(math.isnan, values)) or _between(*values, near)):
                    found.append(f"{key}: {values[:2]}, theirs {values[2]}")
        return found


def _samples(found: Scrape, name: str, skipped: Labels) -> dict[tuple[str, Labels], float]:
    """The samples of a family, with those of its histogram or summary."""
    family = {name, f"{name}_bucket", f"{name}_sum", f"{name}_count"}
    return {
        key: value
        for key, value in found.values.items()
        if key[0] in family and not key[1] & skipped
    }


def _between(one: float, two: float, value: float, near: float) -> bool:
    slack = near * max(abs(one), abs(two)) + (1 if near < 0.1 else 60)
    return min(one, two) - slack <= value <= max(one, two) + slack


def sides(stack: Cli, engine: str, port: int) -> Sides:
    """Scrapes one right after the other, when sessions are open and connections counted."""
    whole(stack, engine)
    before = whole(stack, engine)
    return Sides(before, read(fetch(f"http://127.0.0.1:{port}/metrics")), whole(stack, engine))


def agreeing(
    stack: Cli, engine: str, port: int, lively: tuple[str, ...], skipped: Labels = frozenset()
) -> Sides:
    """Both sides without a difference. On a busy machine much may happen between two scrapes; what
    always differs does so a minute long."""
    end = time.monotonic() + 60
    while True:
        found = sides(stack, engine, port)
        differences = found.differences(lively, skipped)
        if not differences:
            return found
        assert time.monotonic() < end, differences
        time.sleep(0.5)


def left_out(found: Sides) -> set[str]:
    """What theirs has and ours has not."""
    names = found.theirs.names - found.after.names
    return {name for name in names if not name.startswith(_THEIRS)}


#: Commands of the scrapes, in the label `cmd`.
_SCRAPING = frozenset(
    ("cmd", name)
    for name in (
        "auth",
        "client|no-evict",
        "client|setname",
        "config|get",
        "hello",
        "info",
        "latency|histogram",
        "latency|latest",
        "ping",
        "slowlog|get",
        "slowlog|len",
    )
)


def test_redis(stack: Cli, redis_exporter: int) -> None:
    lively = ("redis_mem", "redis_allocator_", "redis_cpu_", "redis_client_recent", "redis_net_")
    found = agreeing(stack, "redis", redis_exporter, lively, _SCRAPING)
    assert left_out(found) == {"redis_db_keys_cached"}  # KeyDB's; see the module
    ours = found.after
    assert len(ours.names & found.theirs.names) > 150
    assert ours.of("redis_db_keys", db="db0") == 50
    assert ours.of("redis_db_keys_expiring", db="db0") == 25
    assert ours["redis_config_maxclients"] == 10_000
    assert ours["redis_memory_max_bytes"] == 64 << 20
    assert ours.of("redis_commands_total", cmd="set") == 50
    assert ours.of("redis_errors_total", err="ERR") >= 1
    assert ours["redis_up"] == found.theirs["redis_up"] == 1


def test_postgres(stack: Cli, postgres_exporter: int) -> None:
    # who is connected and locks, and what the driver sets for its sessions
    lively = ("pg_stat_activity", "pg_locks_count", "pg_stat_database_", "pg_settings_extra_float")
    found = agreeing(stack, "postgres", postgres_exporter, lively)
    assert left_out(found) == set()
    ours = found.after
    assert len(ours.names & found.theirs.names) > 300
    item = {"datname": "shop", "schemaname": "public", "relname": "item"}
    assert ours.of("pg_stat_user_tables_n_tup_ins", **item) == 999
    assert ours.of("pg_stat_user_tables_n_tup_del", **item) == 99
    assert ours.of("pg_stat_user_tables_size_bytes", **item) > 50_000
    assert ours["pg_settings_shared_buffers_bytes"] == 64 << 20
    assert ours.of("pg_database_size_bytes", datname="shop") > 5_000_000
    assert ours["pg_up"] == found.theirs["pg_up"] == 1


def test_mongodb(stack: Cli, mongodb_exporter: int) -> None:
    # its statistics are of a moment, and most of them move: label by label these must be there,
    # with values like ours
    lively = ("mongodb_ss_", "mongodb_sys_", "mongodb_top_", "mongodb_dbstats_fs", *_OLDER)
    # what the server itself and the exporter do in the server's own databases is of no interest
    own = frozenset(("database", name) for name in ("admin", "config", "local"))
    found = agreeing(stack, "mongodb", mongodb_exporter, lively, own)
    ours, theirs = found.after, found.theirs
    apart = (
        "mongodb_sys_netstat", "mongodb_sys_mounts", "mongodb_sys_vmstat", "mongodb_dbstats_",
        "mongodb_collstats_",
    )  # fmt: skip
    assert {name for name in left_out(found) if not name.startswith(apart)} == set()
    assert len(ours.names & theirs.names) > 1500
    same = ("mongodb_ss_connections", "mongodb_ss_opcounters", "mongodb_rs_members_health")
    older = {name for name in ours.names & theirs.names if name.startswith(_OLDER)}
    assert len(older) > 60
    for name in (*same, *older):
        mine = {key[1] for key in ours.values if key[0] == name}
        assert mine == {key[1] for key in theirs.values if key[0] == name} != set(), name
    assert ours.of("mongodb_dbstats_objects", database="shop") == 100
    assert ours.of("mongodb_ss_opcounters", legacy_op_type="insert") >= 100
    head = ours["mongodb_mongod_replset_oplog_head_timestamp"]
    assert abs(head - time.time()) < 60
    assert 0 <= head - ours["mongodb_mongod_replset_oplog_tail_timestamp"] < 3600
    assert ours["mongodb_up"] == theirs["mongodb_up"] == 1


#: Names of the lists that ours leave out, and why.
_NOT_OURS = {
    "redis_db_keys_cached",  # KeyDB's; with Redis 8 the exporter takes another number for it
    "redis_exporter_build_info",
    "redis_exporter_last_scrape_connect_time_seconds",  # a session is kept
    "redis_exporter_scrape_duration_seconds",
    "redis_last_key_groups_scrape_duration_milliseconds",
    "redis_target_scrape_request_errors_total",
    "pg_scrape_collector_duration_seconds",  # there are no collectors: one round trip
}


@pytest.mark.parametrize("engine", ["postgres", "redis"])
def test_our_names_are_those_of_the_lists(stack: Cli, engine: str) -> None:
    path = ROOT / f"tests/data/metrics/{engine}.txt"
    listed = dict(line.split() for line in path.read_text().splitlines())
    prefix = {"postgres": "pg_", "redis": "redis_"}[engine]
    wanted = {name: kind for name, kind in listed.items() if name.startswith(prefix)}
    ours = whole(stack, engine)
    missing = wanted.keys() - ours.names
    settings = {name for name in missing if name.startswith("pg_settings_")}
    # the list is of another build: settings that this server does not have cannot be shown
    with psycopg.connect(stack.ok("url", "postgres").strip()) as connection:
        rows = connection.execute("select replace(name, '.', '_') from pg_settings").fetchall()
    known = tuple(f"pg_settings_{name}" for (name,) in rows)
    assert {name for name in settings if name.startswith(known)} == set()
    assert missing - settings == _NOT_OURS & wanted.keys()
    assert {n: k for n, k in wanted.items() if n in ours.types and ours.types[n] != k} == {}


@pytest.mark.parametrize("engine", list(dashboards.ASKED))
def test_what_public_dashboards_plot_is_served(stack: Cli, engine: str) -> None:
    served = frozenset(whole(stack, engine).names)
    found = dashboards.line(engine, dashboards.of_engine(engine), served)
    assert found.share >= dashboards.ASKED[engine], found.missing
    # what is there needs no excuse
    every = [one for one in dashboards.reasons()[engine] if not one.served]
    assert [one.why for one in every if any(map(one.holds, found.there))] == []


def test_sizes_of_many_databases_come_a_few_at_a_time(
    stack: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each size is a walk through a database's files: 500 of them would be too much at once."""
    monkeypatch.setattr(metrics, "SIZES_MAX", 2)
    context = Options([str(stack.folder / "mngdb.yaml")]).context()
    instance = context.instance("postgres")
    asked, engine = context.as_login(instance, "monitor"), context.engine(instance)
    seen = []
    with engine.connect(engine.login(asked, context.admin(asked), "monitor")) as session:
        scraper = engine.metrics(session, asked)
        for _ in range(4):
            families = {family.name: family for family in scraper.scrape(60)}
            sizes = families["pg_database_size_bytes"].samples
            seen.append({labels[0][1] for _, labels, size in sizes if size > 1_000_000})
    assert [len(names) for names in seen] == [2, 4, 4, 4]
    assert seen[-1] == {"postgres", "shop", "template0", "template1"}
