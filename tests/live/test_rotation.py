"""Passwords of live servers are rotated: under load, killed at any step, back again, by the
schedule."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pymongo
import pytest
import redis

from mngdb.ops.up import up
from tests.checks.judge import opened
from tests.conftest import EVERYTHING, Cli
from tests.live import faults
from tests.live.clients import mongo_as, redis_as, url
from tests.live.faults import Killing, killed_when
from tests.live.followers import (
    LOGINS,
    Followers,
    following,
    lets_in,
    published,
    reader,
    settings,
)
from tests.live.scrapes import AGENT, quick_agent, scrape, until

pytestmark = pytest.mark.live

STACK = """\
postgres: {port: PORT1}
redis: {port: PORT2}
mongodb: {port: PORT3, outdated: true}
agent: false
apps:
  shop: {postgres: shop, redis: "shop:*", mongodb: shop}
  other: {postgres: other, redis: "other:*", mongodb: other}
"""
ENGINES = tuple(LOGINS)
#: Engines that are under load at the same time; logins in all, and clients of each engine.
LOADS = [(engine,) for engine in ENGINES] if EVERYTHING else [ENGINES]
LOGINS_MIN, CLIENTS = (33_400, 2) if EVERYTHING else (300, 1)


@pytest.fixture(scope="module")
def stack(module_cli: Cli) -> Cli:
    module_cli.write(STACK)
    module_cli.ok("up")
    return module_cli


def soon(cli: Cli) -> Cli:
    """The command, which gives apps no time to read the new password: none does just then."""
    return Killing(cli.folder, {**cli.env, "MNGDB_KILL_AT": "1000000"})


def steps(cli: Cli) -> list[Any]:
    """What `up` would do."""
    found: list[Any] = cli.json("plan")["steps"]
    return found


def now(cli: Cli, *words: str) -> Any:
    """Rotate without waiting for sessions."""
    return cli.json("rotate", "--now", *words)


@pytest.mark.parametrize("engines", LOADS, ids="-".join)
def test_a_rotation_under_load_refuses_nobody(stack: Cli, engines: tuple[str, ...]) -> None:
    rotations, before = 0, settings(stack, "shop")
    words = [word for engine in engines for word in ("--instance", engine)]
    with following(reader(published(stack, "shop")), dict.fromkeys(engines, CLIENTS)) as found:
        while rotations < 2 or sum(found.tried.values()) < LOGINS_MIN:
            assert stack.json("rotate", "shop", *words)["rotations"] == []
            rotations += 1
    for line in _table(rotations, found):
        print(line)
    assert (found.errors[:3], sum(found.refused.values())) == ([], 0)
    assert set(found.tried) == set(engines)
    assert [engine for engine in engines if lets_in(engine, before)] == []
    assert steps(stack) == []


def _table(rotations: int, found: Followers) -> Iterator[str]:
    """Engine, target, rotations, logins tried and refused."""
    yield f"{'engine':<10}{'target':<10}{'rotations':>10}{'tried':>10}{'refused':>10}"
    for engine, tried in found.tried.items():
        yield f"{engine:<10}{'local':<10}{rotations:>10}{tried:>10}{found.refused[engine]:>10}"


def test_what_either_login_makes_is_the_apps(stack: Cli) -> None:
    names = []
    for number in range(2):
        now(stack, "shop", "--instance", "postgres")
        with psycopg.connect(url(stack, "postgres", "shop"), autocommit=True) as connection:
            row = connection.execute("SELECT session_user, current_user").fetchone()
            names.append(row)
            connection.execute(f"CREATE TABLE made{number} (id int)")
            connection.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO public")
            connection.execute("ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM public")
            connection.execute("SET ROLE NONE")
            connection.execute(f"CREATE TABLE bare{number} (id int)")
            # what poolers send between two clients
            connection.execute("DISCARD ALL")
            connection.execute("RESET ROLE")
            assert connection.execute("SELECT current_user").fetchone() == ("shop",)
    assert {tuple(one or ()) for one in names} == {("shop", "shop"), ("shop.2", "shop")}
    stack.ok("up")
    assert steps(stack) == []
    with psycopg.connect(url(stack, "postgres", "shop")) as connection:
        found = connection.execute("SELECT tableowner, count(*) FROM pg_tables WHERE tablename ~ "
                                   "'^(made|bare)' GROUP BY 1").fetchall()  # fmt: skip
    assert found == [("shop", 4)]


def test_databases_are_not_looked_into(stack: Cli) -> None:
    """With a hundred of them that was most of a rotation."""
    done = stack.run("-v", "rotate", "shop", "--now", "--instance", "postgres")
    entered = [line for line in done.stderr.splitlines() if "connect to " in line]
    assert any("/shop as shop" in line for line in entered), entered
    assert [line for line in entered if "/shop as postgres" in line] == []


def test_settings_that_a_person_gave_the_role_hold_for_either_login(stack: Cli) -> None:
    orders = (
        'SET search_path = app, "Say ""hi""", public',
        "SET shop.tenant = 'a, b'",
        "IN DATABASE shop SET search_path = ''",
        "IN DATABASE shop SET work_mem = '7MB'",
    )
    mine = "SELECT current_setting('work_mem'), current_setting('shop.tenant', true)"
    with psycopg.connect(url(stack, "postgres"), autocommit=True) as admin:
        carried = (
            "SELECT setrole::regrole::text, setdatabase, one FROM pg_db_role_setting, "
            "unnest(setconfig) one "
            "WHERE one !~ '(timeout|^role)=' AND setrole = ANY(%s::regrole[])"
        )
        for order in orders:
            admin.execute(f"ALTER ROLE shop {order}".encode())
        for _ in range(2):
            now(stack, "shop", "--instance", "postgres")
            with psycopg.connect(url(stack, "postgres", "shop")) as connection:
                assert connection.execute(mine).fetchone() == ("7MB", "a, b")
        rows = admin.execute(carried, [["shop", '"shop.2"']]).fetchall()
        of = {name: {row[1:] for row in rows if row[0] == name} for name in ("shop", '"shop.2"')}
        assert (len(of["shop"]), of["shop"]) == (4, of['"shop.2"'])
        admin.execute("ALTER ROLE shop RESET ALL")
        admin.execute("ALTER ROLE shop IN DATABASE shop RESET ALL")
        stack.ok("up")
        assert steps(stack) == []
        assert admin.execute(carried, [["shop", '"shop.2"']]).fetchall() == []


