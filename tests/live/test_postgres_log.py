"""PostgreSQL's log: followed, and replayed to any moment."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import psutil
import psycopg
import pytest

from mngdb.engines.postgres import ENGINE, render, replication, slots
from mngdb.errors import ConnectError, MngdbError
from mngdb.snapshot import Piece
from tests.conftest import EVERYTHING, Cli
from tests.live import faults
from tests.live.postgres import pg, sql, value
from tests.live.postgres_log import (
    Follower,
    Saved,
    Writer,
    clock,
    content,
    gapless,
    restored,
    saved_by,
    started,
)
from tests.live.scrapes import until
from tests.live.snapshots import MemoryFeed, taken

pytestmark = [
    pytest.mark.live,
    # servers that this process starts are the targets' own: they are found by their pids
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),
]

FILE = """
name: mng
postgres: {port: PORT1, memory: 64mb, settings: {max_prepared_transactions: 4}}
apps: {shop: {postgres: shop}}
"""
MOMENTS = 100 if EVERYTHING else 6


@pytest.fixture(scope="module")
def stack(module_cli: Cli) -> Cli:
    module_cli.write(FILE)
    module_cli.ok("up")
    sql(module_cli, "CREATE TABLE item (id int PRIMARY KEY, name bytea, price int)", app="shop")
    return module_cli


def test_a_database_is_whole_a_moment_before_it_is_dropped(stack: Cli) -> None:
    """Its files go before the transaction commits, which is where PostgreSQL would stop."""
    sql(stack, "CREATE DATABASE lost")
    sql(stack, "CREATE TABLE kept AS SELECT 7 AS things", database="lost")
    with Follower(stack) as follower:
        saved: Any = taken(stack, "postgres", Saved())
        sql(stack, "SELECT pg_switch_wal()")
        before = clock(stack)
        sql(stack, "DROP DATABASE lost WITH (FORCE)")
        dropped = clock(stack)
        time.sleep(0.5)
        follower.has(stack)
    saved.feed = follower.feed
    saved.until = before
    with restored(stack, saved, database="lost") as connection:
        assert connection.execute("SELECT things FROM public.kept").fetchall() == [(7,)]
    saved.until = dropped
    with restored(stack, saved) as connection:
        gone = "SELECT count(*) FROM pg_database WHERE datname = 'lost'"
        assert connection.execute(gone).fetchall() == [(0,)]


def test_every_moment_is_as_it_was(stack: Cli) -> None:
    with Follower(stack) as follower, Writer(stack) as writer:
        time.sleep(0.5)
        saved: Any = taken(stack, "postgres", Saved())
        time.sleep(4)
        follower.has(stack)
    saved.feed = follower.feed
    assert follower.errors == []
    states = [one for one in writer.states if one[0] > saved.taken.moment]
    assert len(states) > 100
    chance = random.Random(7)
    for number in range(MOMENTS):
        after, before, expected = chance.choice(states)
        saved.until = chance.choice([after, before, (after + before) / 2])
        with restored(stack, saved) as connection:
            assert content(connection) == expected, (number, saved.until, after, before)


@pytest.fixture
def archive(stack: Cli) -> Iterator[Follower]:
    with Follower(stack) as follower:
        yield follower


def test_an_accident_is_undone_and_nothing_of_it_stays(stack: Cli, archive: Follower) -> None:
    saved = saved_by(stack, archive)
    sql(stack, "CREATE TABLE precious AS SELECT 1 AS id", "CREATE SCHEMA kept", app="shop")
    sql(stack, "CREATE DATABASE later")
    before = clock(stack)
    sql(stack, "DROP TABLE precious CASCADE", "DROP SCHEMA kept", app="shop")
    sql(stack, "DROP DATABASE later")
    archive.has(stack)
    saved.until = before
    with restored(stack, saved, up=True) as connection:
        assert connection.execute("SELECT id FROM public.precious").fetchall() == [(1,)]
        assert connection.execute("SELECT FROM pg_database WHERE datname = 'later'").fetchall()
        changed = connection.execute(
            "SELECT name FROM pg_settings WHERE source <> 'default' AND "
            "(name LIKE 'recovery%' OR name = 'restore_command') AND setting <> boot_val"
        )
        assert changed.fetchall() == []
        assert connection.execute("SELECT FROM pg_replication_slots").fetchall() == []
        # its log is another branch: another copy's of the same number is told from it
        with_session: Any = Reading(connection)
        (number,) = connection.execute("SELECT timeline_id FROM pg_control_checkpoint()").fetchone()
        mine = replication.branch(with_session, saved.taken.source, str(number))
        assert number == 2
        assert mine.startswith(f"{saved.taken.source}-2-")
        assert replication.timeline(mine) == 2


class Reading:
    """Just enough of a session."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def rows(self, query: str, *values: object) -> list[Any]:
        found: list[Any] = self._connection.execute(query, values or None).fetchall()
        return found


