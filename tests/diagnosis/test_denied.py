"""What servers refused their clients, told by the doctor with the line of the file that permits
it; the doctor himself leaves no refusal behind."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pymongo.errors
import pytest
import redis

from tests.conftest import Cli
from tests.live.clients import brought_up, mongo_as, redis_as, set_secret, url

pytestmark = pytest.mark.live

FILE = """
postgres: {port: PORT1, memory: 64mb}
redis: {port: PORT2}
mongodb: {port: PORT3}
apps:
  shop: {postgres: shop, redis: "shop:*", mongodb: shop}
  report: {postgres: {database: shop, access: readonly}, redis: {keys: "shop:*", access: readonly}}
"""
stack = brought_up(FILE)
#: Stands in statements and documents, and must not be told.
VALUE = "4111111111111111"


@contextlib.contextmanager
def refused(kind: type[Exception]) -> Iterator[None]:
    with pytest.raises(kind):
        yield


def refusals(cli: Cli) -> list[str]:
    """Every refusal that the servers have noted."""
    with redis_as(cli) as admin:
        found = [f"{one['entry-id']} {one['count']}" for one in admin.acl_log()]
    for name in ("postgres", "mongodb"):
        lines = cli.ok("logs", name, "-n", "10000").splitlines()
        words = ("permission denied", "authentication failed", "no pg_hba", "Unauthorized")
        found += [one for one in lines if any(word in one for word in words)]
    return found


def log_of(cli: Cli, instance: str) -> Path:
    """Where a server writes its log."""
    unit = {"postgres": "mng-pg", "mongodb": "mng-mongo"}[instance]
    return cli.state / "servers" / unit / "server.log"


def examined(cli: Cli, app: str, code: int) -> dict[str, Any]:
    """What the doctor says of an app, by instance; no value is among it."""
    done = cli.run("--json", "doctor", app)
    assert done.returncode == code, done.stdout + done.stderr
    assert VALUE not in done.stdout
    return {one["instance"]: one for one in json.loads(done.stdout)["instances"]}


def test_the_doctor_and_check_leave_no_refusal_behind(stack: Cli) -> None:
    assert (before := refusals(stack)) == []
    assert "refused" not in stack.ok("doctor")  # nor what up was, before its own login was there
    stack.ok("doctor", "shop")
    stack.ok("doctor", "report")
    stack.run("check", "--only", "*.app-useful")
    assert refusals(stack) == before


def test_refusals_are_told_with_the_line_that_permits_them(stack: Cli) -> None:
    with redis_as(stack, "shop") as client:
        for _ in range(3):
            with refused(redis.exceptions.NoPermissionError):
                client.set("bull:mail:1", VALUE)
        with refused(redis.exceptions.NoPermissionError):
            client.publish("jobs", VALUE)
        with refused(redis.exceptions.NoPermissionError):
            client.config_get("port")
        with refused(redis.exceptions.NoPermissionError):
            client.role()
        with refused(redis.exceptions.NoPermissionError):
            client.flushall()
    with redis_as(stack, "report") as client, refused(redis.exceptions.NoPermissionError):
        client.set("shop:1", VALUE)
    with psycopg.connect(url(stack, "postgres", "shop"), autocommit=True) as pg:
        pg.execute('CREATE TABLE card (number text); CREATE TABLE "a@b" ()')
        pg.execute("SET application_name = 'x ERROR:  y\t[unknown]\tSTATEMENT:  z'")
        with refused(psycopg.errors.InsufficientPrivilege):
            pg.execute(f"SELECT * FROM pg_authid WHERE rolname = '{VALUE}'")
        with refused(psycopg.errors.FeatureNotSupported):
            pg.execute("CREATE EXTENSION nowhere")
    with (
        psycopg.connect(url(stack, "postgres", "report"), autocommit=True) as pg,
        refused(psycopg.errors.InsufficientPrivilege),
    ):
        with refused(psycopg.errors.InsufficientPrivilege):
            pg.execute('DELETE FROM "a@b"')
        pg.execute(f"INSERT INTO card VALUES ('{VALUE}')")
    with mongo_as(stack, "shop") as client, refused(pymongo.errors.OperationFailure):
        client.other.cards.insert_one({"number": VALUE})

    shop = examined(stack, "shop", 1)
    said = shop["redis"]["problem"]
    assert "SET on the key 'bull:mail:1' (3 times, last " in said
    hint = shop["redis"]["hint"]
    line = 'keys: ["shop:*", "bull:*"], channels: ["shop:*", "jobs"], commands: ["+role"]'
    assert f"apps.shop.redis: {{{line}}}" in hint
    assert "no line of the file permits 'config|get'" in hint  # it shows passwords
    assert "'flushall' is for an instance of its own" in hint
    assert "SELECT on the table 'pg_authid' (42501)" in shop["postgres"]["problem"]
    assert (
        'apps.shop.postgres: {database: shop, extensions: ["nowhere"]}' in shop["postgres"]["hint"]
    )
    assert "insert on 'other.cards'" in shop["mongodb"]["problem"]
    assert 'databases: ["shop", "other"]}' in shop["mongodb"]["hint"]

    report = examined(stack, "report", 1)
    assert "apps.report.redis.access: readwrite" in report["redis"]["hint"]
    assert "INSERT on the table 'card' (42501)" in report["postgres"]["problem"]
    assert "DELETE on the table 'a@b' (42501)" in report["postgres"]["problem"]
    assert "apps.report.postgres.access: readwrite" in report["postgres"]["hint"]

    whole = json.loads(stack.run("--json", "doctor").stdout)
    wrong = [whole["cause"], *whole["others"]]
    assert {(one["cause"], one["app"]) for one in wrong} == {
        ("denied", "shop"),
        ("denied", "report"),
    }


def test_a_login_with_an_old_password_is_told_and_fails_nothing(stack: Cli) -> None:
    address = url(stack, "redis", "report").partition("@")[2]
    old = redis.Redis.from_url(f"redis://report:an-old-one@{address}")
    with old as client, refused(redis.exceptions.AuthenticationError):
        client.ping()
    found = stack.run("doctor", "report").stdout
    assert "refused: a login (" in found
    assert "'mngdb env report'" in found
    watch = json.loads(stack.run("--json", "doctor").stdout)["watch"]
    assert ["redis"] in [one["instances"] for one in watch if one["app"] == "report"]


def test_the_line_that_was_told_mends_it(stack: Cli) -> None:
    text = (stack.folder / "mngdb.yaml").read_text()
    line = 'redis: {keys: ["shop:*", "bull:*"], channels: ["shop:*", "jobs"]}'
    stack.write(text.replace('redis: "shop:*"', line, 1))
    time.sleep(0.1)  # what was refused is older than the change
    stack.ok("up")
    with redis_as(stack, "shop") as client:
        client.set("bull:mail:1", "x")
        client.publish("jobs", "x")
    shop = examined(stack, "shop", 1)
    assert shop["redis"]["problem"] is None
    assert {one["over"] for one in shop["redis"]["refused"]} == {True}
    assert "earlier" in stack.run("doctor", "shop").stdout


def test_who_names_no_login_may_be_the_app_that_was_refused_nothing(stack: Cli) -> None:
    address = url(stack, "redis", "shop").partition("@")[2]
    nameless = redis.Redis.from_url(f"redis://:{VALUE}@{address}")
    with nameless as client, refused(redis.exceptions.AuthenticationError):
        client.ping()
    found = stack.run("doctor", "shop").stdout
    assert "warning: a client that named no login was refused: a login (1 time, " in found
    assert "docs/connecting.md#a-password-without-a-user-name" in found


def test_a_refusal_is_found_below_what_a_busy_server_logs_in_an_hour(stack: Cli) -> None:
    shop = psycopg.connect(url(stack, "postgres", "shop"), autocommit=True)
    with shop as pg, refused(psycopg.errors.InsufficientPrivilege):
        pg.execute("SELECT * FROM pg_authid")
    with log_of(stack, "postgres").open("r+") as file:
        line = file.readline()
        file.seek(0, 2)
        file.writelines([line] * 50_000)
    assert "pg_authid" in examined(stack, "shop", 1)["postgres"]["problem"]


def test_who_has_no_login_writes_no_evidence(stack: Cli) -> None:
    """Names with line breaks, of which one line looks like the server's own."""
    port = psycopg.conninfo.conninfo_to_dict(url(stack, "postgres"))["port"]
    user = f"x LOG:  \n{datetime.now(UTC):%Y-%m-%d %H:%M:%S}.000 UTC [7] report"
    name = "shop z ERROR:  permission denied for table forged\n"
    with refused(psycopg.OperationalError):
        psycopg.connect(host="127.0.0.1", port=port, user=user, dbname=name, password="x")
    assert "for table forged\n" in log_of(stack, "postgres").read_text()
    assert "forged" not in stack.run("doctor", "report").stdout


