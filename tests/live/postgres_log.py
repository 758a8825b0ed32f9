"""Helpers for PostgreSQL's log: who follows it, an app that writes, and a server restored by it."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
from msgspec.structs import replace

from mngdb import disk
from mngdb.engines.postgres import ENGINE, replication
from mngdb.errors import MngdbError
from mngdb.model import DesiredInstance
from mngdb.ops.context import Context
from mngdb.spec.load import load
from tests.conftest import Cli, free_port
from tests.live.postgres import pg, value
from tests.live.scrapes import until
from tests.live.snapshots import Memory, MemoryFeed, taken

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

    beyond = 1.0


class Follower:
    """Follows the stack's server in a thread, again after each error, as the agent does."""

    def __init__(self, cli: Cli, feed: MemoryFeed | None = None) -> None:
        self.feed = feed or MemoryFeed()
        self.feed.over = False
        self.errors: list[Exception] = []
        context = context_of(cli)
        instance = context.instance("postgres")
        self.asked = context.asked(instance)
        self.access = context.admin(self.asked)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        assert ENGINE.follow is not None
        while not self.feed.over:
            try:
                ENGINE.follow(self.access, self.asked, self.feed)
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
def restored(cli: Cli, saved: Memory, *, up: bool = False, database: str = "shop") -> Iterator[Any]:
    """A connection into a database of a server of what was saved; `up`: after `up`."""
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
    try:
        place.fill(asked, lambda at, who: ENGINE.lay(asked, saved, at, who))
        if up:
            place.target.converger(asked, lambda _: None).up()
        else:
            unit = ENGINE.render(asked)
            servers.write(unit, asked)
            servers.start(unit)
        with ENGINE.bootstrap(asked, time.monotonic() + 20) as session:
            assert session.rows("SELECT pg_is_in_recovery()") == [(False,)]
            with session.inside(database) as connection:
                yield connection
    finally:
        with contextlib.suppress(MngdbError):
            servers.kill(instance.unit)
        servers.remove()
        disk.remove(state)


def started(cli: Cli) -> None:
    """The stack's server runs again, and nothing else was done."""
    context = context_of(cli)
    instance = context.instance("postgres")
    asked = context.asked(instance)
    servers: Any = context.target(instance)
    servers.servers.start(ENGINE.render(asked))
    with ENGINE.bootstrap(asked, time.monotonic() + 20):
        pass


def content(connection: Any) -> str:
    ((found,),) = connection.execute(CONTENT.replace("item", "public.item")).fetchall()
    return str(found)


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


def saved_by(cli: Cli, follower: Follower) -> Any:
    """A snapshot that the follower's log leads on from."""
    found: Any = taken(cli, "postgres", Saved())
    found.feed = follower.feed
    return found


def clock(cli: Cli) -> float:
    return float(value(cli, "SELECT extract(epoch FROM clock_timestamp())::float8"))


def gapless(feed: MemoryFeed) -> bool:
    """Whether each piece begins where the one before ended, and holds as many bytes as it says."""
    return all(
        one.end - one.begin == len(one.data)
        for one in feed.pieces
        if one.begin not in {point.position for point in feed.begun}
    ) and all(
        after.begin == before.end
        for before, after in zip(feed.pieces, feed.pieces[1:], strict=False)
    )
