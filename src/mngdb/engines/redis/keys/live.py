"""Every key of a live server, or a sample of them: type, bytes, time to live, time without use.

SCAN names the keys, and each batch of names goes back in one write with a question or more for
each; the next SCAN travels in front, so that the server never waits for us. No command blocks the
server for long: SCAN is bounded, MEMORY USAGE looks at five elements, and none counts as use.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import cast

from msgspec import Struct

from mngdb.engines.redis.client import RefusedError, Session
from mngdb.engines.redis.keys.pace import Pace
from mngdb.engines.redis.look import parse_info
from mngdb.engines.redis.wire import pack, raw_reader
from mngdb.errors import UnobservableError

#: Keys that one SCAN looks for: half a millisecond at most. With more, the server's processor has
#: forgotten the first when they are asked for.
_COUNT = 500
_END = b"0"
_TYPE, _MEMORY = b"*2\r\n$4\r\nTYPE\r\n", b"*3\r\n$6\r\nMEMORY\r\n$5\r\nUSAGE\r\n"
_LIFE, _IDLE = b"*2\r\n$4\r\nPTTL\r\n", b"*3\r\n$6\r\nOBJECT\r\n$8\r\nIDLETIME\r\n"

Batch = tuple[list[bytes], list[bytes], list[int | None], list[bool | None], list[bool | None]]
"""Of each key its name, type and bytes (None: it is gone), whether it lives for ever, and whether
it is idle (None: not asked, or not to be known)."""


class Server(Struct, frozen=True):
    """What there is to read, and what may be asked."""

    databases: dict[int, int]
    """Number to keys."""
    forever: int
    """Keys without expiry."""
    life: bool
    idle: bool
    used_memory: int | None
    notices: tuple[str, ...]


def survey(session: Session, only: int | None) -> Server:
    """Look first, so that a login without the rights is told before anything is done. Raises
    UnobservableError."""
    questions = [
        *(["INFO", "keyspace"], ["INFO", "memory"], ["SCAN", "0", "COUNT", "1"]),
        *(["TYPE", "x"], ["MEMORY", "USAGE", "x"], ["PTTL", "x"], ["OBJECT", "IDLETIME", "x"]),
    ]
    keyspace, memory, *needed, life, idle = session.ask_all(questions)
    for question, answer in zip(questions[2:-2], needed, strict=True):
        if isinstance(answer, RefusedError):
            raise UnobservableError(
                f"{' '.join(question[:-1])} is refused: {answer.message}",
                "it requires a login with +scan +type +memory|usage on all keys (~*)",
            )
    if isinstance(keyspace, RefusedError):
        raise UnobservableError(f"INFO is refused: {keyspace.message}", "it requires +info")
    found = {
        int(name[2:]): dict(pair.split("=", 1) for pair in value.split(","))
        for name, value in parse_info(keyspace).items()
        if name.startswith("db") and name[2:].isdecimal()
    }
    wanted = {n: one for n, one in sorted(found.items()) if only is None or n == only}
    facts = {} if isinstance(memory, RefusedError) else parse_info(memory)
    policy = facts.get("maxmemory_policy", "")
    unknown = idle.message if isinstance(idle, RefusedError) else ""
    if policy.endswith("lfu"):
        # it is told for each key only
        unknown = f"with maxmemory-policy {policy} Redis tracks use counts, not idle time"
    notices = [f"idle keys are unknown: {unknown}"] if unknown else []
    if only is not None and only not in found:
        known = ", ".join(map(str, sorted(found))) or "none"
        notices.append(f"database {only} has no key; those with keys: {known}")
    if isinstance(life, RefusedError):
        notices.append(f"keys without expiry are unknown: {life.message}")
    return Server(
        {n: int(one["keys"]) for n, one in wanted.items()},
        sum(int(one["keys"]) - int(one["expires"]) for one in wanted.values()),
        not isinstance(life, RefusedError),
        not unknown,
        int(facts["used_memory"]) if facts else None,
        tuple(notices),
    )


def server_time(session: Session) -> Callable[[], float | None]:
    """Asks for the seconds of CPU that the server's thread has used."""

    def ask() -> float | None:
        try:
            info = parse_info(session.ask("INFO", "cpu"))
            return float(info["used_cpu_user_main_thread"]) + float(
                info["used_cpu_sys_main_thread"]
            )
        except (RefusedError, KeyError):
            return None

    return ask


