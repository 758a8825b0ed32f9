"""The agent as a unit of the stack: it serves, it starts again what died, it harms nobody."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
from concurrent.futures import ThreadPoolExecutor

import psutil
import psycopg
import pymongo
import pytest
import redis

from mngdb.agent.watch import Watch
from mngdb.cli.common import Options
from mngdb.engines.postgres.metric_queries import TABLES_COUNTED
from mngdb.lock import lock
from mngdb.ops import alerts_now
from tests import trixie
from tests.conftest import Cli
from tests.live.clients import redis_as
from tests.live.clients import url as address
from tests.live.scrapes import (
    AGENT,
    ENGINES,
    UP,
    fetch,
    gone,
    halted,
    in_time,
    pid_of,
    read,
    scrape,
    until,
    url,
    whole,
)

pytestmark = [pytest.mark.live, pytest.mark.slow]
QUEUE = "instances:\n  queue: {engine: redis, port: PORT8, eviction: noeviction, memory: 16mb}\n"
ONE = "postgres: {port: PORT1, memory: 64mb}\napps: {shop: {postgres: shop}}\n"
#: kB: the issue's limit for the agent.
_RESIDENT_MAX = 80 << 10


@pytest.fixture(scope="module")
def stack(module_cli: Cli) -> Cli:
    module_cli.write(ENGINES + QUEUE + AGENT)
    module_cli.ok("up")
    return module_cli


def steady(cli: Cli) -> bool:
    """Whether everything is healthy and nothing is to be changed."""
    healthy = cli.run("status").returncode == 0
    return healthy and cli.run("plan", "--exit-code").returncode == 0


def test_it_is_a_unit_of_the_stack_and_a_second_up_has_nothing_to_do(stack: Cli) -> None:
    units = {unit["name"]: unit for unit in stack.json("status")["units"]}
    agent = units["mng-agent"]
    assert agent["healthy"]
    assert (agent["engine"], agent["port"]) == ("agent", stack.port(7))
    pid = pid_of(stack, "mng-agent")
    assert stack.json("up")["steps"] == []
    assert pid_of(stack, "mng-agent") == pid
    assert "mng-agent is running" in stack.ok("logs", "agent")


def test_what_an_app_is_refused_is_counted_by_app(stack: Cli) -> None:
    for _ in range(3):
        with (
            psycopg.connect(address(stack, "postgres", "shop")) as pg,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            pg.execute("SELECT * FROM pg_authid")
    host = address(stack, "mongodb").partition("@")[2]
    # whoever calls itself mngdb is counted, too
    stranger = f"mongodb://ghost:wrong@{host}"
    client: pymongo.MongoClient[dict[str, object]] = pymongo.MongoClient(stranger, appname="mngdb")
    with client, pytest.raises(pymongo.errors.OperationFailure):
        client.admin.command("ping")

    def count(instance: str, app: str, kind: str) -> float:
        page = scrape(stack, "mngdb")
        return page.of("mngdb_refused_total", instance=instance, app=app, kind=kind)

    with redis_as(stack, "shop") as cache:
        for name in ("other:1", "other:2"):
            with pytest.raises(redis.exceptions.NoPermissionError):
                cache.get(name)
    until(lambda: count("postgres", "shop", "access") == 3)
    until(lambda: count("redis", "shop", "access") == 2)
    until(lambda: count("mongodb", "others", "login") >= 1)
    assert count("postgres", "others", "access") == count("postgres", "shop", "login") == 0


def test_redis_is_asked_for_refusals_over_one_session(stack: Cli) -> None:
    with redis_as(stack) as admin:

        def others() -> list[str]:
            own = str(admin.client_id())
            every = admin.client_list()
            return [one["id"] for one in every if one["user"] == "admin" and one["id"] != own]

        def count() -> float:
            page = scrape(stack, "mngdb")
            return page.of("mngdb_refused_total", instance="redis", app="shop", kind="access")

        def refused() -> None:
            with (
                redis_as(stack, "shop") as cache,
                pytest.raises(redis.exceptions.NoPermissionError),
            ):
                cache.get("another:1")

        before, session = count(), others()
        assert len(session) == 1
        refused()
        until(lambda: count() == before + 1)
        assert others() == session
        # one that was ended costs nothing
        admin.client_kill_filter(_id=session[0])
        refused()
        until(lambda: count() == before + 2)
        assert len(others()) == 1
        assert others() != session


def test_each_page_is_what_prometheus_reads(stack: Cli) -> None:
    promtool = str(trixie.program("promtool"))
    for engine in ("postgres", "redis", "mongodb", "mngdb"):
        text = fetch(url(stack, engine))
        done = subprocess.run(
            [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
        )
        # 3: names that are not as its authors would choose; they are the exporters'
        assert done.returncode in {0, 3}, done.stderr
        read(text)
    for engine in UP:
        whole(stack, engine)


def test_each_instance_of_an_engine_has_a_page(stack: Cli) -> None:
    ports = {
        path: next(
            dict(labels)["tcp_port"]
            for (name, labels) in whole(stack, "redis", path).values
            if name == "redis_instance_info"
        )
        for path in ("/metrics", "/metrics/redis", "/metrics/queue")
    }
    one, other = str(stack.port(2)), str(stack.port(8))
    assert ports == {"/metrics": one, "/metrics/redis": one, "/metrics/queue": other}


def test_other_paths_and_verbs_are_refused(stack: Cli) -> None:
    for path in ("/", "/metrics/nosuch", "/../etc/passwd", "/metrics/../x"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            fetch(url(stack, "redis", path))
        assert caught.value.code == 404
        assert "/metrics/queue" in caught.value.read().decode()
    with socket.create_connection(("127.0.0.1", stack.port(7)), 60) as wire:
        wire.sendall(b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")
        assert b" 501 " in wire.recv(4096)


def test_own_metrics(stack: Cli) -> None:
    own = scrape(stack, "mngdb")
    for unit in ("mng-pg", "mng-redis", "mng-mongo", "mng-queue"):
        assert own.of("mngdb_unit_up", unit=unit) == 1
    names = {dict(k[1])["secret"] for k in own.values if k[0] == "mngdb_secret_age_seconds"}
    assert {"postgres_admin", "postgres_shop", "redis_monitor", "mongodb_keyfile"} <= names
    assert 0 <= own.of("mngdb_secret_age_seconds", secret="redis_shop") < 3600
    assert own["mngdb_host_memory_total_bytes"] > own["mngdb_host_memory_available_bytes"] > 0
    assert own["mngdb_host_disk_size_bytes"] > own["mngdb_host_disk_free_bytes"] > 0
    assert "mngdb_backup_age_seconds" not in own.names  # nobody knows it yet: absent, not 0
    os.utime(stack.state / "secrets/redis_shop", (time.time(), time.time() - 86400 * 100))
    aged = scrape(stack, "mngdb").of("mngdb_secret_age_seconds", secret="redis_shop")
    assert aged == pytest.approx(86400 * 100, abs=60)
    # what cannot be measured keeps nothing else back
    vault = stack.state / "secrets"
    kept = vault.rename(vault.with_name("kept"))
    vault.touch()
    names = scrape(stack, "mngdb").names
    vault.unlink()
    kept.rename(vault)
    assert {"mngdb_secret_age_seconds", "mngdb_unit_up"} & names == {"mngdb_unit_up"}
    assert re.search(r"secrets: no metrics: .*Not a directory", stack.ok("logs", "agent"))


def test_no_page_log_argument_or_environment_has_a_secret(stack: Cli) -> None:
    secrets = [path.read_text().strip() for path in (stack.state / "secrets").glob("*_*")]
    assert len(secrets) > 8
    pid = pid_of(stack, "mng-agent")
    texts = [fetch(url(stack, engine)) for engine in ("postgres", "redis", "mongodb", "mngdb")]
    texts.append((stack.state / "agent/agent.log").read_text())
    for name in ("cmdline", "environ"):
        with open(f"/proc/{pid}/{name}") as handle:  # noqa: PTH123
            texts.append(handle.read())
    assert [secret for secret in secrets for text in texts if secret in text] == []


def test_many_scrapes_at_once_and_its_size_afterwards(stack: Cli) -> None:
    def one(number: int) -> float:
        engine = ("postgres", "redis", "mongodb", "mngdb")[number % 4]
        return len(scrape(stack, engine).values)

    with ThreadPoolExecutor(12) as pool:
        # one that waited for its turn as long as a page may take says only that
        until(lambda: min(pool.map(one, range(48))) > 20)
    assert resident(stack) <= _RESIDENT_MAX


def test_it_does_without_cryptography(stack: Cli) -> None:
    """8 MB, which drivers and modules beside it load easily by the way."""
    with open(f"/proc/{pid_of(stack, 'mng-agent')}/maps") as handle:  # noqa: PTH123
        maps = handle.read()
    assert "psycopg" in maps
    assert "cryptography" not in maps


def resident(stack: Cli) -> int:
    """Memory of the agent in kB."""
    with open(f"/proc/{pid_of(stack, 'mng-agent')}/status") as handle:  # noqa: PTH123
        return int(next(line for line in handle if line.startswith("VmRSS")).split()[1])


@pytest.mark.parametrize(("engine", "unit", "up"), [
    ("redis", "mng-redis", "redis_up"),
    ("postgres", "mng-pg", "pg_up"),
    ("mongodb", "mng-mongo", "mongodb_up"),
])  # fmt: skip
def test_a_server_that_hangs_is_down_in_time_and_holds_up_nobody(
    stack: Cli, engine: str, unit: str, up: str
) -> None:
    others = {"redis", "postgres", "mongodb", "mngdb"} - {engine}

    def answered_beside() -> bool:
        """Whether all others answered while this one hung; a busy machine may need a second try."""
        whole(stack, engine)  # over a session that is kept: a new one would be refused at once
        begun = time.monotonic()
        with halted(pid_of(stack, unit)), ThreadPoolExecutor(1) as pool:
            hanging = pool.submit(in_time, stack, engine)
            for other in others:
                scrape(stack, other)
            beside = not hanging.done()
            took = hanging.result()
        # 80 % of what Prometheus waits
        assert time.monotonic() - begun > 3.5
        return beside and took < 5

    until(answered_beside)
    whole(stack, engine)


def test_what_died_is_started_again_and_counted(stack: Cli) -> None:
    before = pid_of(stack, "mng-queue")
    os.kill(before, signal.SIGKILL)
    until(lambda: pid_of(stack, "mng-queue") != before)
    whole(stack, "redis", "/metrics/queue")
    counter = "mngdb_unit_restarts_total"
    until(lambda: scrape(stack, "mngdb").of(counter, unit="mng-queue") == 1)
    own = scrape(stack, "mngdb")
    assert own.of("mngdb_unit_restarts_total", unit="mng-redis") == 0
    until(lambda: steady(stack))  # it runs with the files that it had
    lines = (stack.state / "audit.log").read_text().splitlines()
    told = [json.loads(line) for line in lines if '"command": "agent"' in line]
    assert [(one["action"], one["object"]) for one in told] == [("restart", "mng-queue")]


def test_one_that_dies_at_once_again_is_given_more_time_each_time(stack: Cli) -> None:
    """Seconds between one start and the next, while it is killed each time."""
    pids = [pid_of(stack, "mng-queue")]
    begun = []
    for _ in range(3):
        os.kill(pids[-1], signal.SIGKILL)
        until(lambda: pid_of(stack, "mng-queue") != pids[-1])
        pids.append(pid_of(stack, "mng-queue"))
        # when it was started, not when we saw it
        begun.append(psutil.Process(pids[-1]).create_time())
    assert begun[1] - begun[0] > 0.9
    assert begun[2] - begun[1] > 1.8
    until(lambda: steady(stack))


def test_it_waits_while_a_command_works_on_the_stack(stack: Cli) -> None:
    pid = pid_of(stack, "mng-redis")
    with lock(stack.state / "lock", "up"):
        os.kill(pid, signal.SIGKILL)
        until(lambda: gone(pid))
        time.sleep(2.5)
        assert pid_of(stack, "mng-redis") == pid
    until(lambda: pid_of(stack, "mng-redis") != pid)
    until(lambda: steady(stack))


def test_what_died_and_was_then_stopped_by_name_stays_so(stack: Cli) -> None:
    agent, before = psutil.Process(pid_of(stack, "mng-agent")), pid_of(stack, "mng-queue")
    agent.suspend()
    try:
        os.kill(before, signal.SIGKILL)
        until(lambda: gone(before))
        stack.ok("down", "queue")
    finally:
        agent.resume()
    time.sleep(2.5)
    assert not (stack.state / "servers/mng-queue/run/server.pid").exists()
    stack.ok("up", "queue")
    until(lambda: steady(stack))


def test_its_death_stops_nobody_and_up_brings_it_back(stack: Cli) -> None:
    units = ("mng-pg", "mng-redis", "mng-mongo", "mng-queue")
    before = {unit: pid_of(stack, unit) for unit in units}
    restarts = scrape(stack, "mngdb").of("mngdb_unit_restarts_total", unit="mng-queue")
    assert restarts >= 1
    agent = pid_of(stack, "mng-agent")
    os.kill(agent, signal.SIGKILL)
    until(lambda: gone(agent))
    status = stack.run("--json", "status")
    assert status.returncode == 1
    states = {unit["name"]: unit["healthy"] for unit in json.loads(status.stdout)["units"]}
    assert states == {**dict.fromkeys(units, True), "mng-agent": False}
    steps = stack.json("plan")["steps"]
    assert [(step["action"], step["object"]) for step in steps] == [("start", "mng-agent")]
    stack.ok("up")
    assert {unit: pid_of(stack, unit) for unit in units} == before
    assert scrape(stack, "mngdb").of("mngdb_unit_restarts_total", unit="mng-queue") == restarts
    assert steady(stack)


def test_damaged_counts_are_begun_anew(stack: Cli) -> None:
    stack.ok("down")
    (stack.state / "agent/restarts.json").write_text("{")
    stack.ok("up")
    assert "the restart count is reset" in stack.ok("logs", "agent")
    assert scrape(stack, "mngdb").of("mngdb_unit_restarts_total", unit="mng-queue") == 0
    assert steady(stack)


@pytest.mark.parametrize("lost", ["", None])
def test_one_whose_pid_file_was_lost_is_known_by_its_lock(stack: Cli, lost: str | None) -> None:
    path = stack.state / "agent/agent.pid"
    kept = path.read_text()
    if lost is None:
        path.unlink()
    else:
        path.write_text(lost)
    assert steady(stack)
    assert stack.json("up")["steps"] == []
    path.write_text(kept)


def test_its_size_in_status_is_its_own(stack: Cli) -> None:
    before = pid_of(stack, "mng-mongo")
    os.kill(before, signal.SIGKILL)
    until(lambda: pid_of(stack, "mng-mongo") != before)
    until(lambda: steady(stack))
    agent = psutil.Process(pid_of(stack, "mng-agent"))
    assert before not in [one.pid for one in agent.children()]
    assert pid_of(stack, "mng-mongo") in [one.pid for one in agent.children()]
    units = {one["name"]: one for one in stack.json("status")["units"]}
    assert abs(units["mng-agent"]["memory"] - agent.memory_info().rss) < 8 << 20


def test_alerts_of_one_that_is_halted_are_not_its_last_rounds(stack: Cli) -> None:
    agent = pid_of(stack, "mng-agent")
    until(lambda: json.loads(stack.run("--json", "alerts").stdout)["agent"])
    os.kill(agent, signal.SIGSTOP)
    try:
        assert not json.loads(stack.run("--json", "alerts").stdout)["agent"]
    finally:
        os.kill(agent, signal.SIGCONT)


def test_one_that_cannot_keep_its_rounds_is_not_gone(stack: Cli) -> None:
    context = Options([str(stack.folder / "mngdb.yaml")]).context()
    found = alerts_now.look(context, time.time())
    assert found.running
    assert "AgentGone" not in {alert.name for alert in found.alerts}
    with halted(pid_of(stack, "mng-agent")):
        found = alerts_now.look(context, time.time())
    assert not found.running
    assert "AgentGone" in {alert.name for alert in found.alerts}


def test_a_second_one_says_so(stack: Cli) -> None:
    done = stack.run("agent")
    assert done.returncode == 1
    assert "mng-agent is already running" in done.stderr


def test_a_large_log_is_set_aside_while_the_server_writes_it(stack: Cli) -> None:
    path = stack.state / "servers/mng-pg/server.log"
    end = path.stat().st_size
    context = Options([str(stack.folder / "mngdb.yaml")]).context()
    with halted(pid_of(stack, "mng-agent")):  # it does the same
        with path.open("r+b") as handle:
            handle.truncate(33 << 20)
        Watch(context, stack.state / "agent").rotate()
    aside = path.with_name("server.log.1")
    # the server may have written more meanwhile
    assert aside.stat().st_size >= 33 << 20 > end
    assert aside.stat().st_mode & 0o777 == 0o600
    stack.ok("url", "postgres")
    scrape(stack, "postgres")
    os.kill(pid_of(stack, "mng-pg"), signal.SIGHUP)
    until(lambda: "received SIGHUP" in path.read_text())
    assert path.stat().st_size < 1 << 20
    assert "received SIGHUP" in stack.ok("logs", "postgres")


def test_a_flood_of_the_log_is_told_and_its_end_kept(stack: Cli) -> None:
    folder = stack.state / "servers/mng-pg"
    path, aside = folder / "server.log", folder / "server.log.1"
    told = stack.state / "agent/agent.log"
    with psycopg.connect(stack.env_of("shop")["POSTGRES_URL"], autocommit=True) as shop:
        shop.execute(
            "DO $$ BEGIN FOR n IN 1..10000 LOOP RAISE LOG '%', repeat('x', 10000); END LOOP; END $$"
        )
        shop.execute("DO $$ BEGIN RAISE LOG 'the last one'; END $$")
    until(lambda: "mng-pg floods its log" in told.read_text(), 12)
    until(lambda: path.stat().st_size < 32 << 20, 12)
    assert "the last one" in path.read_text()[-1000:] or "the last one" in aside.read_text()
    assert aside.stat().st_size + path.stat().st_size <= 70 << 20


def test_thousands_of_tables_and_its_size_afterwards(stack: Cli) -> None:
    """500 databases are the benchmark's: making them takes PostgreSQL most of a minute."""
    env = stack.env_of("shop")
    many = "for n in 1..2000 loop execute format('create table many%s (id int)', n); end loop"
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        connection.execute(f"do $$ begin {many}; end $$")
    with pymongo.MongoClient[dict[str, object]](env["MONGO_URI"]) as mongo:
        for number in range(200):
            mongo.shop[f"many{number}"].insert_one({"n": number})
    os.kill(pid_of(stack, "mng-agent"), signal.SIGKILL)  # a new one asks for everything at once
    stack.ok("up")

    def all_there() -> bool:
        found = scrape(stack, "postgres")
        counted = sum(name == "pg_stat_user_tables_n_live_tup" for name, _ in found.values)
        left_out = found.get("mngdb_postgres_tables_left_out", datname="shop") or 0
        return counted == TABLES_COUNTED and counted + left_out >= 2000

    until(all_there)
    for _ in range(3):
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda engine: scrape(stack, engine), ("postgres", "mongodb", "redis")))
        assert resident(stack) <= _RESIDENT_MAX
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        for first in range(1, 2001, 500):  # more locks at once than there are otherwise
            names = ", ".join(f"many{number}" for number in range(first, first + 500))
            connection.execute(f"drop table {names}")


