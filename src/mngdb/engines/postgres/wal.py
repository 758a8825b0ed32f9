"""The write-ahead log as the server writes it, over the replication protocol.

A slot of our own has the server keep what the store does not have yet, up to
`max_slot_wal_keep_size`: beyond that it drops the slot's WAL rather than fill its disk, which
leaves a gap.
https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-START-REPLICATION
"""

from __future__ import annotations

import contextlib
import os
import selectors
import struct
import time
from collections.abc import Iterator

import psycopg
from psycopg import pq

from mngdb.engines.postgres import client, render, replication
from mngdb.engines.postgres.causes import first_line
from mngdb.errors import ConnectError, StepError
from mngdb.model import Access, DesiredInstance
from mngdb.snapshot import Feed, Point

#: Seconds that a login, and an answer, may take; afterwards the connection is given up.
_TIMEOUT = 30.0
#: Seconds between two of our reports, each of which the server answers: so long its clock stands.
_REPORT = 1.0
#: Seconds between two looks at the feed while nothing comes.
_LOOK = 0.25
#: Seconds that a reader of before, whose connection just broke, may hold the slot.
_HELD = 5.0
#: Seconds between two answers to a server that asks again and again, as it does when it stops and
#: the store does not have everything yet; and how long it is kept from stopping for that.
_AGAIN, _PATIENCE = 0.05, 5.0
#: The server's clock counts microseconds since 2000.
_EPOCH = 946_684_800
#: SQLSTATE: somebody else reads from the slot; a segment is not there any more.
_IN_USE, _REMOVED = "55006", "58P01"
#: Where the log ends, and what ends the segment of 16 MB that is written.
_FLUSHED = "SELECT pg_current_wal_flush_lsn()::text"
_FURTHER = "SELECT pg_logical_emit_message(false, 'mngdb', ''), pg_switch_wal()"
_DATA = struct.Struct("!cqqq")
_ALIVE = struct.Struct("!cqq?")
_STATUS = struct.Struct("!cqqqq?")


def follow(access: Access, asked: DesiredInstance, feed: Feed) -> None:
    """Write WAL to the feed until that is over. Raises ConnectError, StepError."""
    name = render.slot(asked)
    with client.connect(access, _TIMEOUT) as session:
        ((clock,),) = session.rows("SELECT extract(epoch FROM clock_timestamp())::float8")
        # its name is what commits wait for, where the file asks for that
        with client.replication(access, _TIMEOUT, name) as wire, _lost():
            ((system, number, flushed, _),) = replication.rows(wire, "IDENTIFY_SYSTEM", _TIMEOUT)
            branch = replication.branch(session, system, number)
            archived, reached = feed.resume(branch), replication.lsn(flushed)
            kept = _kept(wire, name)
            if archived is not None and reached < archived:
                feed.diverged()
                raise _passed(session, wire, name, archived)
            session.main.close()
            resumed = archived if kept else None
            begin = reached if resumed is None else resumed
            try:
                _start(wire, name, begin, number)
                feed.begin(Point(branch, begin))
                moment = clock if resumed is None else 0.0
                awaited = asked.instance.recovery_point != "stream"
                _Follower(wire, feed, begin, moment, awaited=awaited).run()
            except replication.RefusedError as error:
                if error.code != _REMOVED:
                    raise
                raise _let_go(wire, name, begin) from None


@contextlib.contextmanager
def _lost() -> Iterator[None]:
    try:
        yield
    except psycopg.OperationalError as error:
        text = f"PostgreSQL closed the connection: {first_line(error)}"
        raise ConnectError(text, None, "down") from None


def _kept(wire: pq.abc.PGconn, name: str) -> bool:
    """Whether the slot has kept what was written since it was read last. It is made where it is
    missing, and made anew where the server dropped its WAL."""
    ((kind, position, _),) = replication.rows(wire, f"READ_REPLICATION_SLOT {name}", _TIMEOUT)
    if kind and position:
        return True
    if kind:
        replication.rows(wire, f"DROP_REPLICATION_SLOT {name}", _TIMEOUT)
    replication.rows(wire, f"CREATE_REPLICATION_SLOT {name} PHYSICAL RESERVE_WAL", _TIMEOUT)
    return False


def _passed(session: client.Session, wire: pq.abc.PGconn, name: str, archived: int) -> StepError:
    """Bring the log of a server that was put back to an older state beyond the end of the archive:
    what it writes from now on is another history, and no position may be of both."""
    replication.rows(wire, f"DROP_REPLICATION_SLOT {name}", _TIMEOUT)  # it would keep all of that
    session.main.patience = _TIMEOUT
    while replication.lsn(session.rows(_FLUSHED)[0][0]) <= archived:
        session.rows(_FURTHER)
    where = replication.text(archived)
    return StepError(
        f"an older state of PostgreSQL was put back, and its log is archived to {where}: a gap is "
        "left"
    )


def _let_go(wire: pq.abc.PGconn, name: str, begin: int) -> StepError:
    """Have the next attempt begin anew: the server has no WAL from there any more. The store was
    away for too long, or an older state of it was put back."""
    replication.drain(wire, _TIMEOUT)
    replication.rows(wire, f"DROP_REPLICATION_SLOT {name}", _TIMEOUT)
    where = replication.text(begin)
    return StepError(
        f"PostgreSQL has no WAL from {where} on, where the archive ends: a gap is left"
    )


