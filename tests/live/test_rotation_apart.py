"""What one login costs the rotation of the others: nothing. What an old password opened ends."""

from __future__ import annotations

import json
import time

import psycopg
import pytest
import redis

from mngdb.ops.rotate.note import Entry, Phase, entries, keep
from tests.conftest import Cli
from tests.live.clients import redis_as, url
from tests.live.faults import killed_when
from tests.live.followers import lets_in, published, settings
from tests.live.postgres import pg, sql

pytestmark = pytest.mark.live

STACK = """\
postgres: {port: PORT1, memory: 64mb}
redis: {port: PORT2, memory: 64mb}
agent: false
apps:
  shop: {postgres: shop, redis: "shop:*"}
  evil: {postgres: evil, redis: "evil:*"}
  reader: {postgres: {database: evil, access: readonly}}
"""


@pytest.fixture(scope="module")
def stack(module_cli: Cli) -> Cli:
    module_cli.write(STACK)
    module_cli.ok("up")
    return module_cli


def test_logins_that_left_the_file_end_and_the_others_go_on(stack: Cli) -> None:
    now = time.time()
    phases: tuple[Phase, ...] = ("opening", "publishing", "waiting", "withdrawing")
    places = [("redis", "left"), ("postgres", "left"), ("cache", "shop"), ("cache", "admin")]
    gone = [
        Entry(f"{place}_{login}{number}", place, login, phase, now, 900.0, now)
        for place, login in places
        for number, phase in enumerate(phases)
    ]
    keep(stack.state, gone)
    done = stack.json("rotate", "shop", "--now")
    assert (sorted(done["done"]), done["errors"]) == (["postgres_shop", "redis_shop"], {})
    stack.ok("rotate", "--due")
    # of an administrator either password may be the right one until the server is back
    assert [*entries(stack.state)] == ["cache_admin1"]
    (stack.state / "rotation.json").write_text(json.dumps([]))


@pytest.mark.parametrize("words", [("--now",), ("--grace", "1s")], ids="-".join)
def test_redis_what_the_old_password_opens_after_the_publication_ends(
    stack: Cli, words: tuple[str, ...]
) -> None:
    command = ("rotate", "shop", "--instance", "redis")
    with redis_as(stack, "shop") as old, redis_as(stack, "evil") as other:
        mine = other.client_id()
        killed_when(stack, "published", *command)
        old.ping()
        assert stack.json(*command, *words)["done"] == ["redis_shop"]
        with pytest.raises(redis.ConnectionError):
            old.ping()
        assert other.client_id() == mine


def test_anothers_damaged_or_missing_secret_costs_that_app_alone(stack: Cli) -> None:
    before = {app: settings(stack, app) for app in ("shop", "evil")}
    damaged, missing = (stack.state / f"secrets/{name}_evil" for name in ("postgres", "redis"))
    whole, aside = damaged.read_bytes(), stack.state / "aside"
    damaged.write_bytes(b"")
    missing.rename(aside)
    done = stack.json("rotate", "shop", "--now")
    assert (sorted(done["done"]), done["errors"]) == (["postgres_shop", "redis_shop"], {})
    damaged.write_bytes(whole)
    aside.rename(missing)
    for engine in ("postgres", "redis"):
        assert not lets_in(engine, before["shop"])
        assert lets_in(engine, before["evil"])
        assert lets_in(engine, settings(stack, "shop"))
    # the files that servers start with have both, too
    assert stack.json("plan")["steps"] == []


