"""`slow --since` of PostgreSQL: a real agent keeps the sums, a real server counts on."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from typing import Any

import psycopg
import pytest

from mngdb.facts.slow import Count, Snapshot
from mngdb.ops.history import NEWEST, History
from mngdb.ops.slow import slow as look
from tests.checks.judge import opened
from tests.conftest import Cli
from tests.live.scrapes import PORTS, gone, pid_of, until

pytestmark = [pytest.mark.live, pytest.mark.postgres]
_AGENT = ", ".join(f"{engine}: PORT{n}" for engine, n in PORTS.items())
FILE = f"""
postgres: {{port: PORT1, memory: 64mb}}
apps: {{shop: {{postgres: shop}}}}
agent: {{statements: 1s, restart: false, ports: {{{_AGENT}}}}}
"""


@pytest.fixture(scope="module")
def stack(module_cli: Cli) -> Cli:
    module_cli.write(FILE)
    module_cli.ok("up")
    return module_cli


def work(cli: Cli, *statements: str) -> None:
    """Run each as the app."""
    with psycopg.connect(cli.env_of("shop")["POSTGRES_URL"], autocommit=True) as pg:
        for one in statements:
            pg.execute(one)


def history(cli: Cli) -> History:
    return History(cli.state / "agent")


def kept(cli: Cli) -> int:
    with sqlite3.connect(history(cli).file) as db:
        return int(db.execute("SELECT count(*) FROM snapshot").fetchone()[0])


def until_kept(cli: Cli, more: int = 2) -> None:
    """Wait for a snapshot that was begun after now."""
    wanted = kept(cli) + more if history(cli).file.exists() else 1
    end = time.monotonic() + 60
    while not history(cli).file.exists() or kept(cli) < wanted:
        assert time.monotonic() < end, cli.ok("logs", "agent")
        time.sleep(0.05)


def slow(
    cli: Cli, since: float | None = None, begun: float | None = None
) -> tuple[dict[str, dict[str, Any]], str]:
    """Text to statement, and the note; without a process, which may take long to start. `begun`:
    since a moment of time.monotonic()."""
    if begun is not None:
        since = time.monotonic() - begun
    ranked = look(opened(cli), "postgres", 500, since)
    assert ranked.errors == {}
    return {one.text: one.as_json() for _, one in ranked.statements}, ranked.notes["postgres"]


def test_the_difference_to_the_snapshot_before_is_shown(stack: Cli) -> None:
    work(stack, "CREATE TABLE part (id int)", *["SELECT sin(17)"] * 5, *["SELECT cos(1)"] * 3)
    until_kept(stack)
    begun = time.monotonic()
    time.sleep(2)
    work(stack, *["SELECT cos(1)"] * 4, *["SELECT tan(1)"] * 2)
    found, note = slow(stack, begun=begun)
    assert "SELECT sin($1)" not in found, note
    assert found["SELECT cos($1)"]["calls"] == 4
    assert found["SELECT cos($1)"]["max_ms"] is None
    assert found["SELECT tan($1)"]["calls"] == 2
    assert found["SELECT tan($1)"]["max_ms"] > 0
    assert note.startswith("since ")
    whole, _ = slow(stack)
    assert whole["SELECT cos($1)"]["calls"] == 7
    assert whole["SELECT sin($1)"]["calls"] == 5
    for one in (*found.values(), *whole.values()):
        assert one["mean_ms"] == pytest.approx(one["total_ms"] / one["calls"], abs=0.002)


def test_before_the_first_snapshot_the_note_says_since_when(stack: Cli) -> None:
    work(stack, "SELECT exp(1)")
    with psycopg.connect(stack.ok("url", "postgres").strip()) as admin:
        row = admin.execute("SELECT stats_reset FROM pg_stat_statements_info").fetchone()
    assert row is not None
    found, note = slow(stack, 86_400)
    assert "SELECT exp($1)" in found
    # the sums began less than a day ago: they are all of it
    assert f"{row[0]:%H:%M:%S} UTC, when the server's statistics were reset" in note


def test_without_a_snapshot_of_then_it_says_so_and_takes_all(stack: Cli, cli: Cli) -> None:
    with psycopg.connect(stack.ok("url", "postgres").strip()) as admin:
        row = admin.execute("SELECT extract(epoch FROM now() - stats_reset)::int + 0 "
                            "FROM pg_stat_statements_info").fetchone()  # fmt: skip
    assert row is not None
    text = (stack.folder / "mngdb.yaml").read_text().partition("agent:")[0]
    cli.write(
        "name: other\ninstances:\n  far: {engine: postgres, target: {external: {url: "
        f'"postgresql://postgres@127.0.0.1:{stack.port(1)}/postgres"}}}}}}\n'
    )
    assert "agent" not in text
    secret = (stack.state / "secrets/postgres_admin").read_text()
    cli.ok("secret", "set", "far_admin", stdin=secret)
    time.sleep(max(0.0, 2.0 - row[0]))
    done = cli.json("slow", "--since", "1s")
    assert "not since" in done["notes"]["far"]
    assert "no agent has recorded" in done["notes"]["far"]
    assert done["statements"]


def test_a_reset_between_begins_anew(stack: Cli) -> None:
    work(stack, *["SELECT sqrt(1)"] * 9)
    until_kept(stack)
    begun = time.monotonic()
    with psycopg.connect(stack.ok("url", "postgres").strip(), autocommit=True) as admin:
        # one statement alone does not move the reset of them all
        admin.execute(
            "SELECT pg_stat_statements_reset(0, 0, queryid) FROM pg_stat_statements "
            "WHERE query = 'SELECT sqrt($1)'"
        )
    work(stack, *["SELECT sqrt(1)"] * 2)
    found, note = slow(stack, begun=begun)
    assert found["SELECT sqrt($1)"]["calls"] == 2
    assert "were reset" not in note
    with psycopg.connect(stack.ok("url", "postgres").strip(), autocommit=True) as admin:
        admin.execute("SELECT pg_stat_statements_reset()")
    work(stack, *["SELECT sqrt(1)"] * 2)
    found, note = slow(stack, 3600)
    assert found["SELECT sqrt($1)"]["calls"] == 2
    assert "when the server's statistics were reset" in note


def test_a_clean_restart_counts_on_and_a_crash_begins_anew(stack: Cli) -> None:
    work(stack, *["SELECT cbrt(1)"] * 6)
    until_kept(stack)
    begun = time.monotonic()
    stack.ok("down")
    stack.ok("up")
    time.sleep(1)
    work(stack, *["SELECT cbrt(1)"] * 3)
    found, note = slow(stack, begun=begun)
    assert found["SELECT cbrt($1)"]["calls"] == 3, note
    assert "were reset" not in note
    pid = pid_of(stack, "mng-pg")
    os.kill(pid, signal.SIGKILL)
    until(lambda: gone(pid))
    stack.ok("up")
    work(stack, *["SELECT cbrt(1)"] * 2)
    found, note = slow(stack, 3600)
    assert found["SELECT cbrt($1)"]["calls"] == 2
    assert "were reset" in note


def test_no_value_is_shown_or_kept(stack: Cli) -> None:
    work(
        stack,
        "CREATE TABLE IF NOT EXISTS lot (a text DEFAULT 'geheim-1', \"it's\" text)",
        "COMMENT ON COLUMN lot.\"it's\" IS 'geheim-2'",
        "SET application_name = E'it\\'s geheim-3'",
        "DO $x$ BEGIN PERFORM 'geheim-4'; END $x$",
        "SELECT 'geheim-5' || 'x' -- it's a comment",
    )
    until_kept(stack)
    shown = stack.ok("slow", "postgres", "--json", "--most", "500")
    assert "COMMENT ON COLUMN" in shown
    assert "geheim" not in shown
    assert b"geheim" not in history(stack).file.read_bytes()
    assert history(stack).file.stat().st_mode & 0o777 == 0o600


def test_a_server_that_is_down_is_told_once(stack: Cli) -> None:
    os.kill(pid_of(stack, "mng-pg"), signal.SIGSTOP)
    try:
        before = kept(stack)
        time.sleep(2.5)
        assert kept(stack) <= before + 1
    finally:
        os.kill(pid_of(stack, "mng-pg"), signal.SIGCONT)
    until_kept(stack)
    assert "Traceback" not in stack.ok("logs", "agent")


def test_a_damaged_file_is_said(stack: Cli) -> None:
    agent = pid_of(stack, "mng-agent")
    os.kill(agent, signal.SIGTERM)
    until(lambda: gone(agent))
    file = history(stack).file
    with psycopg.connect(stack.ok("url", "postgres").strip()) as admin:
        admin.execute("SELECT pg_sleep(2)")
    file.write_bytes(b"not a database at all" * 500)
    done = stack.run("--json", "slow", "--since", "1s")
    assert done.returncode == 3
    assert "statements.db cannot be used" in json.loads(done.stdout)["errors"]["postgres"]


def test_snapshots_are_bounded(cli: Cli) -> None:
    """Kept by the second, as an agent would for eight days."""
    found = History(cli.folder)
    count = Count(1, 2, -3, True, 4, 5.5, 6, 7)
    for hour in range(8 * 24):
        found.keep("a", Snapshot(hour * 3600.0, 1.0, 0, (count,)))
    for second in range(NEWEST + 20):
        found.keep("a", Snapshot(8 * 86_400 + second, 1.0, 0, (count,)))
    found.keep("b", Snapshot(8 * 86_400, 1.0, 0, (count,)))
    with sqlite3.connect(found.file) as db:
        ((snapshots, counts),) = db.execute(
            "SELECT (SELECT count(*) FROM snapshot WHERE instance = 'a'), count(*) FROM count"
        ).fetchall()
    assert NEWEST + 7 * 24 - 2 <= snapshots <= NEWEST + 7 * 24 + 2
    assert counts == snapshots + 1
    before, _ = found.before("a", 8 * 86_400 - 1)
    assert before == Snapshot(8 * 86_400 - 3600, 1.0, 0, (count,))
    nothing, why = found.before("a", 86_400.0)
    assert nothing is None
    assert "since 1970-01-0" in why
