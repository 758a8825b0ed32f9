"""The log of a server as a replica receives it: the commands that changed its data, byte by byte.

https://redis.io/docs/latest/operate/oss_and_stack/management/replication/
"""

from __future__ import annotations

import time

from msgspec import Struct

from mngdb import stopping
from mngdb.engines.redis import client
from mngdb.engines.redis.look import parse_info
from mngdb.engines.redis.wire import pack
from mngdb.errors import ConnectError, StepError
from mngdb.model import Access, DesiredInstance
from mngdb.snapshot import Feed, Point

#: What the server shows as the name of this client, and as the address of this replica: no tool
#: that looks after replicas can take it for a server.
_NAME = "mngdb-archive"
#: To be refused it is no harm.
_CALLED = ("CLIENT", "SETNAME", _NAME)
_TIMEOUT = 10.0
#: Seconds for the answer that the log goes on. One that does not would save all data 5 s later.
_ANSWER = 3.0
#: Seconds without a byte after which the server is asked whether there is nothing more.
_TICK = 1.0
#: Seconds without a byte until the server hears that all has arrived: one that stops waits for it.
_QUIET = 0.1
#: Seconds between two reads: to be woken for each command would cost the server more than to send
#: the bytes.
_GATHER = 0.01
_CHUNK = 1 << 20
#: Seconds after which the server is asked again how far it is; of delay, beyond which nobody knows
#: when the bytes were written; without a byte while there should be some.
_ASK, _LATE, _DEAD = 0.25, 1.5, 60.0
#: Seconds for a server to begin to keep its log, and between two looks.
_BEGIN, _POLL = 5.0, 0.01
_RIGHTS = "the login needs +psync, +replconf, +info and +time; Redis has to be 7 or later"


class _State(Struct, frozen=True):
    """How far a server was. `moment` is by its clock, `at` by our monotonic one, not later."""

    replid: str
    first: int
    """The position from which it still has its log; -1: it keeps none."""
    position: int
    moment: float
    ahead: float
    """Seconds that its clock is ahead of ours, give or take half of the way there and back."""
    at: float


def follow(access: Access, asked: DesiredInstance, feed: Feed) -> None:
    """Write the log to the feed until that is over. Raises ConnectError, StepError."""
    with client.connect(access, _TIMEOUT) as session:
        session.ask_all([_CALLED])
        _keep_log(session, access)
        with client.connect(access, _TIMEOUT) as replica:
            _Stream(session, replica, feed, same_clock=asked.managed).run()


def _look(session: client.Session) -> _State:
    before, at = time.time(), time.monotonic()
    answers = session.ask_all([["INFO", "replication"], ["TIME"]])
    after = time.time()
    for one in answers:
        if isinstance(one, client.RefusedError):
            raise StepError(one.message, _RIGHTS)
    info, (seconds, micro) = parse_info(answers[0]), answers[1]
    moment = int(seconds) + int(micro) / 1e6
    kept = info["repl_backlog_active"] == "1"
    return _State(
        replid=info["master_replid"],
        first=int(info["repl_backlog_first_byte_offset"]) - 1 if kept else -1,
        position=int(info["master_repl_offset"]),
        moment=moment,
        ahead=moment - (before + after) / 2,
        at=at,
    )


def _keep_log(session: client.Session, access: Access) -> None:
    """Have a server keep its log that has never had a replica. It does so once one asks for
    everything; that one leaves before anything is sent."""
    if _look(session).first >= 0:
        return
    with client.connect(access, _TIMEOUT) as first:
        # who takes the data from memory is not served before more such replicas could have come
        _introduce(first, "rdb-only", "1", "capa", "eof")
        first.send(pack(("PSYNC", "?", "-1")))
        deadline = time.monotonic() + _BEGIN
        while _look(session).first < 0:
            if time.monotonic() > deadline:
                raise StepError("Redis does not keep the log that replicas read", _RIGHTS)
            stopping.sleep(_POLL)


def _introduce(replica: client.Session, *words: str) -> None:
    _, answer = replica.ask_all([_CALLED, ["REPLCONF", *words]])
    if isinstance(answer, client.RefusedError):
        raise StepError(answer.message, _RIGHTS)