def test_neither_login_is_taken_for_a_group(stack: Cli) -> None:
    context = opened(stack)
    asked = context.asked(context.instance("postgres"))
    engine = context.engine(asked.instance)
    for _ in range(2):
        now(stack, "shop", "--instance", "postgres")
        with engine.connect(context.admin(asked)) as session:
            notes = engine.found(session, lambda *_: None).notes
        assert "login shop" in "".join(notes)
        assert [note for note in notes if "cannot log in" in note] == []


def test_checks_know_either_login(stack: Cli) -> None:
    found = [_failing(stack)]
    now(stack, "shop")
    found.append(_failing(stack))
    assert found[0] == found[1]
    stack.ok("doctor", "shop")


def _failing(cli: Cli) -> list[str]:
    report = json.loads(cli.run("--json", "check").stdout)
    bad = [one for one in report["findings"] if one["verdict"] in {"fail", "unknown"}]
    return sorted(one["id"] for one in bad)


@pytest.fixture
def held(stack: Cli) -> Iterator[dict[str, Any]]:
    """Sessions of the current passwords, by engine."""
    # the age of a Redis session is told in whole seconds
    with (
        closing(psycopg.connect(url(stack, "postgres", "shop"), autocommit=True)) as connection,
        redis_as(stack, "shop") as client,
        mongo_as(stack, "shop") as mongo,
    ):
        client.ping()
        mongo.shop.command("ping")
        time.sleep(2.1)
        yield {"postgres": connection, "redis": client, "mongodb": mongo}


def test_sessions_are_waited_for_and_up_changes_nothing_meanwhile(
    stack: Cli, held: dict[str, Any]
) -> None:
    before = settings(stack, "shop")
    words = "sessions of old passwords"
    said = killed_when(stack, words, "rotate", "shop", "--grace", "10m")
    assert any("waiting for 3 sessions" in line for line in said), said
    assert {one["phase"] for one in stack.json("rotate", "--status")["rotations"]} == {"waiting"}
    assert len(stack.json("status")["rotations"]) == 3
    assert steps(stack) == []
    stack.ok("up")
    after = settings(stack, "shop")
    assert all(lets_in(e, before) and lets_in(e, after) for e in ENGINES)
    held["postgres"].execute("SELECT 1")
    refused = stack.run("secret", "set", "redis_shop", stdin="x" * 40)
    assert (refused.returncode, "being rotated" in refused.stderr) == (2, True)
    # the limit has passed: what is left of the old passwords ends
    assert soon(stack).json("rotate", "shop", "--grace", "1s")["rotations"] == []
    with pytest.raises(psycopg.OperationalError):
        held["postgres"].execute("SELECT 1")
    with pytest.raises(redis.ConnectionError):
        held["redis"].ping()
    with pytest.raises(pymongo.errors.OperationFailure):
        held["mongodb"].shop.things.insert_one({})
    assert [engine for engine in ENGINES if lets_in(engine, before)] == []
    assert all(lets_in(engine, after) for engine in ENGINES)
    assert steps(stack) == []


