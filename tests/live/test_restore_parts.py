"""A database, a table, a collection, keys: brought back into the live server."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from threading import Event
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pymongo
import pytest
import redis

from tests.conftest import Cli
from tests.live.clients import mongo_as, url
from tests.live.postgres import pg, sql, value

pytestmark = pytest.mark.live

FILE = """
name: mng
postgres:
  port: PORT1
  memory: 128mb
  settings: {max_prepared_transactions: 5, wal_level: logical}
redis: {port: PORT2, memory: 64mb}
mongodb: {port: PORT3, memory: 300mb}
agent: false
apps:
  shop: {postgres: shop, redis: "shop:*", mongodb: shop}
backup: {}
"""
TABLES = (
    "CREATE TABLE kind (id int PRIMARY KEY, name text)",
    "INSERT INTO kind VALUES (1, 'one'), (2, 'two')",
    "CREATE SEQUENCE apart",
    "CREATE TYPE colour AS ENUM ('red', 'blue')",
    "CREATE TABLE item (id serial PRIMARY KEY, other int GENERATED ALWAYS AS IDENTITY, "
    "kind int REFERENCES kind, name text NOT NULL CHECK (name <> 'none'), data bytea, c colour)",
    "INSERT INTO item (kind, name, data, c) SELECT 1 + g % 2, E'a\\tb\\n\\\\.\\n' || g, "
    "decode(md5(g::text), 'hex'), 'red' FROM generate_series(1, 20000) g",
    "INSERT INTO item (name) VALUES ('COPY x FROM stdin;\n')",
    "CREATE INDEX by_name ON item (name)",
    "COMMENT ON TABLE item IS 'of old'",
    "CREATE TABLE part (at int, body text) PARTITION BY RANGE (at)",
    "CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10)",
    "CREATE INDEX ON part (body)",
    "INSERT INTO part SELECT g % 10, g::text FROM generate_series(1, 50) g",
    "CREATE FUNCTION odd() RETURNS text LANGUAGE sql AS $$\nSELECT '\\restrict x'\n$$",
    "SELECT lo_from_bytea(4711, 'large'::bytea)",
)
DIGEST = "SELECT md5(string_agg(i::text, '|' ORDER BY id)) FROM {} i"
BINARY = b"shop:\x00\xff\r\n"


@pytest.fixture(scope="module")
def stack(module_cli: Cli) -> Cli:
    """Servers with data, and a snapshot of each."""
    module_cli.write(FILE)
    module_cli.ok("up")
    sql(module_cli, *TABLES, app="shop")
    sql(module_cli, "CREATE UNLOGGED TABLE emptied AS SELECT 1 AS n", app="shop")
    with pg(module_cli, database="shop") as admin:
        admin.execute("SELECT pg_create_logical_replication_slot('subscribed', 'pgoutput')")
    with redis.Redis.from_url(url(module_cli, "redis")) as client:
        client.set("shop:plain", "old")
        client.set("shop:short", "old", px=3_600_000)
        client.set(BINARY, bytes(range(256)))
        client.set("shop:large", b"x" * 9_000_000)
        client.zadd("shop:set", {f"m{n}": n for n in range(2000)})
        client.set("other", "old")
    with mongo_as(module_cli) as client:
        client.shop.item.insert_many([{"_id": n, "n": n, "b": b"\x00" * n} for n in range(3000)])
        client.shop.item.create_index([("n", -1)], name="by_n", unique=True)
        client.shop.command("collMod", "item", validator={"n": {"$gte": 0}})
        client.shop.lapsing.create_index("at", expireAfterSeconds=60)
        client.shop.create_collection("few", viewOn="item", pipeline=[{"$match": {"n": 1}}])
    prepared = ("BEGIN", "LOCK TABLE item", "UPDATE item SET name = 'x' WHERE id = 3")
    sql(module_cli, "; ".join((*prepared, "PREPARE TRANSACTION 'left'")), app="shop")
    module_cli.ok("backup")
    sql(module_cli, "ROLLBACK PREPARED 'left'", app="shop")
    with pg(module_cli, database="shop") as admin:
        admin.execute("SELECT pg_drop_replication_slot('subscribed')")
    return module_cli


def test_what_a_restored_server_has_not_is_told(stack: Cli) -> None:
    slots, tables = stack.json("restore", "postgres", "--latest")["notes"]
    assert "subscribed" in slots
    assert "shop.public.emptied" in tables
    found = stack.json("restore", "mongodb", "--latest")
    assert "shop.lapsing" in str(found["notes"])
    assert "config." not in str(found["notes"])
    at = stack.ok("url", "mongodb", "--restored").strip()
    with closing(pymongo.MongoClient[Any](at)) as beside:
        assert not beside.admin.command("getParameter", 1, ttlMonitorEnabled=1)["ttlMonitorEnabled"]
    assert f"//{urlsplit(at).username}@" in found["url"]
    as_app = stack.ok("url", "postgres", "shop", "--restored").strip()
    with psycopg.connect(as_app) as shop:
        assert shop.execute("SELECT count(*) FROM emptied").fetchone() == (0,)
    words = ("--app", "shop", "--restored", "--", "-Atc", "SHOW port")
    assert stack.ok("shell", "postgres", *words).strip() == str(urlsplit(as_app).port)
    stack.ok("restore", "--forget")
    done = stack.run("shell", "postgres", *words)
    assert (done.returncode, "no restored server" in done.stderr) == (2, True)


def answer(at: str) -> str:
    """What a server says to a login."""
    try:
        if at.startswith("redis"):
            with redis.Redis.from_url(at) as store:
                store.ping()
        elif at.startswith("mongodb"):
            here = f"{at.partition('?')[0]}?authSource=admin&directConnection=true"
            with pymongo.MongoClient[Any](here, serverSelectionTimeoutMS=500) as client:
                client.shop.command("ping")
        else:
            psycopg.connect(at, connect_timeout=2).close()
    except (redis.AuthenticationError, pymongo.errors.OperationFailure):
        return "refused"
    except psycopg.OperationalError as error:
        return "refused" if "pg_hba.conf" in str(error) else ""
    except (redis.RedisError, pymongo.errors.PyMongoError):
        return ""
    return "let in"


@contextmanager
def watched(cli: Cli, instance: str) -> Iterator[set[str]]:
    """What servers that parts are taken from in the block answer the app, again and again."""
    at, answers, over = url(cli, instance, "shop"), set[str](), Event()

    def look() -> None:
        while not over.wait(0.01):
            for note in cli.state.glob("parts/*/restored.json"):
                with suppress(OSError, ValueError):
                    port = json.loads(note.read_text())["port"]
                    answers.add(answer(at.replace(f":{urlsplit(at).port}", f":{port}")))

    with ThreadPoolExecutor(1) as pool:
        looked = pool.submit(look)
        try:
            yield answers
        finally:
            over.set()
            looked.result()
            answers.discard("")


def brought(cli: Cli, *arguments: str) -> Any:
    """What `restore` of a part says; nothing of what it took it from is left, and no app was let in
    there."""
    with watched(cli, arguments[0]) as answers:
        found = cli.json("restore", *arguments)
    assert answers == {"refused"}
    assert not [one for one in (cli.state / "parts").iterdir() if one.is_dir()]
    return found


def refused(cli: Cli, *arguments: str) -> str:
    done = cli.run("restore", *arguments)
    assert done.returncode == 2, done.stderr
    return str(done.stderr)


def test_a_table_that_is_there_is_brought_back_beside_it(stack: Cli) -> None:
    digest = value(stack, DIGEST.format("item"), app="shop")
    sql(stack, "UPDATE item SET name = 'spoiled' WHERE id = 1", app="shop")
    spoiled = value(stack, DIGEST.format("item"), app="shop")
    found = brought(stack, "postgres", "--latest", "--table", "item")
    name = found["name"].removeprefix("shop.public.")
    assert name.startswith("item_restored_20")
    assert found["counts"]["rows"] == 20001
    assert "item_kind_fkey" in str(found["notes"])
    assert value(stack, DIGEST.format(name), app="shop") == digest
    assert value(stack, DIGEST.format("item"), app="shop") == spoiled
    assert value(stack, "SELECT count(*) FROM pg_constraint WHERE contype = 'f'", app="shop") == 1
    # it is the app's own, and goes on where it was
    sql(stack, f"INSERT INTO {name} (name, c) VALUES ('new', 'blue')", app="shop")
    assert value(stack, f"SELECT max(id) FROM {name}", app="shop") == 20002
    assert value(stack, f"SELECT max(other) FROM {name}", app="shop") == 20002
    with pytest.raises(psycopg.errors.CheckViolation):
        sql(stack, f"INSERT INTO {name} (name) VALUES ('none')", app="shop")
    indexes = f"SELECT count(*) FROM pg_indexes WHERE tablename = '{name}'"
    assert value(stack, indexes, app="shop") == 2
    assert value(stack, f"SELECT obj_description('{name}'::regclass)", app="shop") == "of old"
    assert "already" in refused(stack, "postgres", "--latest", "--table", "item", "--as", name)
    brought(stack, "postgres", "--latest", "--table", "item", "--as", "again")  # names beside, too
    assert value(stack, DIGEST.format("again"), app="shop") == digest
    sql(stack, f"DROP TABLE {name}, again", app="shop")


def test_a_dropped_table_comes_back_under_its_own_name_with_its_partitions(stack: Cli) -> None:
    sql(stack, "DROP TABLE part", app="shop")
    found = brought(stack, "postgres", "--latest", "--table", "shop.public.part")
    assert found["name"] == "shop.public.part"
    assert sql(stack, "SELECT count(*), sum(body::int) FROM part_1", app="shop") == [(50, 1275)]
    sql(stack, "INSERT INTO part VALUES (3, 'new')", app="shop")


def test_a_dropped_database_comes_back_as_it_was(stack: Cli) -> None:
    sql(stack, "UPDATE item SET name = 'spoiled' WHERE id = 2", app="shop")
    copy = brought(stack, "postgres", "--latest", "--database", "shop", "--as", "copy")
    assert copy["name"] == "copy"
    assert [one["detail"] for one in stack.json("plan")["steps"]] == []
    with pg(stack) as admin:
        admin.execute("DROP DATABASE copy")
        admin.execute("ALTER DATABASE shop RENAME TO was")
        admin.execute("CREATE DATABASE mngdb_restoring_dead")
        before = admin.execute(
            "SELECT datacl, datdba, datcollate FROM pg_database WHERE datname = 'was'"
        ).fetchall()
    found = brought(stack, "postgres", "--latest", "--database", "shop")
    assert (found["name"], found["counts"]["rows"]) == ("shop", 20053)
    assert not [one for one in stack.json("plan")["steps"] if one["object"] != "database was"]
    assert value(stack, "SELECT count(*) FROM item WHERE name = 'spoiled'", app="shop") == 0
    sql(stack, "INSERT INTO item (name) VALUES ('new')", app="shop")
    assert value(stack, "SELECT odd()", app="shop") == "\\restrict x"
    assert bytes(value(stack, "SELECT lo_get(4711)", app="shop")) == b"large"
    with pg(stack) as admin:
        after = admin.execute(
            "SELECT datacl, datdba, datcollate FROM pg_database WHERE datname = 'shop'"
        ).fetchall()
        names = {name for (name,) in admin.execute("SELECT datname FROM pg_database")}
        admin.execute("DROP DATABASE was")
    assert after == before
    assert names == {"postgres", "template0", "template1", "shop", "was"}


def test_keys_that_exist_are_kept_until_they_are_to_be_overwritten(stack: Cli) -> None:
    with redis.Redis.from_url(url(stack, "redis")) as client:
        value = client.dump("shop:set")
        client.set("shop:plain", "new")
        client.delete("shop:short", BINARY, "shop:large", "shop:set", "other")
        found = brought(stack, "redis", "--latest", "--keys", "shop:*")
        counts = found["counts"]
        assert {n: counts[n] for n in ("keys", "existing", "restored", "kept")} == {
            "keys": 5,
            "existing": 1,
            "restored": 4,
            "kept": 1,
        }
        assert client.get("shop:plain") == b"new"
        assert client.get(BINARY) == bytes(range(256))
        assert client.strlen("shop:large") == 9_000_000
        assert client.dump("shop:set") == value
        assert 0 < client.pttl("shop:short") <= 3_600_000
        assert client.pttl("shop:set") == -1
        assert not client.exists("other")
        asked = stack.run("restore", "redis", "--latest", "--keys", "shop:plain", "--overwrite")
        assert (asked.returncode, client.get("shop:plain")) == (2, b"new")
        brought(stack, "redis", "--latest", "--keys", "shop:plain", "--overwrite", "--yes")
        assert client.get("shop:plain") == b"old"


def test_keys_that_have_expired_since_come_back_with_the_time_that_they_had(stack: Cli) -> None:
    with redis.Redis.from_url(url(stack, "redis")) as client:
        client.set("cart:1", "of old", px=8_000)
        client.select(3)
        client.hset("cart:2", "field", "of old")
        client.pexpire("cart:2", 8_000)
        client.hset("cart:3", mapping={"soon": 1, "late": 2, "never": 3, "over": 4})
        client.hpexpire("cart:3", 8_000, "soon")
        client.hpexpire("cart:3", 3_600_000, "late")
        client.hpexpire("cart:3", 1, "over")
        client.hset("cart:4", mapping={"soon": "x" * 100})
        client.hpexpire("cart:4", 8_000, "soon")
        stack.ok("backup", "redis")
        _soon(lambda: not client.exists("cart:2", "cart:4"))
        client.select(0)
        assert "time to live" in str(stack.json("restore", "redis", "--latest")["notes"])
        stack.ok("restore", "--forget")
        found = brought(stack, "redis", "--latest", "--keys", "cart:*")
        assert [found["counts"][one] for one in ("keys", "expired", "restored")] == [4, 2, 3]
        assert "expired since" in str(found["notes"])
        assert client.get("cart:1") == b"of old"
        assert 0 < client.pttl("cart:1") <= 8_000
        client.select(3)
        assert client.hget("cart:2", "field") == b"of old"
        assert client.hgetall("cart:3") == {b"late": b"2", b"never": b"3"}  # it is still there
        brought(stack, "redis", "--latest", "--keys", "cart:[34]", "--overwrite", "--yes")
        assert set(client.hkeys("cart:3")) == {b"soon", b"late", b"never"}
        soon, late, never = client.hpttl("cart:3", "soon", "late", "never")
        assert 0 < soon <= 8_000 * 17 / 16
        assert 3_500_000 < late <= 3_600_000
        assert never == -1
        assert client.hkeys("cart:4") == [b"soon"]


def _soon(happens: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not happens():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


def test_a_collection_is_built_aside_and_put_where_there_is_none(stack: Cli) -> None:
    with mongo_as(stack) as client:
        client.shop.item.delete_many({"n": {"$gte": 10}})
        client.shop.create_collection("mngdb_restoring_item")  # a killed command's
        found = brought(stack, "mongodb", "--latest", "--collection", "shop.item")
        name = found["name"].removeprefix("shop.")
        assert name.startswith("item_restored_20")
        assert found["counts"]["documents"] == 3000
        assert client.shop.item.count_documents({}) == 10
        there = client.shop[name]
        assert sum(len(one["b"]) for one in there.find()) == sum(range(3000))
        assert there.index_information()["by_n"]["unique"]
        assert there.options()["validator"] == {"n": {"$gte": 0}}
        assert set(client.shop.list_collection_names()) >= {"item", name, "few"}
        assert not [one for one in client.shop.list_collection_names() if "mngdb" in one]
        client.shop.item.drop()
        assert brought(stack, "mongodb", "--latest", "--collection", "shop.item")["name"] == (
            "shop.item"
        )
        assert client.shop.item.count_documents({}) == 3000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("redis", "--latest", "--table", "x"), "--keys"),
        (("postgres", "--latest", "--keys", "x"), "--database, --table"),
        (("mongodb", "--latest", "--collection", "x"), "DATABASE.COLLECTION"),
        (("mongodb", "--latest", "--collection", "admin.x"), "server's own"),
        (("postgres", "--latest", "--database", "postgres"), "server's own"),
        (("postgres", "--latest", "--table", "nowhere.public.x"), "nowhere"),
        (("postgres", "--latest", "--table", "x", "--overwrite"), "--keys"),
        (("postgres", "--latest", "--table", "x", "--database", "y"), "one part"),
        (("postgres", "--latest", "--table", "x", "--replace"), "--replace"),
        (("postgres", "--latest", "--as", "x"), "--as"),
        (("redis", "--latest", "--keys", "x", "--as", "y"), "--as"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(
    stack: Cli, arguments: tuple[str, ...], words: str
) -> None:
    assert words in refused(stack, *arguments)


def test_what_was_not_there_is_said_and_what_was_done_is_noted(stack: Cli) -> None:
    assert "no key" in refused(stack, "redis", "--latest", "--keys", "nothing:*")
    lines = [json.loads(one) for one in (stack.state / "audit.log").read_text().splitlines()]
    noted = [one for one in lines if one["command"] == "restore"]
    assert {one["engine"] for one in noted} <= {"postgres", "redis", "mongodb"}
    assert all(one["result"] == "done" for one in noted)
    assert datetime.fromisoformat(lines[-1]["time"]) <= datetime.now(UTC)


#: What an app can have run while its table is made again; each needs nothing but its own database.
TRAPS = (
    "CREATE FUNCTION public.climb() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN"
    " IF (SELECT rolsuper FROM pg_roles WHERE rolname = session_user)"
    " OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN"
    "  RESET SESSION AUTHORIZATION; RESET ROLE; EXECUTE 'ALTER ROLE evil SUPERUSER'; END IF;"
    " IF session_user = 'mngdb_restoring' AND current_user = session_user THEN"
    "  EXECUTE 'CREATE OR REPLACE FUNCTION public.left() RETURNS int LANGUAGE sql"
    "   SECURITY DEFINER AS ''SELECT 1'''; END IF;"
    " RETURN true; END $$",
    "CREATE FUNCTION public.fixed(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS"
    " $$ BEGIN PERFORM public.climb(); RETURN $1; END $$",
    "CREATE FUNCTION public.event() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN PERFORM public.climb(); RETURN new; END $$",
    "CREATE DOMAIN public.odd AS int CHECK (public.fixed(value) > 0)",
    "CREATE TABLE public.t (a int, b public.odd,"
    " c int GENERATED ALWAYS AS (public.fixed(a)) STORED, CHECK (public.climb()))",
    'CREATE TABLE public."a\nCOPY b" ("x\ny" text)',
    "INSERT INTO public.\"a\nCOPY b\" VALUES ('hello'), (E'\\n\\\\.\\nALTER ROLE evil SUPERUSER;')",
    'CREATE SEQUENCE public."s\nCOPY c FROM stdin;\n"',
    "INSERT INTO public.t VALUES (1, 1), (2, 2)",
    "CREATE INDEX ON public.t (public.fixed(a))",
    "CREATE TRIGGER made BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION public.event()",
    "ALTER TABLE public.t ADD CONSTRAINT later CHECK (public.fixed(a) > 0) NOT VALID",
    "CREATE MATERIALIZED VIEW public.seen AS SELECT public.fixed(a), public.climb() FROM public.t",
    "CREATE VIEW public.looks AS SELECT public.climb()",
    # the comment of a database was once taken for statements
    "COMMENT ON DATABASE evil IS E'x\nALTER DATABASE evil RESET ALL; ALTER ROLE evil SUPERUSER;\n"
    "\\\\connect evil\nALTER ROLE evil SUPERUSER;'",
    "ALTER DATABASE evil SET application_name = E'x\n\\\\connect evil\nALTER ROLE evil SUPERUSER;'",
)


def test_what_an_app_owns_is_made_without_the_rights_of_a_superuser(stack: Cli) -> None:
    stack.write(FILE.replace("apps:\n", "apps:\n  evil: {postgres: evil}\n"))
    stack.ok("up")
    sql(stack, *TRAPS, app="evil")
    sql(stack, "CREATE EXTENSION hstore SCHEMA public", database="evil")
    sql(stack, "CREATE SCHEMA above", "GRANT ALL ON SCHEMA above TO evil", database="evil")
    sql(stack, "CREATE TABLE above.mine (h public.hstore)", app="evil")
    sql(stack, "CREATE VIEW public.his AS SELECT 1 AS one", database="evil")
    with pg(stack, database="evil") as admin:  # somebody else's, in schemas that are not his
        admin.execute("CREATE ROLE second")
        admin.execute("CREATE TABLE public.theirs AS SELECT 7 AS number")
        admin.execute("CREATE TABLE above.theirs AS SELECT 7 AS number")
        admin.execute("ALTER TABLE public.theirs OWNER TO second")
        admin.execute("ALTER TABLE above.theirs OWNER TO second")
        admin.execute("GRANT SELECT ON public.theirs TO evil")
    stack.ok("backup", "postgres")
    found = brought(stack, "postgres", "--latest", "--table", "evil.public.t", "--as", "u")
    assert found["counts"]["rows"] == 2
    brought(stack, "postgres", "--latest", "--table", 'evil.public."a\nCOPY b"')
    brought(stack, "postgres", "--latest", "--table", "evil.public.theirs", "--as", "copied")
    owner = "SELECT relowner::regrole::text FROM pg_class WHERE relname = 'copied'"
    assert value(stack, owner, app="evil") == "second"
    assert not value(
        stack, "SELECT has_schema_privilege('second', 'public', 'CREATE')", database="evil"
    )
    with pg(stack) as admin:
        admin.execute("CREATE ROLE mngdb_restoring LOGIN")  # a killed command's
        admin.execute("CREATE DATABASE mngdb_restoring_dead OWNER mngdb_restoring")
        admin.execute("ALTER DATABASE evil RENAME TO was")
    again = brought(stack, "postgres", "--latest", "--database", "evil")
    assert again["counts"]["rows"] == 6
    supers = "SELECT array_agg(rolname::text) FROM pg_roles WHERE rolsuper"
    assert value(stack, supers) == ["postgres"]
    for left in ("roles WHERE rolname", "database WHERE datname"):
        assert not value(stack, f"SELECT count(*) FROM pg_{left} ^@ 'mngdb_restoring'")
    owners = "SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relnamespace = %s"
    for place in ("public", "above"):
        with pg(stack, "evil") as app:
            found = app.execute(owners.replace("%s", f"'{place}'::regnamespace")).fetchall()
            assert sorted(found) == [("evil",), ("second",)]
    made = "SELECT proowner::regrole::text FROM pg_proc WHERE proname = 'left' AND prolang = 14"
    assert sql(stack, made, app="evil") in ([], [("evil",)])
    assert (
        value(
            stack,
            "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'above'",
            database="evil",
        )
        == "postgres"
    )
    assert value(stack, 'SELECT string_agg("x\ny", \'|\') FROM "a\nCOPY b"', app="evil") == (
        "hello|\n\\.\nALTER ROLE evil SUPERUSER;"
    )
    comment = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'evil'"
    assert "SUPERUSER" in value(stack, comment)
    assert value(stack, "SELECT number FROM public.theirs", app="evil") == 7
    acl = "SELECT has_schema_privilege('second', '{}', 'CREATE')"
    for place in ("public", "above"):  # lent while it was made
        assert not value(stack, acl.format(place), database="evil")
    with pg(stack) as admin:
        admin.execute("DROP DATABASE was")


def test_an_app_that_spoils_its_own_login_keeps_nobody_from_a_restore(stack: Cli) -> None:
    stack.write(FILE.replace("apps:\n", "apps:\n  evil: {postgres: evil}\n"))
    stack.ok("up")
    sql(stack, "ALTER ROLE evil SET search_path = nosuch", app="evil")
    stack.ok("backup", "postgres")
    sql(stack, "ALTER ROLE evil RESET search_path", app="evil")
    found = stack.json("restore", "postgres", "--latest")
    assert set(found["unable"]) == {"evil"}
    assert found["address"]
    stack.ok("restore", "--forget")
