"""Incidents staged on real servers: the doctor names each one's cause first, and what follows."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mngdb.checks import registry
from mngdb.checks.doctor.causes import INCIDENTS
from tests.checks.judge import PROOFS, opened
from tests.conftest import Cli, free_port
from tests.live import faults
from tests.live.clients import brought_up, redis_as, set_secret
from tests.live.postgres import alone, value
from tests.live.scrapes import until

pytestmark = pytest.mark.live

FILE = """
postgres: {port: PORT1, max_connections: 40}
redis: {port: PORT2, eviction: noeviction}
mongodb: {port: PORT3}
apps:
  shop: {postgres: {database: shop, connections: 60}, redis: "shop:*", mongodb: shop}
  blog: {postgres: blog}
"""
stack = brought_up(FILE)


@pytest.fixture
def resources() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def ask(cli: Cli, code: int) -> dict[str, Any]:
    """What the doctor says, and that no secret is among it."""
    done = cli.run("--json", "doctor")
    assert done.returncode == code, done.stdout + done.stderr
    for path in (cli.state / "secrets").glob("*_*"):
        assert path.read_text().strip() not in done.stdout
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["healthy"] == (code == 0)
    return found


def the_cause(cli: Cli, cause: str, *consequences: str) -> dict[str, Any]:
    """The one thing that is wrong; its consequences are these kinds, and there is nothing else."""
    found = ask(cli, 1)
    first = found["cause"]
    assert (first["cause"], found["others"]) == (cause, []), found
    # what is for watching depends on the machine too: how full its disk is
    wrong = {one["cause"] for one in first["consequences"]} - {"watch", "machine"}
    assert wrong == set(consequences)
    assert isinstance(first, dict)
    return first


def test_a_healthy_stack(stack: Cli) -> None:
    begun = time.monotonic()
    found = ask(stack, 0)
    assert time.monotonic() - begun < 60
    assert found["cause"] is None
    assert len(found["apps"]) == 4
    assert "3 servers respond, 4 app logins" in stack.ok("doctor")


def test_what_the_doctor_judges_is_asked(stack: Cli) -> None:
    context = opened(stack)
    for instance in context.stack.instances.values():
        engine, asked = context.engine(instance), context.asked(instance)
        with engine.connect(context.admin(asked)) as session:
            looks = [engine.inspect(session, asked, health=only) for only in (False, True)]
        checks = [one for one in registry.of(instance.engine) if one.id in INCIDENTS[one.engine]]
        whole, less = ([one.finding(seen, "", "").verdict for one in checks] for seen in looks)
        assert less == whole
        assert "unknown" not in less
        judged = [one for one in registry.of(instance.engine) if one.id not in PROOFS]
        assert "not asked" in {one.finding(looks[1], "", "").evidence for one in judged}


def test_a_server_that_was_killed(stack: Cli) -> None:
    faults.kill(stack, "mng-pg")
    first = the_cause(stack, "not-running", "login-down")
    assert first["instances"] == ["postgres"]
    assert {one["app"] for one in first["consequences"]} == {"shop", "blog"}
    assert first["text"].startswith("mng-pg is not running; its log ")
    assert "FATAL" not in first["text"]  # what sessions were told is not why it ended
    assert first["command"] == "mngdb up"
    said = stack.run("doctor").stdout.splitlines()
    assert said[0].startswith("mng-pg is not running")
    assert "blog cannot use postgres" in "\n".join(said)
    stack.ok("up")
    ask(stack, 0)


def test_a_port_that_another_process_took(stack: Cli, resources: ExitStack) -> None:
    faults.kill(stack, "mng-redis")
    thief = resources.enter_context(socket.socket())
    thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    thief.bind(("127.0.0.1", stack.port(2)))
    thief.listen()
    first = the_cause(stack, "cannot-start", "not-running", "login-down")
    assert f"port {stack.port(2)} of 127.0.0.1 is taken by" in first["text"]
    assert f"(pid {os.getpid()})" in first["text"]
    thief.close()
    stack.ok("up")
    ask(stack, 0)


def test_a_leak_of_connections_names_its_app(stack: Cli, resources: ExitStack) -> None:
    url = stack.env_of("shop")["POSTGRES_URL"]
    alone(stack)
    for _ in range(35):  # the last 5 are the administrator's
        connection = psycopg.connect(url, autocommit=True)
        resources.callback(connection.close)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    first = the_cause(stack, "connections", "login-limit")
    assert first["app"] == "shop"
    assert "of them by shop" in first["text"]
    assert "blog" in {one["app"] for one in first["consequences"]}


def test_an_app_that_used_up_its_own_connections(stack: Cli, resources: ExitStack) -> None:
    stack.ok("rotate", "blog", "--now")
    with psycopg.connect(stack.ok("url", "postgres").strip(), autocommit=True) as admin:
        admin.execute('ALTER ROLE "blog.2" CONNECTION LIMIT 2')
    alone(stack)
    url = stack.env_of("blog")["POSTGRES_URL"]
    for _ in range(2):
        resources.enter_context(psycopg.connect(url, autocommit=True))
    first = the_cause(stack, "app-limit", "login-quota")
    assert "blog has reached its connection limit on postgres: 2" in first["text"]
    (found,) = stack.json("connections", "postgres")["instances"]
    (blog,) = [one for one in found["holders"] if one["app"] == "blog.2"]
    assert (blog["count"], blog["limit"]) == (2, 2)
    assert any(text.startswith("blog.2 has all the 2 connections") for text in found["advice"])
    assert "apps: {blog: {postgres:" in stack.run("doctor", "blog").stdout
    resources.close()
    stack.ok("up")


def test_a_chain_of_locks_names_its_root(stack: Cli, resources: ExitStack) -> None:
    url = stack.env_of("shop")["POSTGRES_URL"]
    with psycopg.connect(url, autocommit=True) as pg:
        pg.execute("CREATE TABLE IF NOT EXISTS stock (id int PRIMARY KEY)")
        pg.execute("INSERT INTO stock VALUES (1) ON CONFLICT DO NOTHING")
    root = psycopg.connect(url)
    resources.callback(root.close)
    root.execute("UPDATE stock SET id = 1")
    pid = root.info.backend_pid
    threads = []
    for _ in range(3):
        waits = psycopg.connect(url, autocommit=True)
        resources.callback(waits.close)
        threads.append(threading.Thread(target=waits.execute, args=("UPDATE stock SET id = 1",)))
        threads[-1].start()
    try:
        # a lock is a cause when sessions have waited for three seconds
        long = "SELECT count(*) FROM pg_locks WHERE NOT granted AND now() - waitstart > '3s'"
        until(lambda: value(stack, long) == 3)
        first = the_cause(stack, "lock")
        assert f"shop (pid {pid}, idle in transaction)" in first["text"]
        assert "3 sessions" in first["text"]
        assert first["command"] == f"mngdb locks kill {pid} --terminate --instance postgres"
        of_app = stack.run("doctor", "shop")
        assert of_app.returncode == 1
        assert re.search(r"postgres +failed: 3 sessions of shop", of_app.stdout)
        assert "'mngdb locks'" in of_app.stdout
        stack.ok(*shlex.split(first["command"])[1:])  # what it says mends it
    finally:
        root.close()  # never one that a thread still uses: that ends the process
        for thread in threads:
            thread.join()
    ask(stack, 0)


def test_a_wrong_secret_of_an_app(stack: Cli) -> None:
    before = stack.env_of("blog")["POSTGRES_PASSWORD"]
    set_secret(stack, "postgres_blog", "not-the-secret-of-the-role-32-letters")
    first = the_cause(stack, "login-auth")
    assert first["app"] == "blog"
    assert first["text"].endswith("the secret of blog in the vault is not the one on the server")
    assert first["command"] == "mngdb up"
    set_secret(stack, "postgres_blog", before)


def test_a_secret_that_is_missing(stack: Cli) -> None:
    path = stack.state / "secrets" / "redis_shop"
    kept = path.read_text()
    path.unlink()
    first = the_cause(stack, "secret", "login-secret")
    assert first["text"].endswith(": redis_shop")
    assert f"mng-redis: the secret redis_shop is missing ({path})" in stack.run("status").stderr
    path.write_text(kept)
    path.chmod(0o644)
    first = the_cause(stack, "secret", "login-secret")
    assert first["command"] == f"chmod 600 {path}"
    set_secret(stack, "redis_shop", kept.strip())
    ask(stack, 0)


def test_a_damaged_secret_is_its_apps_trouble_alone(stack: Cli) -> None:
    path = stack.state / "secrets" / "postgres_blog"
    kept = path.read_text()
    path.write_text("a b c d")
    first = the_cause(stack, "secret", "login-secret")
    assert (first["instances"], first["app"]) == (["postgres"], "blog")
    assert [one["app"] for one in first["consequences"] if one["cause"] == "login-secret"] == [
        "blog"
    ]
    assert "remove it: 'mngdb up' generates a new one" in first["command"]
    status = stack.run("--json", "status")
    assert status.returncode == 1
    assert all(one["healthy"] for one in json.loads(status.stdout)["units"])
    for command in ("doctor", "env", "url postgres"):
        stack.ok(*command.split(), "shop")
        refused = stack.run(*command.split(), "blog")
        assert refused.returncode != 0
        assert "has characters that are not safe" in refused.stdout + refused.stderr
    path.unlink()
    stack.ok("up")
    assert path.read_text() != kept
    ask(stack, 0)


def test_a_redis_that_may_take_no_more(stack: Cli) -> None:
    with redis_as(stack) as admin:
        admin.config_set("maxmemory", 1)
        first = the_cause(stack, "memory-full", "login-memory")
        assert "eviction policy evicts no keys" in first["text"]
        assert first["command"].startswith("redis: {memory: …}")
    stack.ok("up")
    ask(stack, 0)


#: Seconds that any login waits for an answer, at least.
_WAITS = 3.0


@pytest.mark.parametrize(
    ("instance", "unit"), [("postgres", "mng-pg"), ("redis", "mng-redis"), ("mongodb", "mng-mongo")]
)
def test_a_server_that_was_halted(stack: Cli, instance: str, unit: str) -> None:
    pid = faults.pid(stack, unit)
    begun = time.monotonic()
    stack.run("up")
    most = 2 * (time.monotonic() - begun) + _WAITS  # a busy machine's commands take seconds
    os.kill(pid, signal.SIGSTOP)
    try:
        for command in (
            "status",
            "up",
            "doctor shop",
            f"sessions {instance}",
            f"memory {instance}",
        ):
            begun = time.monotonic()
            done = stack.run(*command.split())
            assert time.monotonic() - begun < most, command
            assert done.returncode in {1, 3}
            assert f"{unit} is halted" in done.stdout + done.stderr, command
            assert f"kill -CONT {pid}" in done.stdout + done.stderr, command
        begun = time.monotonic()
        first = the_cause(stack, "frozen", "login-down")
        assert time.monotonic() - begun < 60
        assert first["instances"] == [instance]
        assert first["command"] == f"kill -CONT {pid}"
    finally:
        subprocess.run(["kill", "-CONT", str(pid)], check=True)
    ask(stack, 0)


def test_a_postgres_that_waits_for_its_sessions_to_end(stack: Cli) -> None:
    """SIGTERM is PostgreSQL's smart shutdown: sessions go on, logins are refused."""
    pid = faults.pid(stack, "mng-pg")
    said = "mng-pg is shutting down and waits for 1 session to end"
    with psycopg.connect(stack.env_of("shop")["POSTGRES_URL"], autocommit=True) as app:
        os.kill(pid, signal.SIGTERM)
        until(lambda: "shutting down" in stack.run("status").stderr)
        shown = next(
            one
            for one in json.loads(stack.run("--json", "status").stdout)["units"]
            if one["name"] == "mng-pg"
        )
        assert (shown["state"], shown["error"]) == ("stopping", said)
        first = the_cause(stack, "no-answer", "login-down")
        assert first["text"] == said
        assert first["command"].startswith("'mngdb restart postgres'")
        assert said in stack.run("doctor", "shop").stdout
        planned = stack.json("plan")["steps"]
        assert [(one["action"], one["detail"]) for one in planned] == [
            ("restart", said.replace("mng-pg", "it"))
        ]
        app.execute("SELECT 1")  # none of these has ended it
        stack.ok("up")
        with pytest.raises(psycopg.OperationalError):
            app.execute("SELECT 1")
    assert faults.pid(stack, "mng-pg") != pid
    ask(stack, 0)