class _Stream:
    """What a replica receives. The moment of a byte is that of its arrival, as long as it is known
    to have come at once: the server is asked how far it is, four times a second, and before anybody
    is told that nothing was written."""

    def __init__(
        self, session: client.Session, replica: client.Session, feed: Feed, *, same_clock: bool
    ) -> None:
        self._session = session
        self._replica = replica
        self._feed = feed
        self._same_clock = same_clock
        self._ahead = 0.0
        self._replid = ""
        self._end = self._told = 0
        """Up to where all has arrived, and up to where the server knows that."""
        self._talked = self._heard = 0.0
        self._current = float("-inf")
        """When (monotonic) all that the server had written had arrived for sure."""
        self._asked: _State | None = None
        """How far the server was when it was asked, where that has not all arrived."""
        self._late = False
        self._since = 0.0

    def run(self) -> None:
        """Follow until the feed is over."""
        view = memoryview(bytearray(_CHUNK))
        self._take(self._begun(view))
        while not self._feed.over:
            count = self._replica.receive(view, _QUIET if self._told < self._end else _TICK)
            if count:
                self._take(view[:count])
                if time.monotonic() > self._talked + _TICK:
                    self._tell()
                if count < _CHUNK:
                    time.sleep(_GATHER)
            elif self._told < self._end:
                self._tell()
            else:
                self._tell()
                self._tick()

    def _begun(self, view: memoryview) -> bytes:
        """Ask for the log from where the archive ends, or from now on; what came with the
        answer."""
        _introduce(self._replica, "capa", "eof", "capa", "psync2", "ip-address", _NAME)
        self._replid = self._look().replid
        resumed = self._feed.resume(self._replid)
        found = self._look()  # to ask the store may have taken long
        known = resumed is not None and found.first <= resumed <= found.position
        self._end = self._told = resumed if resumed is not None and known else found.position
        data = self._continued(view)
        self._heard = time.monotonic()
        if self._end < found.position:
            self._asked = found
            self._turn(self._end, late=True, moment=self._now())
        else:
            self._current = found.at
            # where the archive leads up to here, nothing was written in between
            self._feed.begin(self._point(self._end), None if known else found.moment)
        return data

    def _continued(self, view: memoryview) -> bytes:
        self._replica.send(pack(("PSYNC", self._replid, str(self._end + 1))))
        data = b""
        while b"\n" not in data:
            count = self._replica.receive(view, _ANSWER)
            if not count:
                raise ConnectError(
                    "Redis does not continue its log",
                    "is it busy, or are more changes made at once than repl-backlog-size holds?",
                    "down",
                )
            data = (data + view[:count]).lstrip(b"\n")  # empty lines say that it is alive
        line, _, data = data.partition(b"\n")
        words = line.decode(errors="replace").split()
        if words[:1] != ["+CONTINUE"]:
            raise StepError(f"Redis does not send its log: {' '.join(words).lstrip('-')}", _RIGHTS)
        if words[1:] not in ([], [self._replid]):
            raise ConnectError("Redis began another history meanwhile", None, "down")
        return data

    def _take(self, data: bytes | memoryview) -> None:
        """Write what came, with the moment at which it did."""
        if not data:
            return
        moment, self._heard = self._now(), time.monotonic()
        begin, self._end = self._end, self._end + len(data)
        # it was written after the last time that nothing was on its way
        late = self._heard > self._current + _LATE
        self._arrived()
        if self._asked is None and self._heard > self._current + _ASK:
            self._ask()
        self._turn(begin, late=late, moment=moment)
        self._feed.write(data, self._end, self._since if self._late else moment)

    def _turn(self, position: int, *, late: bool, moment: float) -> None:
        """Say where it begins that nobody knows when something was written, and where it ends."""
        if late != self._late:
            self._late, self._since = late, moment
            self._feed.begin(self._point(position), moment)

    def _tick(self) -> None:
        """Nothing came for a while: beat, where the server says that there is nothing."""
        asked = self._ask()
        if self._asked is None:
            self._turn(self._end, late=False, moment=asked.moment)
            self._feed.beat(asked.moment)
        elif asked.at > self._heard + _DEAD:
            raise ConnectError("Redis sends no more of its log", "is the network broken?", "down")

    def _ask(self) -> _State:
        self._asked = found = self._look()
        self._arrived()
        return found

    def _arrived(self) -> None:
        if self._asked is not None and self._end >= self._asked.position:
            self._current, self._asked = self._asked.at, None

    def _look(self) -> _State:
        found = _look(self._session)
        if not self._same_clock:
            self._ahead = found.ahead
        return found

    def _tell(self) -> None:
        """Acknowledge what has arrived. What the store lacks yet is asked for again if we die."""
        self._replica.send(pack(("REPLCONF", "ACK", str(self._end))))
        self._told, self._talked = self._end, time.monotonic()

    def _now(self) -> float:
        return time.time() + self._ahead

    def _point(self, position: int) -> Point:
        return Point(self._replid, position)
