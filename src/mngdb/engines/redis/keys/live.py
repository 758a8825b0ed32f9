"""Every key of a live server, or a sample of them: type, bytes, time to live, time without use.

SCAN names the keys, and each batch of names goes back in one write with a question or more for
each; the next SCAN travels in front, so that the server never waits for us. No command blocks the
server for long: SCAN is bounded, MEMORY USAGE looks at five elements, and none counts as use.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import hiredis

from mngdb.engines.redis.client import RefusedError, Session
from mngdb.engines.redis.keys.pace import Pace
from mngdb.engines.redis.observe import parse_info
from mngdb.engines.redis.wire import pack
from mngdb.errors import UnobservableError

#: Keys that one SCAN looks for: 0.1 to 0.3 ms of the server's time.
_COUNT = 500
_END = b"0"
_TYPE, _MEMORY = b"*2\r\n$4\r\nTYPE\r\n", b"*3\r\n$6\r\nMEMORY\r\n$5\r\nUSAGE\r\n"
_LIFE, _IDLE = b"*2\r\n$4\r\nPTTL\r\n", b"*3\r\n$6\r\nOBJECT\r\n$8\r\nIDLETIME\r\n"

Batch = tuple[list[bytes], list[list[object]]]
"""Names, and for each question the answers."""


@dataclass(frozen=True)
class Server:
    """What there is to read, and what may be asked."""

    databases: dict[int, int]
    """Number to keys."""
    expires: dict[int, int]
    """Number to keys with an expiry."""
    idle: bool
    used_memory: int | None
    remarks: tuple[str, ...]


def survey(session: Session, only: int | None, quick: bool) -> Server:
    """Look first, so that a login without the rights is told before anything is done. Raises
    UnobservableError."""
    questions = [
        *(["INFO", "keyspace"], ["INFO", "memory"], ["SCAN", "0", "COUNT", "1"]),
        *(["TYPE", "x"], ["MEMORY", "USAGE", "x"], ["PTTL", "x"], ["OBJECT", "IDLETIME", "x"]),
    ]
    keyspace, memory, *needed, idle = session.ask_all(questions)
    for question, answer in zip(questions[2:-1], needed, strict=True):
        if isinstance(answer, RefusedError):
            raise UnobservableError(
                f"{' '.join(question[:-1])} is refused: {answer.message}",
                "it takes a login with +scan +type +memory|usage +pttl on all keys (~*)",
            )
    if isinstance(keyspace, RefusedError):
        raise UnobservableError(f"INFO is refused: {keyspace.message}", "it takes +info")
    found = {
        int(name[2:]): dict(pair.split("=", 1) for pair in value.split(","))
        for name, value in parse_info(keyspace).items()
        if name.startswith("db") and name[2:].isdecimal()
    }
    wanted = {n: one for n, one in found.items() if only is None or n == only}
    facts = {} if isinstance(memory, RefusedError) else parse_info(memory)
    policy = facts.get("maxmemory_policy", "")
    unknown = idle.message if isinstance(idle, RefusedError) else ""
    if policy.endswith("lfu"):
        # it is told for each key only
        unknown = f"with maxmemory-policy {policy} Redis counts uses, not the time since the last"
    remarks = [f"idle keys are not known: {unknown}"] if unknown and not quick else []
    return Server(
        {n: int(one["keys"]) for n, one in sorted(wanted.items())},
        {n: int(one["expires"]) for n, one in wanted.items()},
        not quick and not unknown,
        int(facts["used_memory"]) if facts else None,
        tuple(remarks),
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
    """Reads one database after the other."""

    def __init__(self, session: Session, *, life: bool, idle: bool, pace: Pace | None) -> None:
        self._session = session
        self._parser = hiredis.Reader()
        self._pace = pace
        questions = [_TYPE, _MEMORY, *([_LIFE] if life else []), *([_IDLE] if idle else [])]
        self._count = len(questions)
        self._questions = questions
        self._frames: dict[int, tuple[bytes, ...]] = {}

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
        cursor, keys = self._names(most)
        asked = len(keys)
        cursor = cursor if asked < most else _END
        self._session.send(self._request(cursor, keys))
        while cursor != _END:
            after, following = self._names(most - asked)
            asked += len(following)
            after = after if asked < most else _END
            # the server has its next work while we count
            self._session.send(self._request(after, following))
            yield keys, self._answers(len(keys))
            cursor, keys = after, following
        yield keys, self._answers(len(keys))

    def _in_slices(self, start: bytes, most: int) -> Iterator[Batch]:
        pace, cursor, asked, more = cast(Pace, self._pace), start, 0, True
        while more:
            begun = pace.wait()
            self._session.send(_scan(cursor, pace.keys))
            cursor, keys = self._names(most - asked)
            pace.took(begun, 0)
            asked += len(keys)
            more = cursor != _END and asked < most
            for at in range(0, len(keys), pace.keys):
                part = keys[at : at + pace.keys]
                begun = pace.wait()
                self._session.send(self._request(_END, part))
                answers = self._answers(len(part))
                pace.took(begun, len(part))
                yield part, answers

    def _names(self, most: int) -> tuple[bytes, list[bytes]]:
        ((cursor, keys),) = self._session.answers(1, self._parser)
        # not one more: each database gives a sample the same share of its keys
        return cursor, keys if len(keys) <= most else keys[:most]

    def _answers(self, keys: int) -> list[list[object]]:
        flat = self._session.answers(keys * self._count, self._parser)
        return [flat[n :: self._count] for n in range(self._count)]

    def _request(self, cursor: bytes, keys: Sequence[bytes]) -> bytes:
        """The next SCAN, where there is one, and every question about every key."""
        frames = self._frames
        scan = b"" if cursor == _END else _scan(cursor, _COUNT)
        # a name joins the questions: they differ in nothing else
        return scan + b"".join(
            [key.join(frames.get(len(key)) or self._frame(len(key))) for key in keys]
        )

    def _frame(self, length: int) -> tuple[bytes, ...]:
        size = b"$%d\r\n" % length
        first, *others = [question + size for question in self._questions]
        frame = (first, *(b"\r\n" + other for other in others), b"\r\n")
        if len(self._frames) < 4096:
            self._frames[length] = frame
        return frame


def _scan(cursor: bytes, count: int) -> bytes:
    return pack([b"SCAN", cursor, b"COUNT", b"%d" % count])