def test_two_troubles_that_have_nothing_to_do_with_each_other(stack: Cli) -> None:
    before = stack.env_of("blog")["POSTGRES_PASSWORD"]
    set_secret(stack, "postgres_blog", "not-the-secret-of-the-role-32-letters")
    faults.kill(stack, "mng-redis")
    found = ask(stack, 1)
    assert found["cause"]["cause"] == "not-running"
    assert [one["cause"] for one in found["others"]] == ["login-auth"]
    assert "other problems:" in stack.run("doctor").stdout
    set_secret(stack, "postgres_blog", before)
    stack.ok("up")


# --- servers of others


def test_a_server_of_others_that_hangs_or_is_away(tmp_path: Path, resources: ExitStack) -> None:
    deaf = resources.enter_context(socket.create_server(("127.0.0.1", 0)))
    cli = Cli(tmp_path)
    cli.write(f"""
postgres: {{target: {{external: {{url: "postgresql://a@127.0.0.1:{deaf.getsockname()[1]}/x"}}}}}}
redis: {{target: {{external: {{url: "redis://a@127.0.0.1:{free_port()}"}}}}}}
apps: {{shop: {{postgres: shop}}}}
""")
    for name in ("postgres_admin", "redis_admin", "postgres_shop"):
        set_secret(cli, name, "x" * 40)
    begun = time.monotonic()
    found = ask(cli, 1)
    assert time.monotonic() - begun < 60
    every = [found["cause"], *found["others"]]
    assert {one["cause"] for one in every} == {"no-answer"}
    assert {tuple(one["instances"]) for one in every} == {("postgres",), ("redis",)}
    (shop,) = [one for one in every if one["instances"] == ["postgres"]]
    assert [one["app"] for one in shop["consequences"]] == ["shop"]