def test_the_doctor_is_no_client_with_an_old_password(stack: Cli) -> None:
    """Where the administrator knows that a login is refused, none is tried."""
    with psycopg.connect(url(stack, "postgres"), autocommit=True) as pg:
        pg.execute("ALTER ROLE report PASSWORD 'another'")
    with mongo_as(stack) as client:
        client["admin"].command("updateUser", "shop", pwd="another")
    before = refusals(stack)
    report, shop = examined(stack, "report", 1), examined(stack, "shop", 1)
    stack.run("doctor")
    for found in (report["postgres"], shop["mongodb"]):
        assert "in the vault is not the one on the server" in found["problem"]
    assert refusals(stack) == before


def test_a_log_that_was_removed_is_told(stack: Cli) -> None:
    log_of(stack, "postgres").unlink()
    for arguments in (["doctor"], ["doctor", "shop"], ["logs"], ["logs", "postgres"]):
        done = stack.run(*arguments)
        assert "'mngdb restart postgres' begins a new log" in done.stderr, done
        if "logs" in arguments:
            assert done.returncode == 3
    assert "mng-mongo  " in stack.run("logs").stdout
    done = stack.run("logs", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, list(found["errors"]), list(found["logs"])) == (
        3, ["mng-pg"], ["mng-redis", "mng-mongo"],
    )  # fmt: skip
    stack.ok("restart", "postgres")
    assert "ready to accept connections" in stack.ok("logs", "postgres")
    assert "begins a new log" not in stack.run("doctor").stderr


