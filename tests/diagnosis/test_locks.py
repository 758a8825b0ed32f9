"""Chains of locks, staged on a real server, shown and cleared."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from mngdb.facts.locks import Backend, chains
from tests.conftest import Cli
from tests.live.clients import brought_up

pytestmark = [pytest.mark.live, pytest.mark.postgres]

FILE = """
postgres: {port: PORT1, settings: {max_prepared_transactions: 2}}
apps: {shop: {postgres: shop}, other: {postgres: other}}
"""
stack = brought_up(FILE)


class Sessions:
    """Sessions of an app; a statement that has to wait does so in a thread."""

    def __init__(self, url: str, resources: ExitStack) -> None:
        self.url = url
        self.resources = resources
        self.threads: list[threading.Thread] = []
        self.errors: list[psycopg.Error] = []

    def open(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(self.url)
        self.resources.callback(connection.close)
        return connection

    def later(self, connection: psycopg.Connection[Any], statement: str) -> None:
        """Run a statement that will wait; returns when the server says that it does."""

        def run() -> None:
            try:
                connection.execute(statement)
            except psycopg.Error as error:
                self.errors.append(error)

        thread = threading.Thread(target=run)
        self.threads.append(thread)
        thread.start()
        with psycopg.connect(self.url) as look:
            end = time.monotonic() + 60
            while True:
                row = look.execute(
                    "SELECT wait_event_type, waitstart FROM pg_stat_activity a "
                    "LEFT JOIN pg_locks l ON l.pid = a.pid AND NOT granted WHERE a.pid = %s",
                    [connection.info.backend_pid],
                ).fetchone()
                if row is not None and row[0] == "Lock" and row[1] is not None:
                    return
                assert time.monotonic() < end, row
                time.sleep(0.01)


@pytest.fixture
def sessions(stack: Cli) -> Iterator[Sessions]:
    url = stack.env_of("shop")["POSTGRES_URL"]
    admin = stack.ok("url", "postgres").strip()
    with psycopg.connect(url, autocommit=True) as first:
        first.execute("DROP TABLE IF EXISTS stock")
        first.execute("CREATE TABLE stock (id int PRIMARY KEY, n int)")
        first.execute("INSERT INTO stock SELECT g, 0 FROM generate_series(1, 10) g")
    with ExitStack() as resources:
        found = Sessions(url, resources)
        yield found
        with psycopg.connect(admin, autocommit=True) as ends:
            ends.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'shop'"
            )
        # a connection that is closed while a thread uses it ends the process
        for thread in found.threads:
            thread.join()


def chain_of_four(sessions: Sessions) -> list[int]:
    """Each waits for the one before; their pids."""
    first, second, third, fourth = (sessions.open() for _ in range(4))
    first.execute("UPDATE stock SET n = 1 WHERE id = 1")
    second.execute("UPDATE stock SET n = 2 WHERE id = 2")
    third.execute("UPDATE stock SET n = 3 WHERE id = 3")
    sessions.later(second, "UPDATE stock SET n = 2 WHERE id = 1")
    sessions.later(third, "UPDATE stock SET n = 3 WHERE id = 2")
    sessions.later(fourth, "UPDATE stock SET n = 4 WHERE id = 3")
    return [one.info.backend_pid for one in (first, second, third, fourth)]


def tree(cli: Cli) -> list[dict[str, Any]]:
    (one,) = cli.json("locks")["instances"]
    found: list[dict[str, Any]] = one["chains"]
    return found


def test_nobody_waits(stack: Cli) -> None:
    assert tree(stack) == []
    assert "no session waits" in stack.ok("locks")


def test_a_chain_of_four_is_one_tree(stack: Cli, sessions: Sessions) -> None:
    pids = chain_of_four(sessions)
    (root,) = tree(stack)
    seen, node = [root["pid"]], root
    while node["blocked"]:
        (node,) = node["blocked"]
        seen.append(node["pid"])
        assert node["waiting_seconds"] > 0
        assert node["app"] == "shop"
        assert "UPDATE stock" in node["query"]
    assert seen == pids
    assert root["frees"] == 3
    assert root["state"] == "idle in transaction"
    text = stack.ok("locks")
    assert "ending it frees 3 sessions" in text
    assert text.index(str(pids[0])) < text.index(str(pids[3]))


def test_a_queue_stands_below_those_that_hold_it_up(stack: Cli, sessions: Sessions) -> None:
    """A row that many want: each is blocked by the holder or the first, and by all before it."""
    holder, *others = (sessions.open() for _ in range(8))
    holder.execute("UPDATE stock SET n = 1 WHERE id = 1")
    for one in others:
        sessions.later(one, "UPDATE stock SET n = n + 1 WHERE id = 1")
    (root,) = tree(stack)
    assert (root["pid"], root["frees"]) == (holder.info.backend_pid, 7)
    (first,) = root["blocked"]
    assert first["frees"] == 6
    assert {one["pid"] for one in first["blocked"]} == {
        one.info.backend_pid for one in others if one.info.backend_pid != first["pid"]
    }
    assert {one["frees"] for one in first["blocked"]} == {0}


def test_a_forgotten_prepared_transaction_is_named(stack: Cli, sessions: Sessions) -> None:
    first, second = sessions.open(), sessions.open()
    first.execute("UPDATE stock SET n = 1 WHERE id = 1")
    first.execute("PREPARE TRANSACTION 'xa''1'")
    try:
        sessions.later(second, "UPDATE stock SET n = 2 WHERE id = 1")
        (root,) = tree(stack)
        assert (root["pid"], root["kind"], root["app"]) == (None, "prepared transaction", "shop")
        assert [one["pid"] for one in root["blocked"]] == [second.info.backend_pid]
        assert "ROLLBACK PREPARED 'xa''1', in shop" in stack.ok("locks")
    finally:
        with psycopg.connect(sessions.url, autocommit=True) as shop:
            shop.execute("ROLLBACK PREPARED 'xa''1'")


def test_a_second_server_that_is_down_hides_nothing_of_the_first(
    stack: Cli, sessions: Sessions
) -> None:
    url = f"postgresql://admin@127.0.0.1:{stack.port(9)}/postgres"
    text = f'instances: {{legacy: {{engine: postgres, target: {{external: {{url: "{url}"}}}}}}}}'
    (stack.folder / "two.yaml").write_text(text)
    both = ("-f", "mngdb.yaml", "-f", "two.yaml")
    pids = chain_of_four(sessions)
    missing = stack.run(*both, "locks")
    assert missing.returncode == 3
    assert "legacy: the secret legacy_admin is missing" in missing.stderr
    stack.ok(*both, "secret", "set", "legacy_admin", stdin="x" * 32)
    done = stack.run(*both, "--json", "locks")
    assert done.returncode == 3
    found = json.loads(done.stdout)
    assert "PostgreSQL does not answer" in found["errors"]["legacy"]
    assert [one["instance"] for one in found["instances"]] == ["postgres"]
    assert [one["pid"] for one in found["instances"][0]["chains"]] == pids[:1]
    # the same pid may be in each: nobody guesses which one is meant
    asked = stack.run(*both, "locks", "kill", str(pids[3]))
    assert asked.returncode == 2
    assert "--instance" in asked.stderr
    assert "cancelled" in stack.ok(*both, "locks", "kill", str(pids[3]), "--instance", "postgres")


def test_the_root_is_idle_so_only_ending_it_helps(stack: Cli, sessions: Sessions) -> None:
    pids = chain_of_four(sessions)
    done = stack.run("locks", "kill", str(pids[0]))
    assert done.returncode == 2
    assert "--terminate" in done.stderr
    assert "ended" in stack.ok("locks", "kill", str(pids[0]), "--terminate")
    for _ in range(100):
        if len(tree(stack)) == 0 or tree(stack)[0]["pid"] != pids[0]:
            break
    remaining = tree(stack)
    assert [node["pid"] for node in remaining] in ([pids[1]], [])
    log = (stack.state / "audit.log").read_text().splitlines()
    assert json.loads(log[-1])["object"] == f"session {pids[0]}"


def test_a_waiting_statement_is_cancelled_and_its_session_lives(
    stack: Cli, sessions: Sessions
) -> None:
    pids = chain_of_four(sessions)
    assert "cancelled" in stack.ok("locks", "kill", str(pids[3]))
    sessions.threads[-1].join(60)
    assert isinstance(sessions.errors[-1], psycopg.errors.QueryCanceled)


def test_a_table_lock_names_the_table_also_of_another_database(
    stack: Cli, sessions: Sessions
) -> None:
    first, second = sessions.open(), sessions.open()
    first.execute("LOCK TABLE stock IN ACCESS EXCLUSIVE MODE")
    sessions.later(second, "SELECT * FROM stock")
    (root,) = tree(stack)
    (blocked,) = root["blocked"]
    assert blocked["wants"] == "AccessShare on public.stock"


def test_a_password_in_a_statement_is_not_shown(stack: Cli, sessions: Sessions) -> None:
    first, second = sessions.open(), sessions.open()
    first.execute("SELECT pg_advisory_xact_lock(7)")
    sessions.later(
        second, "SELECT pg_advisory_xact_lock(7); ALTER ROLE shop PASSWORD 'so''me-secret'"
    )
    for arguments in (("locks",), ("locks", "--json")):
        said = stack.ok(*arguments)
        assert "some" not in said
        assert "me-secret" not in said


def test_a_session_that_runs_nothing_has_nothing_to_cancel(stack: Cli, sessions: Sessions) -> None:
    idle = sessions.open()
    done = stack.run("locks", "kill", str(idle.info.backend_pid))
    assert done.returncode == 2
    assert "runs no statement" in done.stderr


def test_what_may_not_be_ended(stack: Cli) -> None:
    done = stack.run("locks", "kill", "999999999")
    assert done.returncode == 2
    assert "no session has the pid" in done.stderr
    with psycopg.connect(stack.ok("url", "postgres").strip()) as admin:
        row = admin.execute(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
        ).fetchone()
    assert row is not None
    done = stack.run("locks", "kill", str(row[0]), "--terminate")
    assert done.returncode == 2
    assert "--force" in done.stderr


def test_watch_looks_again_until_it_is_interrupted(stack: Cli) -> None:
    argv, pipe = stack.argv("locks", "--watch", "0.2"), subprocess.PIPE
    with subprocess.Popen(
        argv, cwd=stack.folder, env=stack.environ(), stdout=pipe, stderr=pipe, text=True
    ) as process:
        assert process.stdout is not None
        for _ in range(3):
            assert "no session waits" in process.stdout.readline()
            assert process.stdout.readline().startswith("—")
        process.send_signal(2)
        process.stdout.read()
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert process.returncode == 130


def test_a_ring_ends() -> None:
    """The server breaks a deadlock after a second; until then a look may see it."""

    def one(pid: int, *blockers: int) -> Backend:
        return Backend(pid, "a", "d", "", "client backend", "active", pid, 1.0, "x", "", blockers)

    (root,) = chains([one(1, 2), one(2, 1)])
    assert (root.backend.pid, root.frees) == (2, 1)
    assert chains([one(1)]) == ()


def test_hundreds_in_one_queue_are_a_tree_of_hundreds() -> None:
    """Who queues is blocked by all that came before: drawn one below each, they are 2 ** 400."""

    def one(pid: int, *blockers: int) -> Backend:
        waiting = 1000.0 - pid if blockers else None
        return Backend(pid, "a", "d", "", "client backend", "", pid, waiting, "", "", blockers)

    queue = [one(1), *(one(pid, *range(1, pid)) for pid in range(2, 402))]
    (root,) = chains(queue)
    assert (root.frees, len(root.blocked)) == (400, 400)
    # two that block the same two, and these two more: each is drawn out once
    both = [one(1), one(2), *(one(p, 1, 2) for p in (3, 4)), *(one(p, 3, 4) for p in (5, 6))]
    roots = chains(both)
    assert [[n.backend.pid for n in root.blocked] for root in roots] == [[3, 4], [3, 4]]
    assert sorted(len(n.blocked) for root in roots for n in root.blocked) == [0, 0, 2, 2]
    assert {root.frees for root in roots} == {0}