def test_it_goes_back_after_it_was_published(stack: Cli, held: dict[str, Any]) -> None:
    before = settings(stack, "shop")
    killed_when(stack, "published", "rotate", "shop")
    between = settings(stack, "shop")
    assert between != before
    assert soon(stack).json("rotate", "shop", "--abort")["rotations"] == []
    assert settings(stack, "shop") == before
    held["postgres"].execute("SELECT 1")
    held["redis"].ping()
    assert all(lets_in(engine, before) for engine in ENGINES)
    assert [engine for engine in ENGINES if lets_in(engine, between)] == []
    assert steps(stack) == []
    refused = stack.run("rotate", "shop", "--abort")
    assert (refused.returncode, "being rotated" in refused.stderr) == (2, True)


def test_up_takes_passwords_as_they_are_once_it_has_the_lock(stack: Cli) -> None:
    context = opened(stack)
    context.missing_secrets()  # as 'up' and a restore read them long before
    now(stack, "shop")
    up(context, frozenset(), lambda _: None)
    assert [engine for engine in ENGINES if not lets_in(engine, settings(stack, "shop"))] == []
    assert steps(stack) == []


def test_servers_that_crash_meanwhile_take_both_passwords_when_they_are_back(stack: Cli) -> None:
    before = settings(stack, "shop")
    killed_when(stack, "published", "rotate", "shop")
    for unit in ("mng-pg", "mng-redis", "mng-mongo"):
        os.kill(faults.pid(stack, unit), signal.SIGKILL)
    stack.ok("up")
    after = settings(stack, "shop")
    assert all(lets_in(e, before) and lets_in(e, after) for e in ENGINES)
    assert soon(stack).json("rotate", "shop")["rotations"] == []
    assert [engine for engine in ENGINES if lets_in(engine, before)] == []
    assert all(lets_in(engine, after) for engine in ENGINES)
    assert steps(stack) == []


def test_killed_before_each_step_it_goes_on_or_back(stack: Cli) -> None:
    seed = int(os.environ.get("MNGDB_TEST_SEED") or 20261129)
    dice = random.Random(seed)
    killed, at, backs = 0, 0, 0
    while True:
        killing = Killing(stack.folder, {**stack.env, "MNGDB_KILL_AT": str(at)})
        done = killing.run("rotate", "--all", "--now")
        assert all(lets_in(e, settings(stack, app)) for app in ("shop", "other") for e in ENGINES)
        if done.returncode == 0:
            break
        assert done.returncode in {-9, 137, 247}, done.stderr
        killed += 1
        back = stack.run("rotate", "--all", "--abort") if dice.random() < 0.5 else None
        backs += back is not None and back.returncode == 0
        if back is None or back.returncode != 0:
            now(stack, "--all")
        assert not json.loads((stack.state / "rotation.json").read_text())
        if EVERYTHING:
            assert steps(stack) == []
        at += 1 if EVERYTHING else dice.randint(25, 45)
    print(f"MNGDB_TEST_SEED={seed}: killed {killed} times, went back {backs} times")
    assert killed >= 3
    assert steps(stack) == []


def test_a_secret_that_cannot_be_written_stays_and_the_others_are_rotated(stack: Cli) -> None:
    before = settings(stack, "shop")
    folder = stack.state / "secrets" / ".redis_shop.pending"
    folder.mkdir()  # root writes everywhere, but not over a folder
    (folder / "x").touch()
    done = stack.run("rotate", "shop", "--now")
    assert (done.returncode, "redis_shop" in done.stderr) == (1, True)
    after = settings(stack, "shop")
    changed = {name for name in before if before[name] != after[name]}
    assert {"POSTGRES_PASSWORD", "MONGO_PASSWORD"} <= changed
    assert not any(name.startswith("REDIS") for name in changed)
    assert all(lets_in(engine, after) for engine in ENGINES)
    (folder / "x").unlink()
    folder.rmdir()
    assert now(stack, "shop")["rotations"] == []
    assert settings(stack, "shop")["REDIS_PASSWORD"] != before["REDIS_PASSWORD"]
    assert steps(stack) == []


def test_a_server_that_is_down_is_rotated_later_and_the_others_now(stack: Cli) -> None:
    before = settings(stack, "shop")
    stack.ok("down", "redis")
    done = stack.run("--json", "rotate", "shop", "--now")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert (sorted(report["done"]), [*report["errors"]]) == (
        ["mongodb_shop", "postgres_shop"],
        ["redis_shop"],
    )
    stack.ok("up", "redis")
    assert lets_in("redis", before)
    assert stack.json("rotate", "shop", "--abort")["done"] == ["redis_shop"]
    assert lets_in("redis", before)
    assert now(stack, "shop", "--instance", "redis")["done"] == ["redis_shop"]
    assert all(lets_in(engine, settings(stack, "shop")) for engine in ENGINES)
    assert steps(stack) == []


