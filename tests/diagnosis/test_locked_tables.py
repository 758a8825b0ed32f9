"""A lock that an app holds costs what is told of its own database, by name, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.checks.mongods import until
from tests.conftest import Cli
from tests.live.clients import brought_up

pytestmark = [pytest.mark.live, pytest.mark.postgres]

FILE = """
postgres: {port: PORT1}
apps: {ea: {postgres: ea}, eb: {postgres: eb}}
"""
ROWS = 20_000
stack = brought_up(FILE)


@pytest.fixture(scope="module")
def holder(stack: Cli) -> Iterator[psycopg.Connection]:
    """A session of the app ea; in both databases the same indexes are superfluous."""
    for app in ("ea", "eb"):
        with psycopg.connect(stack.env_of(app)["POSTGRES_URL"], autocommit=True) as pg:
            pg.execute("CREATE TABLE item (n int)")
            pg.execute(f"INSERT INTO item SELECT generate_series(1, {ROWS})")
            for name in ("one", "two"):
                pg.execute(f"CREATE INDEX {name} ON item (n) WHERE n > 0")
            pg.execute("CREATE TABLE log (at int) PARTITION BY RANGE (at)")
            pg.execute("CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (0) TO (9)")
            pg.execute("CREATE INDEX log_at ON log (at)")
            pg.execute("ANALYZE")
            for number in range(3):
                pg.execute("SELECT * FROM item WHERE n %% 7 = %s", [number])
    with psycopg.connect(stack.env_of("ea")["POSTGRES_URL"]) as pg:
        yield pg


def advised(stack: Cli) -> tuple[list[tuple[str, str]], str]:
    """Database and kind of each advice, and the note."""
    found = stack.json("indexes")
    (one,) = found["instances"]
    advice = sorted((a["database"], a["kind"]) for a in one["indexes"] if a["kind"] == "duplicate")
    return advice, found["notes"].get("postgres", "")


def test_indexes_leave_out_a_locked_table_and_name_its_database(
    stack: Cli, holder: psycopg.Connection
) -> None:
    assert advised(stack) == ([("ea", "duplicate"), ("eb", "duplicate")], "")
    holder.execute("LOCK TABLE item IN ACCESS EXCLUSIVE MODE")
    try:
        duplicate, note = advised(stack)
        assert duplicate == [("eb", "duplicate")]
        assert "ea: a locked table is left out, see 'mngdb locks'" in note
        for command in ("bloat", "slow", "locks", "sessions", "connections", "memory"):
            stack.ok(command)
    finally:
        holder.rollback()


def test_who_waits_for_such_a_lock_locks_others_out_as_well(
    stack: Cli, holder: psycopg.Connection
) -> None:
    holder.execute("LOCK TABLE item IN ACCESS SHARE MODE")
    with psycopg.connect(stack.env_of("ea")["POSTGRES_URL"]) as waiter:
        waiter.pgconn.send_query(b"BEGIN; LOCK TABLE item IN ACCESS EXCLUSIVE MODE")
        try:
            until(
                lambda: bool(holder.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone())
            )
            duplicate, note = advised(stack)
            assert duplicate == [("eb", "duplicate")]
            assert "ea: a locked table is left out" in note
            assert "ea: a locked table is left out" in stack.json("bloat")["notes"]["postgres"]
        finally:
            holder.rollback()
            while waiter.pgconn.get_result():
                pass


def test_a_lock_that_is_met_all_the_same_costs_that_database_alone(
    stack: Cli, holder: psycopg.Connection
) -> None:
    # asked for by the name of the index that it is a part of
    holder.execute("REINDEX INDEX log_1_at_idx")
    try:
        duplicate, note = advised(stack)
        assert duplicate == [("eb", "duplicate")]
        assert "ea was skipped: PostgreSQL did not answer: canceling statement" in note
        assert "'mngdb locks' shows which" in note
    finally:
        holder.rollback()
