"""One refused question, one locked table, one odd name: it costs its own figures alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pymongo
import pytest

from mngdb.cli.common import Options
from mngdb.engines.protocol import Scraper
from mngdb.samples import exposition
from tests.conftest import Cli
from tests.live.scrapes import ENGINES, Scrape, read

pytestmark = pytest.mark.live

Client = pymongo.MongoClient[dict[str, object]]
#: 63 bytes, with all that a label has to escape, and what is no ASCII.
ODD = 'a"b \\c\n가나다 ' + "x" * 46


@pytest.fixture(scope="module")
def stack(module_cli: Cli) -> Cli:
    assert len(ODD.encode()) == 63
    module_cli.write(ENGINES + "agent: {ports: {mngdb: PORT7}}\n")
    module_cli.ok("up")
    with psycopg.connect(module_cli.env_of("shop")["POSTGRES_URL"], autocommit=True) as connection:
        connection.execute("create table orders (id int primary key, note text)")
        connection.execute("insert into orders select generate_series(1, 500), 'x'")
        name = psycopg.sql.Identifier(ODD)
        connection.execute(psycopg.sql.SQL("create table {} (id int primary key)").format(name))
    return module_cli


@contextmanager
def scraper(stack: Cli, name: str) -> Iterator[Scraper]:
    """A new one, which has everything to ask."""
    context = Options([str(stack.folder / "mngdb.yaml")]).context()
    instance = context.instance(name)
    asked, engine = context.as_login(instance, "monitor"), context.engine(instance)
    with engine.connect(engine.login(asked, context.admin(asked), "monitor")) as session:
        yield engine.metrics(session, asked)


def page(found: Scraper) -> Scrape:
    return read("".join(exposition(found.scrape(20))))


@contextmanager
def administrator(stack: Cli, database: str = "postgres") -> Iterator[psycopg.Connection]:
    url = stack.ok("url", "postgres").strip()
    with psycopg.connect(url, dbname=database, autocommit=True) as connection:
        yield connection


def test_postgres_question_that_is_refused_costs_its_own_figures(stack: Cli) -> None:
    with administrator(stack) as admin, scraper(stack, "postgres") as reader:
        whole = page(reader)
        assert whole["pg_wal_segments"] >= 1
        admin.execute("revoke execute on function pg_ls_waldir() from pg_monitor")
        try:
            found = page(reader)
        finally:
            admin.execute("grant execute on function pg_ls_waldir() to pg_monitor")
    assert whole.names - found.names == {"pg_wal_segments", "pg_wal_size_bytes"}
    denied = [dict(key[1]) for key in found.values if key[0] == "mngdb_postgres_questions_refused"]
    assert [one["question"] for one in denied] == ["wal"]
    assert "permission denied for function pg_ls_waldir" in denied[0]["reason"]
    # a right that the login does not have is no failure of the scrape
    assert found.get("pg_scrape_collector_success", collector="wal") is None
    assert found.of("pg_scrape_collector_success", collector="locks") == 1


def test_postgres_table_that_is_locked_costs_its_size(stack: Cli) -> None:
    with administrator(stack, "shop") as holder, holder.transaction():
        holder.execute("lock table orders in access exclusive mode")
        with scraper(stack, "postgres") as reader:
            found = page(reader)
    orders = {"datname": "shop", "relname": "orders"}
    assert found.of("pg_stat_user_tables_n_tup_ins", **orders) == 500
    assert found.get("pg_stat_user_tables_size_bytes", **orders) is None
    sizes = [key for key in found.values if key[0] == "pg_stat_user_tables_size_bytes"]
    assert len(sizes) == 1  # the other table's
    assert found.seconds < 5


def test_postgres_catalogue_that_is_locked_costs_what_needs_it(stack: Cli) -> None:
    """Locking a view locks what it reads: pg_database, too."""
    with administrator(stack) as holder, scraper(stack, "postgres") as reader:
        page(reader)
        with holder.transaction():
            holder.execute("lock table pg_replication_slots in access exclusive mode")
            found = page(reader)
    assert found.of("pg_scrape_collector_success", collector="replication_slot") == 0
    assert found.of("pg_scrape_collector_success", collector="wal") == 1
    assert found.names >= {"pg_wal_segments", "pg_postmaster_start_time_seconds"}


def test_postgres_odd_names_are_labels(stack: Cli) -> None:
    odd = psycopg.sql.Identifier(ODD)
    with administrator(stack) as admin:
        admin.execute(psycopg.sql.SQL("create database {}").format(odd))
        try:
            with scraper(stack, "postgres") as reader:
                page(reader)
                found = page(reader)
        finally:
            admin.execute(psycopg.sql.SQL("drop database {}").format(odd))
    shown = ODD.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    assert found.of("pg_database_size_bytes", datname=shown) > 1_000_000
    assert found.of("pg_stat_user_tables_size_bytes", relname=shown) > 0


def test_mongodb_view_and_odd_names_cost_nothing(stack: Cli) -> None:
    client: Client = pymongo.MongoClient(stack.env_of("shop")["MONGO_URI"])
    name = 'a"b \\c\n가나다'
    client.shop.users.insert_one({"n": 1})
    client.shop[name].insert_one({"n": 1})
    client.shop.create_collection("seen", viewOn="users", pipeline=[])
    list(client.shop.seen.find())
    client.close()
    with scraper(stack, "mongodb") as reader:
        found = page(reader)
    shown = name.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    sizes = {dict(key[1])["collection"] for key in found.values
             if key[0] == "mongodb_collstats_storageStats_size"}  # fmt: skip
    assert {"users", shown} <= sizes
    assert "seen" not in sizes
    assert "mngdb_mongodb_questions_refused" not in found.names


def test_mongodb_question_that_is_refused_costs_its_own_figures(stack: Cli) -> None:
    """As where a provider gives its own roles: no diagnosis, and no databases."""
    client: Client = pymongo.MongoClient(stack.ok("url", "mongodb").strip())
    few = [{"resource": {"cluster": True}, "actions": ["serverStatus", "replSetGetStatus", "top"]}]
    client.admin.command("createRole", "few", privileges=few, roles=[])
    before = client.admin.command("usersInfo", "monitor")["users"][0]["roles"]
    client.admin.command("updateUser", "monitor", roles=["few"])
    try:
        with scraper(stack, "mongodb") as reader:
            found = page(reader)
    finally:
        client.admin.command("updateUser", "monitor", roles=before)
        client.admin.command("dropRole", "few")
        client.close()
    refused = {dict(key[1])["question"] for key in found.values
               if key[0] == "mngdb_mongodb_questions_refused"}  # fmt: skip
    assert "getDiagnosticData" in refused
    assert "serverStatus" not in refused
    assert found["mongodb_ss_uptime"] == found["mongodb_instance_uptime_seconds"] > 0
    assert {"mongodb_top_total_time", "mongodb_version_info"} <= found.names
    assert "mongodb_dbstats_objects" not in found.names