# the last ones: they stop what the others look at


def test_down_stops_it_first_and_nothing_comes_back(stack: Cli) -> None:
    agent = pid_of(stack, "mng-agent")
    stopped = stack.json("down")["stopped"]
    assert set(stopped) == {"mng-pg", "mng-redis", "mng-mongo", "mng-queue", "mng-agent"}
    assert gone(agent)
    time.sleep(1.5)
    states = {
        unit["name"]: unit["state"]
        for unit in json.loads(stack.run("--json", "status").stdout)["units"]
    }
    assert set(states.values()) == {"stopped"}


def test_a_port_of_the_agents_that_is_taken_is_named_and_keeps_no_server_down(stack: Cli) -> None:
    """Anybody on the machine may listen there before a reboot is over."""
    stack.ok("down")
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", stack.port(4)))
        holder.listen()
        for command in ("plan", "up"):
            done = stack.run(command)
            assert done.returncode == 1
            assert f"port {stack.port(4)} of 127.0.0.1, for the metrics of postgres" in done.stderr
            assert f"(pid {os.getpid()})" in done.stderr
        units = json.loads(stack.run("--json", "status").stdout)["units"]
        assert {one["name"] for one in units if not one["healthy"]} == {"mng-agent"}
    stack.ok("up")
    assert steady(stack)


def test_without_it_the_logins_are_closed(stack: Cli) -> None:
    agent, secret = pid_of(stack, "mng-agent"), "redis_monitor"
    stack.write(ENGINES + QUEUE + "agent: false\n")
    steps = {(s["instance"], s["action"], s["object"]) for s in stack.json("plan")["steps"]}
    assert {
        ("postgres", "revoke", "role monitor"),
        ("redis", "revoke", "monitor"),
        ("mongodb", "revoke", "monitor"),
        ("agent", "stop", "mng-agent"),
    } <= steps
    stack.ok("up")
    assert gone(agent)
    assert stack.run("plan", "--exit-code").returncode == 0
    assert {u["name"] for u in stack.json("status")["units"]}.isdisjoint({"mng-agent"})
    assert (stack.state / "secrets" / secret).exists()
    stack.ok("up", "--prune")
    stack.write(ENGINES + QUEUE + AGENT)
    stack.ok("up")
    assert steady(stack)
    whole(stack, "postgres")


def test_destroy_ends_it_too(stack: Cli) -> None:
    agent = pid_of(stack, "mng-agent")
    stack.ok("destroy", "--yes", "mng")
    assert gone(agent)
    assert not (stack.state).exists()