def test_a_moment_after_the_last_write_has_all_of_it(stack: Cli, archive: Follower) -> None:
    saved = saved_by(stack, archive)
    sql(stack, "CREATE TABLE last AS SELECT 1 AS id", app="shop")
    with pg(stack, "shop") as connection:
        connection.execute("BEGIN")
        connection.execute("INSERT INTO last VALUES (2)")
        connection.execute("PREPARE TRANSACTION 'second'")
    sql(stack, "SELECT pg_switch_wal()")
    archive.has(stack)
    saved.until = clock(stack)
    with restored(stack, saved) as connection:
        assert connection.execute("SELECT id FROM public.last").fetchall() == [(1,)]
        connection.execute("SET search_path = public")
        connection.execute("COMMIT PREPARED 'second'")
        assert connection.execute("SELECT count(*) FROM last").fetchall() == [(2,)]
    sql(stack, "ROLLBACK PREPARED 'second'", "DROP TABLE last", app="shop")


def test_a_log_whose_times_nobody_knows_is_not_replayed_too_far(
    stack: Cli, archive: Follower
) -> None:
    """What was read after an outage may be newer than what it is said to be; all of it is taken
    where nobody asks for a moment."""
    saved = saved_by(stack, archive)
    sql(stack, "CREATE TABLE unsure AS SELECT 1 AS id", app="shop")
    saved.until = clock(stack)
    sql(stack, "INSERT INTO unsure VALUES (2)", app="shop")
    archive.has(stack)
    feed = MemoryFeed()
    feed.pieces = [
        Piece(one.begin, one.end, one.data, ((len(one.data), 1.0),)) for one in archive.feed.pieces
    ]
    saved.feed = feed
    with restored(stack, saved) as connection:
        assert connection.execute("SELECT id FROM public.unsure").fetchall() == [(1,)]
    saved.stop = feed.pieces[-1].end
    with restored(stack, saved) as connection:
        assert connection.execute("SELECT id FROM public.unsure").fetchall() == [(1,), (2,)]
    sql(stack, "DROP TABLE unsure", app="shop")