class Reader:
    """Reads one database after the other. Of every key type and bytes are asked, of each `every`th
    (0: of none) what `server` can tell of its expiry and idle time. `idle_after` in seconds."""

    def __init__(
        self, session: Session, server: Server, *, every: int, idle_after: float, pace: Pace | None
    ) -> None:
        self._session = session
        self._parser = raw_reader()
        self._pace = pace
        self._sizes = _Questions(_TYPE, _MEMORY)
        self._lives = _Questions(
            *([_LIFE] if server.life else []), *([_IDLE] if server.idle else [])
        )
        self._life, self._idle = server.life, server.idle
        self._every = every if self._lives.number else 0
        self._idle_after = idle_after
        self._skip = random.randrange(self._every) if self._every else 0  # noqa: S311 - no secret

    def read(self, database: int, sample: int | None) -> Iterator[Batch]:
        """Batches of a database, until all of it, or of a sample so many keys, were seen. Read to
        the end: answers are on their way until then. Raises ConnectError, RefusedError."""
        self._session.ask("SELECT", str(database))
        # names are spread over the table by a hash: any stretch of it is a fair sample
        starts = [_END] if sample is None else [b"%d" % random.getrandbits(48), _END]
        left = 1 << 62 if sample is None else sample
        for start in starts:
            read = self._at_full_speed if self._pace is None else self._in_slices
            for batch in read(start, left):
                left -= len(batch[0])
                yield batch
            if left <= 0:
                break

    def _at_full_speed(self, start: bytes, most: int) -> Iterator[Batch]:
        self._session.send(_scan(start, _COUNT))
        cursor, asked = self._names(most)
        left = most - len(asked.keys)
        cursor = cursor if left else _END
        self._session.send(self._request(cursor, asked))
        while cursor != _END:
            after, following = self._names(left)
            left -= len(following.keys)
            after = after if left else _END
            # the server has its next work while we count
            self._session.send(self._request(after, following))
            yield self._answers(asked)
            cursor, asked = after, following
        yield self._answers(asked)

    def _in_slices(self, start: bytes, most: int) -> Iterator[Batch]:
        pace, cursor, left, more = cast(Pace, self._pace), start, most, True
        while more:
            begun = pace.wait()
            self._session.send(_scan(cursor, pace.keys))
            cursor, keys = self._scanned(left)
            pace.took(begun, 0)
            left -= len(keys)
            more = cursor != _END and left > 0
            while keys:
                asked = self._ask(keys[: pace.keys])
                keys = keys[len(asked.keys) :]
                begun = pace.wait()
                self._session.send(self._request(_END, asked))
                found = self._answers(asked)
                pace.took(begun, len(asked.keys))
                yield found

    def _names(self, most: int) -> tuple[bytes, _Asked]:
        cursor, keys = self._scanned(most)
        return cursor, self._ask(keys)

    def _scanned(self, most: int) -> tuple[bytes, list[bytes]]:
        ((cursor, keys),) = self._session.answers(1, self._parser)
        # not one more: each database gives a sample the same share of its keys
        return cursor, keys if len(keys) <= most else keys[:most]

    def _ask(self, keys: list[bytes]) -> _Asked:
        """Which of them are asked for more: names come in no order, so each nth is as good."""
        if not self._every:
            return _Asked(keys, slice(0, 0))
        begin, count = self._skip, len(keys)
        self._skip = (begin - count) % self._every
        return _Asked(keys, slice(begin, None, self._every))

    def _request(self, cursor: bytes, asked: _Asked) -> bytes:
        """The next SCAN, where there is one, and every question about every key."""
        scan = b"" if cursor == _END else _scan(cursor, _COUNT)
        lives = self._lives.about(asked.keys[asked.more])
        return b"".join((scan, self._sizes.about(asked.keys), lives))

    def _answers(self, asked: _Asked) -> Batch:
        keys, more = asked.keys, asked.keys[asked.more]
        nothing: list[bool | None] = [None] * len(keys)
        flat = self._session.answers(2 * len(keys), self._parser)
        if not more:
            return keys, flat[::2], flat[1::2], nothing, nothing
        told = self._session.answers(self._lives.number * len(more), self._parser)
        forever, idle = nothing, nothing
        if self._life:
            forever = nothing.copy()
            # -2: the key is gone
            forever[asked.more] = [
                None if one == -2 else one == -1 for one in told[:: self._lives.number]
            ]
        if self._idle:
            idle = nothing.copy()
            idle[asked.more] = [
                None if one is None else one >= self._idle_after
                for one in told[self._lives.number - 1 :: self._lives.number]
            ]
        return keys, flat[::2], flat[1::2], forever, idle


class _Asked(Struct, frozen=True):
    keys: list[bytes]
    more: slice
    """Those that are asked for expiry and idle time."""


class _Questions:
    """Commands that take a key as their last word."""

    def __init__(self, *questions: bytes) -> None:
        self.number = len(questions)
        self._questions = questions
        self._frames: dict[int, tuple[bytes, ...]] = {}

    def about(self, keys: Sequence[bytes]) -> bytes:
        """All questions about each key."""
        frames = self._frames
        # a name joins the questions: they differ in nothing else
        return b"".join([key.join(frames.get(len(key)) or self._frame(len(key))) for key in keys])

    def _frame(self, length: int) -> tuple[bytes, ...]:
        size = b"$%d\r\n" % length
        first, *others = [question + size for question in self._questions]
        frame = (first, *(b"\r\n" + other for other in others), b"\r\n")
        if len(self._frames) < 4096:
            self._frames[length] = frame
        return frame


def _scan(cursor: bytes, count: int) -> bytes:
    return pack([b"SCAN", cursor, b"COUNT", b"%d" % count])
