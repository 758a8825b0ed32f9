"""PostgreSQL's log: followed, and replayed to any moment."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from mngdb import disk
from mngdb.engines.postgres import ENGINE, replication
from mngdb.errors import MngdbError
from mngdb.model import DesiredInstance
from mngdb.ops.context import Context
from mngdb.snapshot import Piece
from mngdb.spec.load import load
from tests.conftest import EVERYTHING, Cli, free_port
from tests.live.postgres import pg, sql, value
from tests.live.scrapes import until
from tests.live.snapshots import Memory, MemoryFeed, taken

pytestmark = pytest.mark.live

FILE = """
name: mng
postgres: {port: PORT1, memory: 64mb}
apps: {shop: {postgres: shop}}
"""
MOMENTS = 100 if EVERYTHING else 20
#: Everything that an app can see of the table: its columns' names, and what is in it.
CONTENT = """
    SELECT md5(coalesce(string_agg(t::text, ',' ORDER BY t::text), '')
               || (SELECT string_agg(attname, ',' ORDER BY attname) FROM pg_attribute
                   WHERE attrelid = 'item'::regclass AND attnum > 0 AND NOT attisdropped))
    FROM item t
"""


def context_of(cli: Cli) -> Context:
    environ = cli.environ()
    return Context.open(load([cli.folder / "mngdb.yaml"], environ), environ)


class Saved(Memory):
    """A snapshot with a log that goes on for a while after the moment."""

    def log(self) -> Iterator[Piece]:
        assert self.feed is not None
        assert self.until is not None
        for piece in self.feed.pieces:
            if piece.end > self.taken.log.position:
                yield piece
                if piece.stamps[-1][1] > self.until + 1:
                    return


class Follower:
    """Follows the stack's server in a thread, again after each error, as the agent does."""

    def __init__(self, cli: Cli) -> None:
        self.feed = MemoryFeed()
        self.errors: list[Exception] = []
        context = context_of(cli)
        instance = context.instance("postgres")
        self.asked = context.asked(instance)
        self._access = context.admin(self.asked)
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        assert ENGINE.follow is not None
        while not self.feed.over:
            try:
                ENGINE.follow(self._access, self.asked, self.feed)
            except (MngdbError, AssertionError) as error:
                self.errors.append(error)
                time.sleep(0.2)

    def __enter__(self) -> Follower:
        self._thread.start()
        until(lambda: self.feed.begun)
        return self

    def __exit__(self, *_: object) -> None:
        self.feed.over = True
        begun = time.monotonic()
        self._thread.join(10)
        assert time.monotonic() - begun < 1.5

    def has(self, cli: Cli) -> None:
        """Wait until it has all that the server has written."""
        found = replication.lsn(value(cli, "SELECT pg_current_wal_flush_lsn()::text"))
        until(lambda: self.feed.stored >= found)


@contextlib.contextmanager
def restored(cli: Cli, saved: Memory, *, up: bool = False) -> Iterator[Any]:
    """A connection into the app's database of a server of what was saved; `up`: after `up`."""
    context = context_of(cli)
    given = context.instance("postgres")
    spec = given.spec.model_copy(update={"port": free_port()})
    instance = replace(given, unit="mng-pg-restored", spec=spec)
    make = context.target(given).disposable
    assert make is not None
    state = context.stack.state / "tests" / "restored"
    for folder in (state.parent, state):
        disk.folder(folder, mode=0o711)
    place: Any = make(instance, state)
    asked: DesiredInstance = replace(
        context.asked(given), instance=instance, site=place.target.site(instance)
    )
    servers = place.target.servers
    servers.expect({"postgres": asked})
    servers.begin()
    for step in servers.repairs({"postgres": asked}):
        step.run(None)
    servers.publish({"postgres": asked})
    child = None
    try:
        place.fill(asked, lambda at, who: ENGINE.lay(asked, saved, at, who))
        if up:
            place.target.converger(asked, lambda _: None).up()
        else:
            unit = ENGINE.render(asked)
            servers.write(unit, asked)
            child = servers.start(unit).process
        with ENGINE.bootstrap(asked, time.monotonic() + 20) as session:
            assert session.rows("SELECT pg_is_in_recovery()") == [(False,)]
            with session.inside("shop") as connection:
                yield connection
    finally:
        with contextlib.suppress(MngdbError):
            servers.kill(instance.unit)
        if child is not None:
            child.wait()
        servers.remove()
        disk.remove(state)


def content(connection: Any) -> str:
    ((found,),) = connection.execute(CONTENT.replace("item", "public.item")).fetchall()
    return str(found)


@pytest.fixture(scope="module")
def stack(module_cli: Cli) -> Cli:
    module_cli.write(FILE)
    module_cli.ok("up")
    sql(module_cli, "CREATE TABLE item (id int PRIMARY KEY, name bytea, price int)", app="shop")
    return module_cli


class Writer(threading.Thread):
    """An app that changes the table all the time, and knows what it held between which moments of
    the server's clock."""

    def __init__(self, cli: Cli, seed: int = 1) -> None:
        super().__init__()
        self.states: list[tuple[float, float, str]] = []
        self.acknowledged: list[int] = []
        self._cli, self._random = cli, random.Random(seed)
        self._over = threading.Event()
        self._next = 0

    def run(self) -> None:
        with pg(self._cli, "shop") as connection:
            clock = "SELECT extract(epoch FROM clock_timestamp())::float8"
            while not self._over.is_set():
                ((after,),) = connection.execute(clock).fetchall()
                found = content(connection)
                ((before,),) = connection.execute(clock).fetchall()
                self.states.append((after, before, found))
                self._change(connection)

    def _change(self, connection: Any) -> None:
        chance = self._random.random()
        some = self._random.randbytes(self._random.choice([1, 20, 3000]))
        self._next += 1
        if chance < 0.6:
            connection.execute("INSERT INTO item VALUES (%s, %s)", (self._next, some))
        elif chance < 0.7:
            with connection.transaction():
                connection.execute("UPDATE item SET price = coalesce(price, 0) + 1")
                connection.execute("DELETE FROM item WHERE id %% 7 = %s", (self._next % 7,))
        elif chance < 0.8:
            with contextlib.suppress(psycopg.errors.DivisionByZero), connection.transaction():
                connection.execute("DELETE FROM item")
                connection.execute("SELECT 1 / 0")
        elif chance < 0.9:
            name = f"c{self._next}"
            connection.execute(f"ALTER TABLE item ADD {name} int DEFAULT {self._next}")
            if self._next % 2:
                connection.execute(f"ALTER TABLE item DROP {name}")
        else:
            connection.execute("DELETE FROM item WHERE id %% 3 = %s", (self._next % 3,))

    def __enter__(self) -> Writer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


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
