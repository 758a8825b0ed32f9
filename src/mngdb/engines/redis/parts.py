"""Keys, brought from a restored server back into the live one: DUMP there, RESTORE here."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import hiredis

from mngdb import stopping
from mngdb.engines.redis.client import RefusedError, Session
from mngdb.engines.redis.keys.live import survey
from mngdb.engines.redis.look import parse_info
from mngdb.engines.redis.spare import RESUME, SPARE
from mngdb.engines.redis.wire import pack, raw_reader
from mngdb.errors import StepError, UsageError
from mngdb.part import Agree, Brought, Part, Took

#: Keys that one SCAN looks for, and bytes that are on their way at a time, or one value.
_COUNT = 500
_GROUP = 4 << 20
#: Seconds for an answer: a value may be large.
_ANSWER = 300.0
#: PEXPIRETIME of a key that does not expire; RESTORE calls that 0.
_FOREVER = -1
_TAKEN = "BUSYKEY"


def named(part: Part) -> str:
    """See Backup.named."""
    if part.renamed:
        raise UsageError("keys are brought back under their own names: --as does not fit --keys")
    return ""


def bring(
    source: Session,
    target: Session,
    part: Part,
    agree: Agree,
    took: Took,
) -> Brought:
    """See Backup.bring. Keys get the time to live that they had at that moment, also those that
    have expired since."""
    source.limit(_ANSWER)
    target.limit(_ANSWER)
    here, there = _Side(source), _Side(target)
    numbers = sorted(survey(source, None).databases)
    keys = present = expired = size = 0
    since = round((time.time() - part.moment) * 1000)
    for lives in _each(here, there, numbers, part):
        names = list(lives)
        sizes = _sizes(here, names)
        held = [bool(one) for one in there.ask([b"EXISTS", one] for one in names)]
        keys += len(names)
        present += sum(held)
        expired += sum(0 < life <= since for life in lives.values())
        size += sum(one for one, has in zip(sizes, held, strict=True) if part.overwrite or not has)
    if not keys:
        raise UsageError(f"no key matched {part.text!r} at that moment")
    _check_room(target, size)
    plan = Brought(
        name="",
        counts={"keys": keys, "expired": expired, "existing": present, "bytes": size},
        notes=_notes(present, expired, part.overwrite),
        overwrites=part.overwrite and present > 0,
    )
    agree(plan)
    counts = {"restored": 0, "kept": 0}
    for lives in _each(here, there, numbers, part):
        for group in _groups(list(lives), _sizes(here, list(lives))):
            stopping.check()
            wanted = {name: lives[name] for name in group}
            _moved(here, there, wanted, part, counts, took)
    return Brought(name="", counts={**plan.counts, **counts}, notes=plan.notes)


class _Side:
    """A server that takes any bytes."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._reader = raw_reader()

    def ask(self, commands: Iterator[Sequence[bytes]] | Sequence[Sequence[bytes]]) -> list[Any]:
        """Answers to commands of one round trip, errors among them as hiredis.ReplyError."""
        packed = [pack(one) for one in commands]
        if not packed:
            return []
        self._session.send(b"".join(packed))
        return self._session.replies(len(packed), self._reader)

    def sure(self, commands: Sequence[Sequence[bytes]]) -> list[Any]:
        """The same. Raises StepError for an error."""
        answers = self.ask(commands)
        for one in answers:
            if isinstance(one, hiredis.ReplyError):
                raise StepError(f"Redis refused: {one}")
        return answers


def _each(
    here: _Side, there: _Side, numbers: Sequence[int], part: Part
) -> Iterator[dict[bytes, int]]:
    """The names of the keys that match, each with the milliseconds that it had to live (0: for
    ever), database by database, both sides in that one."""
    wanted = part.text.encode(errors="surrogateescape")
    for number in numbers:
        for side in (here, there):
            side.sure([[b"SELECT", b"%d" % number]])
        cursor = b"0"
        while True:
            stopping.check()
            scan = [b"SCAN", cursor, b"MATCH", wanted, b"COUNT", b"%d" % _COUNT]
            ((cursor, names),) = here.sure([scan])
            # it may give a key twice, within a batch too
            if found := _alive(here, list(dict.fromkeys(names)), part.moment):
                yield found
            if cursor == b"0":
                break


def _alive(here: _Side, names: Sequence[bytes], moment: float) -> dict[bytes, int]:
    """Those whose time was not over at that moment, though the server still had them."""
    then = SPARE + round(moment * 1000)
    ends = here.sure([[b"PEXPIRETIME", name] for name in names])
    return {
        name: 0 if end == _FOREVER else end - then
        for name, end in zip(names, ends, strict=True)
        if end == _FOREVER or end > then
    }


def _sizes(here: _Side, names: Sequence[bytes]) -> list[int]:
    """About how many bytes each takes; 0: it is gone."""
    return [one or 0 for one in here.sure([[b"MEMORY", b"USAGE", name] for name in names])]


def _groups(names: Sequence[bytes], sizes: Sequence[int]) -> Iterator[list[bytes]]:
    group: list[bytes] = []
    held = 0
    for name, size in zip(names, sizes, strict=True):
        if group and held + size > _GROUP:
            yield group
            group, held = [], 0
        group.append(name)
        held += size
    if group:
        yield group


def _moved(
    here: _Side,
    there: _Side,
    group: Mapping[bytes, int],
    part: Part,
    counts: dict[str, int],
    took: Took,
) -> None:
    """Bring some keys, and count what became of them. Raises StepError."""
    ((seconds, micros),) = there.sure([[b"TIME"]])  # fields expire by the clock
    since = int(seconds) * 1000 + int(micros) // 1000 - round(part.moment * 1000)
    resume = [b"EVAL", RESUME.encode(), b"%d" % len(group), *group, b"%d" % (since - SPARE)]
    _, *values = here.sure([resume, *([b"DUMP", name] for name in group)])
    more = [b"REPLACE"] if part.overwrite else []
    commands = [
        [b"RESTORE", name, b"%d" % life, value, *more]
        for (name, life), value in zip(group.items(), values, strict=True)
        if value is not None  # evicted meanwhile
    ]
    for command, answer in zip(commands, there.ask(commands), strict=True):
        if not isinstance(answer, hiredis.ReplyError):
            counts["restored"] += 1
            took(len(command[3]))
        elif str(answer).startswith(_TAKEN):
            counts["kept"] += 1
        else:
            raise StepError(
                f"Redis refused a key: {answer}",
                "what was brought back by then is there; the same command goes on",
            )


def _notes(present: int, expired: int, overwrite: bool) -> tuple[str, ...]:
    found = []
    if expired:
        found.append(
            f"{expired} of them have expired since: from now on, they get the time to live that "
            "they had then"
        )
    if present and overwrite:
        found.append(f"{present} of them exist and are overwritten")
    elif present:
        found.append(
            f"{present} of them exist and are kept as they are (--overwrite gives them back)"
        )
    return tuple(found)


def _check_room(target: Session, size: int) -> None:
    """Raises UsageError where the keys would have others evicted, or be refused half way."""
    try:
        facts = parse_info(target.ask("INFO", "memory"))
    except RefusedError:
        return  # a provider's own
    most, used = int(facts.get("maxmemory") or 0), int(facts.get("used_memory") or 0)
    if most and used + size > most:
        raise UsageError(
            f"the keys take about {size:,} bytes, and the live server has {max(0, most - used):,} "
            "left",
            "raise its memory, or bring back fewer keys",
        )