def _start(wire: pq.abc.PGconn, name: str, begin: int, timeline: str) -> None:
    where = f"{replication.text(begin)} TIMELINE {timeline}"
    deadline = time.monotonic() + _HELD
    while True:
        wire.send_query(f"START_REPLICATION SLOT {name} PHYSICAL {where}".encode())
        try:
            found = replication.result(wire, _TIMEOUT)
        except replication.RefusedError as error:
            if error.code != _IN_USE or time.monotonic() > deadline:
                raise
            replication.drain(wire, _TIMEOUT)
            time.sleep(_LOOK)
            continue
        if found is None or found.status != pq.ExecStatus.COPY_BOTH:
            raise StepError("PostgreSQL sent no WAL")
        return


class _Follower:
    """Reads one stream. `position`: from where on; `moment`: by the server's clock, when its log
    went no further than that; 0: nobody knows; `awaited`: whether commits wait for the store."""

    def __init__(
        self, wire: pq.abc.PGconn, feed: Feed, position: int, moment: float, *, awaited: bool
    ) -> None:
        self._wire = wire
        self._feed = feed
        self._awaited = feed.hurry = awaited
        #: What the server was told last that the store has.
        self._told = position
        self._position = position
        self._moment = moment
        #: Where the server was at a moment, while what we have does not reach as far.
        self._ahead: tuple[int, float] | None = None
        #: The server's clock in its last message, and ours when it came.
        self._clock, self._heard = moment, time.monotonic()
        #: When we reported last, and whether the server has yet to answer.
        self._reported, self._waits = 0.0, False
        #: Whether the server waits for a report; when it asked last, and since when it does again
        #: and again.
        self._owed, self._asked, self._insists = False, 0.0, 0.0

    def run(self) -> None:
        """Until the feed is over. Raises ConnectError, StepError, psycopg.OperationalError."""
        with selectors.PollSelector() as selector:
            selector.register(self._wire.socket, selectors.EVENT_READ)
            selector.register(self._feed.moved, selectors.EVENT_READ)
            while not self._feed.over:
                size, data = self._wire.get_copy_data(1)
                if size > 0:
                    self._take(data)
                elif size < 0:
                    replication.result(self._wire, _TIMEOUT)
                    raise ConnectError("PostgreSQL ended the stream of its WAL", None, "down")
                self._report(time.monotonic())
                if size == 0:
                    self._wait(selector)

    def _wait(self, selector: selectors.BaseSelector) -> None:
        """Until something comes, or the store has more."""
        for key, _ in selector.select(_AGAIN if self._owed else _LOOK):
            if key.fd == self._feed.moved:
                os.eventfd_read(self._feed.moved)
        self._wire.consume_input()

    def _take(self, data: memoryview) -> None:
        now, kind = time.monotonic(), bytes(data[:1])
        if kind == b"w":
            _, begin, end, clock = _DATA.unpack_from(data)
            self._written(begin, data[_DATA.size :], end, clock / 1e6 + _EPOCH)
        elif kind == b"k":
            _, end, clock, asks = _ALIVE.unpack_from(data)
            self._alive(end, clock / 1e6 + _EPOCH)
            if asks:
                if now > self._asked + _REPORT:
                    self._insists = now
                self._owed, self._asked = True, now
        self._heard = time.monotonic()  # the store may have had us wait

    def _written(self, begin: int, data: memoryview, reached: int, clock: float) -> None:
        """`reached`: where the server's log ended when it sent this."""
        if begin != self._position:
            raise StepError(f"PostgreSQL sent WAL from {begin:X}, not from {self._position:X}")
        end = begin + len(data)
        if self._ahead and end >= self._ahead[0]:
            self._moment = max(self._moment, self._ahead[1])
            self._ahead = None
        if end >= reached:
            self._moment = max(self._moment, clock)
        elif self._ahead is None:
            self._ahead = reached, clock
        self._feed.write(data, end, self._moment)
        self._position, self._clock = end, clock

    def _alive(self, end: int, clock: float) -> None:
        if self._ahead is None and end == self._position:
            # between two messages it looked for something to send, but hardly before this one
            self._moment = max(self._moment, self._clock)
            self._feed.beat(self._moment)
        self._clock, self._waits = clock, False

    def _report(self, now: float) -> None:
        """Tell the server how far the store is: so far its slot lets go of WAL."""
        stored = self._feed.stored
        behind = stored < self._position
        self._feed.hurry = self._awaited or (self._owed and behind)
        if self._owed and behind and now > self._insists + _PATIENCE:
            raise ConnectError("PostgreSQL stops, and the store is behind", None, "down")
        due = now > self._reported + (_AGAIN if self._owed else _REPORT)
        due = due or (self._owed and not behind)
        if due:
            self._send(stored, asks=not self._waits and not self._owed)
            self._reported, self._owed = now, False
        elif self._awaited and stored > self._told:
            self._send(stored, asks=False)
        if now > self._heard + _TIMEOUT:
            raise ConnectError(f"PostgreSQL did not answer within {_TIMEOUT:g} s", None, "busy")

    def _send(self, stored: int, *, asks: bool) -> None:
        clock = round((time.time() - _EPOCH) * 1e6)
        report = _STATUS.pack(b"r", self._position, stored, stored, clock, asks)
        self._wire.put_copy_data(report)
        self._wire.flush()
        self._waits, self._told = self._waits or asks, stored