def test_a_login_that_may_see_little_leaves_it_untold(stack: Cli, tmp_path: Path) -> None:
    theirs = Cli(tmp_path, _ports=stack._ports)
    theirs.write("""
name: theirs
redis: {target: {external: {url: "redis://looker@127.0.0.1:PORT2"}}}
""")
    with redis_as(stack) as admin:
        admin.execute_command("ACL", "SETUSER", "looker", "on", ">" + "l" * 40, "+ping")
    set_secret(theirs, "redis_admin", "l" * 40)
    found = ask(theirs, 3)
    assert found["cause"] is None
    assert any("sessions: " in text for text in found["unknown"])
    with redis_as(stack) as admin:
        admin.acl_deluser("looker")


def test_servers_that_were_stopped_in_order_are_one_trouble(stack: Cli) -> None:
    stack.ok("down")
    first = the_cause(stack, "not-running", "login-down")
    assert first["instances"] == ["postgres", "redis", "mongodb"]
    assert first["text"].endswith(": stopped on request")
    stack.ok("up")
    ask(stack, 0)


def test_a_stack_that_was_never_made(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.write("postgres: {port: PORT1}\nredis: {port: PORT2}\n")
    done = cli.run("doctor")
    assert done.returncode == 1
    assert done.stdout.startswith("mng-pg, mng-redis: ")
    assert list(tmp_path.iterdir()) == [tmp_path / "mngdb.yaml"]