def test_damaged_secrets_are_left_alone_and_named_while_all_others_are_rotated(stack: Cli) -> None:
    before = {app: settings(stack, app) for app in ("shop", "evil")}
    damaged = [stack.state / "secrets" / name for name in ("postgres_evil", "redis_admin")]
    whole = [one.read_bytes() for one in damaged]
    for path in damaged:
        path.write_bytes(b"")
    for _ in range(2):  # the same command goes on with what it began, and calls nothing done
        told = stack.run("--json", "rotate", "--all", "--now")
        done = json.loads(told.stdout)
        assert told.returncode == 1
        # nobody gets into Redis without its administrator
        assert [*done["errors"]] == ["postgres_evil", "redis_admin", "redis_shop", "redis_evil"]
        assert not {*done["errors"]} & {*done["done"]}
    assert [one.read_bytes() for one in damaged] == [b"", b""]
    assert not lets_in("postgres", before["shop"])
    assert lets_in("postgres", before["evil"])
    assert all(lets_in("redis", one) for one in before.values())
    # what an app is given takes its own secrets alone
    assert stack.env_of("shop")["REDIS_URL"] == before["shop"]["REDIS_URL"]
    for path, content in zip(damaged, whole, strict=True):
        path.write_bytes(content)
    left = stack.json("rotate", "--all", "--now")
    assert (left["errors"], left["rotations"]) == ({}, [])
    assert stack.json("plan")["steps"] == []


def test_a_document_that_cannot_be_written_costs_its_app_alone(stack: Cli) -> None:
    before = {app: settings(stack, app) for app in ("shop", "evil")}
    document = published(stack, "evil")
    document.unlink()
    document.mkdir()
    done = json.loads(stack.run("--json", "rotate", "evil", "shop", "--now").stdout)
    assert sorted(done["done"]) == ["postgres_shop", "redis_shop"]
    assert [*done["errors"]] == ["postgres_evil", "redis_evil"]
    assert not lets_in("postgres", before["shop"])
    document.rmdir()
    done = stack.json("rotate", "evil", "--now")
    assert sorted(done["done"]) == ["postgres_evil", "redis_evil"]
    assert [e for e in ("postgres", "redis") if lets_in(e, before["evil"])] == []
    assert lets_in("postgres", settings(stack, "evil"))


def test_what_an_app_set_for_its_database_does_not_keep_its_new_password_out(stack: Cli) -> None:
    before = settings(stack, "evil")
    revoke = "REVOKE CONNECT ON DATABASE evil FROM"
    limit = "ALTER DATABASE evil CONNECTION LIMIT 0"
    sql(stack, f"{revoke} reader", f"{revoke} evil", limit, app="evil", database="evil")
    words = ("rotate", "evil", "reader", "--instance", "postgres", "--grace", "1s")
    assert stack.json(*words)["done"] == ["postgres_evil", "postgres_reader"]
    assert not lets_in("postgres", before)
    assert all(lets_in("postgres", settings(stack, app)) for app in ("evil", "reader"))
    assert stack.json("plan")["steps"] == []


def test_a_login_that_is_refused_costs_its_app_alone(stack: Cli) -> None:
    # a login that this stack did not make is not taken over
    sql(stack, 'COMMENT ON ROLE "evil" IS NULL')
    words = ("rotate", "evil", "shop", "--instance", "postgres", "--now")
    done = json.loads(stack.run("--json", *words).stdout)
    assert (done["done"], [*done["errors"]]) == (["postgres_shop"], ["postgres_evil"])
    stack.ok("up", "--allow", "role evil")
    assert stack.json(*words)["errors"] == {}
    with psycopg.connect(url(stack, "postgres", "evil")) as connection:
        connection.execute("SELECT 1")


def test_the_same_command_finishes_what_it_began_and_rotates_nothing_twice(stack: Cli) -> None:
    before = settings(stack, "shop")
    with pg(stack, "shop"):
        said = killed_when(stack, "over: 1 password", "rotate", "shop", "--grace", "1m")
        assert "over: 1 password" in said[-1], said
        assert [*entries(stack.state)] == ["postgres_shop"]
        between = settings(stack, "shop")
        assert stack.json("rotate", "shop", "--grace", "1s")["rotations"] == []
    assert settings(stack, "shop") == between
    assert not lets_in("postgres", before)


def test_a_server_that_is_down_is_told_of_while_others_are_waited_for(stack: Cli) -> None:
    stack.ok("down", "redis")
    with pg(stack, "shop"):
        said = killed_when(stack, "redis_shop does not go on", "rotate", "shop", "--grace", "20s")
    assert "redis_shop does not go on" in said[-1], said
    stack.ok("up", "redis")
    assert stack.json("rotate", "shop", "--now")["rotations"] == []
