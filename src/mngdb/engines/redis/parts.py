"""Keys, brought from a restored server back into the live one: DUMP there, RESTORE here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import hiredis

from mngdb import stopping
from mngdb.engines.redis.client import RefusedError, Session
from mngdb.engines.redis.keys.live import survey
from mngdb.engines.redis.look import parse_info
from mngdb.engines.redis.wire import pack, raw_reader
from mngdb.errors import StepError, UsageError
from mngdb.part import Agree, Brought, Part, Took

#: Keys that one SCAN looks for, and bytes that are on their way at a time, or one value.
_COUNT = 500
_GROUP = 4 << 20
#: Seconds for an answer: a value may be large.
_ANSWER = 300.0
#: PTTL of a key that does not expire, and of one that is gone.
_FOREVER, _GONE = -1, -2
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
    """See Backup.bring. A key that expires meanwhile is left out."""
    source.limit(_ANSWER)
    target.limit(_ANSWER)
    here, there = _Side(source), _Side(target)
    numbers = sorted(survey(source, None).databases)
    keys = present = size = 0
    for names in _each(here, there, numbers, part.text):
        sizes = _sizes(here, names)
        held = [bool(one) for one in there.ask([b"EXISTS", one] for one in names)]
        keys += len(names)
        present += sum(held)
        size += sum(one for one, has in zip(sizes, held, strict=True) if part.overwrite or not has)
    if not keys:
        raise UsageError(f"no key matched {part.text!r} at that moment")
    _check_room(target, size)
    plan = Brought(
        name="",
        counts={"keys": keys, "existing": present, "bytes": size},
        notes=_notes(present, part.overwrite),
        overwrites=part.overwrite and present > 0,
    )
    agree(plan)
    counts = {"restored": 0, "kept": 0, "expired": 0}
    for names in _each(here, there, numbers, part.text):
        for group in _groups(names, _sizes(here, names)):
            stopping.check()
            _moved(here, there, group, part.overwrite, counts, took)
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


def _each(here: _Side, there: _Side, numbers: Sequence[int], pattern: str) -> Iterator[list[bytes]]:
    """The names of the keys that match, database by database, both sides in that one."""
    wanted = pattern.encode(errors="surrogateescape")
    for number in numbers:
        for side in (here, there):
            side.sure([[b"SELECT", b"%d" % number]])
        cursor = b"0"
        while True:
            stopping.check()
            scan = [b"SCAN", cursor, b"MATCH", wanted, b"COUNT", b"%d" % _COUNT]
            ((cursor, names),) = here.sure([scan])
            # it may give a key twice, within a batch too
            if found := list(dict.fromkeys(names)):
                yield found
            if cursor == b"0":
                break


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
    group: Sequence[bytes],
    overwrite: bool,
    counts: dict[str, int],
    took: Took,
) -> None:
    """Bring some keys, and count what became of them. Raises StepError."""
    answers = here.sure([[word, name] for name in group for word in (b"PTTL", b"DUMP")])
    more = [b"REPLACE"] if overwrite else []
    commands = []
    for name, life, value in zip(group, answers[::2], answers[1::2], strict=True):
        if value is None or life == _GONE:
            counts["expired"] += 1
            continue
        # 0 would be for ever
        left = 0 if life == _FOREVER else max(1, life)
        commands.append([b"RESTORE", name, b"%d" % left, value, *more])
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


def _notes(present: int, overwrite: bool) -> tuple[str, ...]:
    if not present:
        return ()
    if overwrite:
        return (f"{present} of them exist and are overwritten",)
    return (f"{present} of them exist and are kept as they are (--overwrite gives them back)",)


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