def test_a_restarted_server_keeps_the_new_password(stack: Cli) -> None:
    now(stack, "--all")
    stack.ok("restart")
    assert all(lets_in(engine, settings(stack, "shop")) for engine in ENGINES)
    assert steps(stack) == []


def test_the_administrators_old_password_is_refused(stack: Cli) -> None:
    before = {engine: url(stack, engine) for engine in ENGINES}
    with (
        closing(psycopg.connect(before["postgres"], autocommit=True)) as connection,
        redis_as(stack) as client,
        mongo_as(stack) as mongo,
    ):
        client.ping()
        mongo.admin.command("usersInfo")
        assert sorted(now(stack, "--admin")["done"]) == [f"{e}_admin" for e in sorted(ENGINES)]
        # what the old passwords opened has ended
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
        with pytest.raises(redis.ConnectionError):
            client.ping()
        with pytest.raises(pymongo.errors.OperationFailure):
            mongo.admin.command("usersInfo")
    names = dict(zip(ENGINES, ("POSTGRES_URL", "REDIS_URL", "MONGO_URI"), strict=True))
    for engine in ENGINES:
        assert not lets_in(engine, {names[engine]: before[engine]})
        assert lets_in(engine, {names[engine]: url(stack, engine)})
    assert steps(stack) == []


def test_the_schedule_rotates_what_is_too_old_and_a_check_tells_of_it(stack: Cli) -> None:
    stack.write(STACK + "rotate: {every: 90d, grace: 1m}\n")
    old = time.time() - 100 * 86_400
    os.utime(stack.state / "secrets" / "redis_other", (old, old))
    found = json.loads(stack.run("--json", "check", "--only", "secrets.age").stdout)
    assert (found["findings"][0]["verdict"], "redis_other" in str(found)) == ("fail", True)
    before = (stack.state / "secrets" / "redis_other").read_text()
    assert stack.json("rotate", "--due")["rotations"] == []
    assert (stack.state / "secrets" / "redis_other").read_text() != before
    found = json.loads(stack.run("--json", "check", "--only", "secrets.age").stdout)
    assert found["findings"][0]["verdict"] == "pass"
    stack.write(STACK)


def test_the_agent_goes_by_the_schedule(cli: Cli) -> None:
    cli.write("redis: {port: PORT1}\napps: {shop: {redis: 'shop:*'}}\nrotate: 90d\n" + AGENT)
    cli.ok("up")
    files = [cli.state / "secrets" / f"redis_{login}" for login in ("admin", "monitor", "shop")]
    note, old = cli.state / "rotation.json", time.time() - 100 * 86_400
    before, texts = settings(cli, "shop"), [file.read_text() for file in files]
    for file in files:
        os.utime(file, (old, old))
    with quick_agent(cli):
        until(lambda: settings(cli, "shop") != before)
        until(lambda: not json.loads(note.read_text()))
        assert scrape(cli, "redis")["redis_up"] == 1
    assert not {file.read_text() for file in files} & {*texts}
    assert lets_in("redis", settings(cli, "shop"))
    assert not lets_in("redis", before)
    cli.ok("up")
    assert steps(cli) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "nothing to rotate"),
        (["nobody"], "no app named 'nobody'"),
        (["shop", "--instance", "cache"], "no instance named 'cache'"),
        (["shop", "--grace", "soon"], "soon"),
        (["shop", "--abort"], "being rotated"),
        (["shop", "--due"], "--due takes no APP"),
        (["--status", "--now"], "--status takes no APP"),
    ],
)
def test_bad_words_are_one_sentence(stack: Cli, words: list[str], said: str) -> None:
    done = stack.run("rotate", *words)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_a_vault_of_the_environment_is_refused_before_anything_is_done(cli: Cli) -> None:
    cli.write("redis: {port: PORT1}\napps: {shop: {redis: 'shop:*'}}\nagent: false\n")
    cli.ok("up")
    cli.write("redis: {port: PORT1}\napps: {shop: {redis: 'shop:*'}}\nagent: false\n"
              "vault: environ\n")  # fmt: skip
    cli.env |= {
        f"MNGDB_SECRET_REDIS_{name.upper()}": (cli.state / "secrets" / f"redis_{name}").read_text()
        for name in ("admin", "shop")
    }
    done = cli.run("rotate", "shop")
    assert (done.returncode, "read-only" in done.stderr) == (2, True), done.stderr
    assert not (cli.state / "rotation.json").exists()