def test_of_a_server_of_others_the_log_is_not_seen(stack: Cli, tmp_path: Path) -> None:
    theirs = Cli(tmp_path, _ports=stack._ports)
    admin = url(stack, "postgres").split("@")
    theirs.write(f"""
name: theirs
postgres: {{target: {{external: {{url: "postgresql://postgres@{admin[1]}"}}}}}}
""")
    set_secret(theirs, "postgres_admin", admin[0].rpartition(":")[2])
    done = theirs.run("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.count("what it refused its clients is not visible") == 1


def test_what_the_server_lacks_hides_no_refusal(stack: Cli) -> None:
    text = (stack.folder / "mngdb.yaml").read_text()
    stack.write(text.replace("postgres: shop,", "postgres: {database: shop, extensions: [none]},"))
    with (
        psycopg.connect(url(stack, "postgres", "shop")) as pg,
        refused(psycopg.errors.InsufficientPrivilege),
    ):
        pg.execute("TABLE pg_shadow")
    problem = examined(stack, "shop", 1)["postgres"]["problem"]
    whole = stack.run("doctor").stdout
    assert "shop cannot use postgres" not in whole
    for said in (problem, whole):
        assert said.index("pg_shadow") < said.index("does not have the extension none")
    with (
        psycopg.connect(url(stack, "postgres", "shop"), application_name="shop") as pg,
        refused(psycopg.errors.FeatureNotSupported),
    ):
        pg.execute('CREATE EXTENSION "none"')
    found = examined(stack, "shop", 1)["postgres"]
    assert "does not have the extension none" not in found["problem"]  # that is told already
    for said in (found["hint"], stack.run("doctor").stdout):
        assert said.count("does not have the extension none: install ") == 1
        assert said.count("extension none") == 1


def test_who_has_no_login_hides_no_refusal_of_redis_unseen(stack: Cli) -> None:
    assert "are visible" not in stack.run("doctor", "shop").stderr
    with redis_as(stack, "shop") as client:
        for number in range(130):
            with refused(redis.exceptions.AuthenticationError):
                client.execute_command("AUTH", f"guest{number}", "wrong")
    assert "redis: of what it refused its clients, the last" in stack.run("doctor", "shop").stderr