def test_a_damaged_log_is_an_error_and_no_shorter_recovery(stack: Cli, archive: Follower) -> None:
    saved = saved_by(stack, archive)
    for number in range(3):
        sql(stack, f"CREATE TABLE t{number} AS SELECT md5(g::text) FROM generate_series(1, 999) g")
    archive.has(stack)
    saved.until = clock(stack)
    whole = [one for one in archive.feed.pieces if one.end > saved.taken.log.position]
    feed = MemoryFeed()
    saved.feed = feed

    # not the end of the segment that the snapshot closed: nothing is there
    victim = max(whole, key=lambda one: len(one.data) - one.data.count(0))
    data = bytearray(victim.data)
    data[len(data) // 2] ^= 1
    damaged = Piece(victim.begin, victim.end, bytes(data), victim.stamps)
    feed.pieces = [damaged if one is victim else one for one in whole]
    with pytest.raises(MngdbError, match="damaged"), restored(stack, saved):
        pass

    feed.pieces = [one for one in whole if one is not victim]
    with pytest.raises(MngdbError, match="gap"), restored(stack, saved):
        pass

    # the server was killed in the middle of a record: all before is there
    last = whole[-1]
    cut = len(last.data) - 9
    feed.pieces = [*whole[:-1], Piece(last.begin, last.begin + cut, last.data[:cut], last.stamps)]
    with restored(stack, saved) as connection:
        assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_nothing_is_lost_or_doubled_when_both_are_killed(stack: Cli) -> None:
    numbers: list[int] = []

    def write(seconds: float) -> None:
        end = time.monotonic() + seconds
        with contextlib.suppress(psycopg.OperationalError), pg(stack, "shop") as connection:
            while time.monotonic() < end:
                number = len(numbers)
                connection.execute("INSERT INTO counted VALUES (%s)", (number,))
                numbers.append(number)

    sql(stack, "CREATE TABLE counted (id int)", app="shop")
    with Follower(stack) as follower:
        saved = saved_by(stack, follower)
        branch = follower.feed.begun[0].branch
        for _ in range(2):
            writing = threading.Thread(target=write, args=(3,), daemon=True)
            writing.start()
            time.sleep(0.7)
            # the connection that streams breaks, then the server dies
            sql(stack, "SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
            time.sleep(0.5)
            faults.kill(stack, "mng-pg")
            writing.join()
            started(stack)
        write(0.3)
        follower.has(stack)
    feed = follower.feed
    assert len(feed.begun) >= 4, follower.errors
    assert {point.branch for point in feed.begun} == {branch}
    assert gapless(feed)
    assert len(follower.errors) >= 4
    saved.until = clock(stack)
    with restored(stack, saved) as connection:
        found = [one for (one,) in connection.execute("SELECT id FROM public.counted ORDER BY 1")]
    # one that the server had no time to answer may be there
    assert set(numbers) <= set(found)
    assert len(found) == len(set(found))


def slot(cli: Cli) -> list[Any]:
    return sql(cli, "SELECT slot_name, active, wal_status FROM pg_replication_slots")


def test_the_slot_goes_when_the_log_is_no_longer_archived(stack: Cli) -> None:
    with Follower(stack):
        until(lambda: slot(stack) == [("mngdb_mng__postgres", True, "reserved")])
    (step,) = stack.json("plan")["steps"]
    assert (step["action"], step["object"]) == ("drop", "replication slot mngdb_mng__postgres")
    stack.ok("up")
    assert slot(stack) == []
    assert stack.json("plan")["steps"] == []


def test_a_slot_that_was_lost_is_a_gap_and_no_end(stack: Cli) -> None:
    with Follower(stack) as follower:
        with ENGINE.connect(follower.access, 10) as session:
            slots.drop(session, render.slot(follower.asked))  # while it is read from
        until(lambda: len(follower.feed.begun) == 2)
    # the store was away for so long that the server let go of its WAL
    sql(stack, "ALTER SYSTEM SET max_slot_wal_keep_size = '16MB'", "SELECT pg_reload_conf()")
    more = ("CREATE TABLE more ()", "DROP TABLE more", "SELECT pg_switch_wal()", "CHECKPOINT")
    for _ in range(8):
        sql(stack, *more)
    assert slot(stack)[0][2] == "lost"
    sql(stack, "ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()")
    end = replication.lsn(value(stack, "SELECT pg_current_wal_flush_lsn()::text"))
    with Follower(stack, follower.feed) as again:
        until(lambda: len(again.feed.begun) == 3)
        assert again.feed.begun[2].position >= end
        assert slot(stack)[0][2] == "reserved"
        sql(stack, "CREATE TABLE after ()")
        again.has(stack)
    assert again.errors == []


def test_an_archive_that_was_put_back_is_a_gap_and_no_end(stack: Cli) -> None:
    """It ends before what the server's slot still keeps."""
    older = MemoryFeed()
    with Follower(stack) as follower:
        follower.has(stack)
        older.begun, older.pieces = follower.feed.begun[:], follower.feed.pieces[:]
        for _ in range(3):
            sql(stack, "CREATE TABLE newer ()", "DROP TABLE newer", "SELECT pg_switch_wal()")
            follower.has(stack)
            until(lambda: restart(stack) >= follower.feed.stored)
            sql(stack, "CHECKPOINT")
    end = older.stored
    with Follower(stack, older):
        until(lambda: len(older.begun) > 1 and older.begun[-1].position > end)
        sql(stack, "CREATE TABLE newest ()", "DROP TABLE newest")
        until(lambda: slot(stack) == [("mngdb_mng__postgres", True, "reserved")])
        until(lambda: older.pieces[-1].begin > end)


def test_a_server_that_was_put_back_is_a_gap_and_no_position_is_of_two_histories(
    stack: Cli,
) -> None:
    """The archive has more of the server's log than the server itself."""
    ahead = MemoryFeed()
    with Follower(stack) as follower:
        follower.has(stack)
        ahead.begun, last = follower.feed.begun[:], follower.feed.stored
    end = last + (40 << 20)
    ahead.pieces.append(Piece(last, end, b"", ((0, time.time()),)))
    with Follower(stack, ahead) as follower:
        until(lambda: ahead.begun[-1].position > end)
        sql(stack, "CREATE TABLE newest ()", "DROP TABLE newest")
        until(lambda: ahead.stored > ahead.begun[-1].position)
    assert ahead.other
    assert any("older state" in str(error) for error in follower.errors), follower.errors


def restart(cli: Cli) -> int:
    """From where on the slot keeps WAL."""
    return replication.lsn(value(cli, "SELECT restart_lsn::text FROM pg_replication_slots"))


class Away(MemoryFeed):
    """A store that takes nothing."""

    @property
    def stored(self) -> int:
        return self.begun[-1].position


@pytest.mark.parametrize(("feed", "seconds"), [(MemoryFeed, 2.0), (Away, 10.0)])
def test_a_server_that_stops_is_not_kept_by_the_store(
    stack: Cli, feed: type[MemoryFeed], seconds: float
) -> None:
    with Follower(stack, feed()) as follower:
        sql(stack, f"CREATE TABLE IF NOT EXISTS {feed.__name__} ()")
        until(lambda: follower.feed.pieces)
        process = psutil.Process(faults.pid(stack, "mng-pg"))
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.wait(30)
        assert time.monotonic() - begun < seconds
        assert follower.feed.hurry or feed is MemoryFeed
        started(stack)


def test_a_server_that_is_idle_is_heard_of_all_the_time(stack: Cli, archive: Follower) -> None:
    begun, used = time.time(), psutil.Process().cpu_times()
    time.sleep(3)
    now = psutil.Process().cpu_times()
    assert archive.feed.beats[-1] > begun + 0.5
    assert archive.feed.beats == sorted(archive.feed.beats)
    assert now.user + now.system - used.user - used.system < 0.15


def test_a_login_without_the_right_is_told_what_it_lacks(stack: Cli, archive: Follower) -> None:
    weak = ENGINE.login(archive.asked, archive.access, "shop")
    assert ENGINE.follow is not None
    with pytest.raises(ConnectError, match="replication") as caught:
        ENGINE.follow(weak, archive.asked, MemoryFeed())
    assert "host replication shop" in str(caught.value.hint)
    hba = faults.servers(stack) / "mng-pg/conf/pg_hba.conf"
    before = hba.read_text()
    hba.write_text(before + "host replication shop samehost scram-sha-256\n")
    sql(stack, "SELECT pg_reload_conf()")
    try:
        until(lambda: lacking(weak, archive) != caught.value.hint)
        assert "ALTER ROLE shop REPLICATION" in lacking(weak, archive)
    finally:
        hba.write_text(before)
        sql(stack, "SELECT pg_reload_conf()")


def lacking(access: Any, archive: Follower) -> str:
    """What a login is told to have done."""
    assert ENGINE.follow is not None
    with pytest.raises(ConnectError) as caught:
        ENGINE.follow(access, archive.asked, MemoryFeed())
    return str(caught.value.hint)
