"""`keys`: where the memory of a server's keys goes. From an RDB file: `keys_file`."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from mngdb.engines.redis.keys import biggest, live
from mngdb.engines.redis.keys.pace import Pace
from mngdb.engines.redis.keys.scale import Scale
from mngdb.engines.redis.keys.tally import Tally
from mngdb.errors import ConnectError, UsageError
from mngdb.facts.keys import BigKey, KeysReport
from mngdb.ops.context import Context
from mngdb.spec.stack import Instance


@dataclass(frozen=True)
class Wanted:
    """What was asked for."""

    database: int | None = None
    sample: int | float | None = None
    """Keys, or (a float) a share of them; None: all."""
    budget: float | None = None
    """Share of the server's time, 0 to 1; None: as fast as can be."""
    lives: int | None = 200_000
    """Of how many keys expiry and idle time are asked, where all are read; None: of each."""
    idle_after: float = 7 * 86400.0
    """Seconds."""
    top: int = 5
    patterns: int = 40


#: Told now and then: keys seen, keys there are, seconds since the beginning.
Progress = Callable[[int, int, float], None]


def live_keys(context: Context, name: str | None, wanted: Wanted, progress: Progress) -> KeysReport:
    """Read a server. Ctrl-C ends it with what was seen so far. Raises UsageError,
    UnobservableError."""
    instance = _instance(context, name)
    asked = context.asked(instance, find=False)
    engine = context.engine(instance)
    begun = time.perf_counter()
    with context.reach(instance), engine.connect(context.admin(asked)) as session:
        server = live.survey(session, wanted.database)
        whole = sum(server.databases.values())
        goals = _goals(server.databases, wanted.sample)
        sampled = sum(goals.values()) < whole
        pace = Pace(wanted.budget, live.server_time(session)) if wanted.budget else None
        every = 1 if sampled or not wanted.lives else max(1, math.ceil(whole / wanted.lives))
        reader = live.Reader(session, server, every=every, idle_after=wanted.idle_after, pace=pace)
        tally = Tally()
        try:
            with interruptible() as stopped:
                for database, goal in goals.items():
                    if stopped():
                        break
                    partly = goal if goal < server.databases[database] else None
                    for batch in reader.read(database, partly):
                        tally.add(database, *batch)
                        progress(tally.seen, sum(goals.values()), time.perf_counter() - begun)
                        if stopped():
                            break
                complete = not stopped()
        except ConnectError as error:
            raise ConnectError(
                f"{error.message}, after {tally.seen:,} of {whole:,} keys", error.hint, error.kind
            ) from error
        # after Ctrl-C, answers to what was sent are still on their way: ask anew
        with engine.connect(context.admin(asked)) as fresh:
            big = biggest.measure(fresh, tally, wanted.top, wanted.idle_after)
    tally.count()
    scale = Scale(
        tally.seen - tally.gone,
        whole if sampled and complete else tally.seen - tally.gone,
        server.life,
        server.idle,
    )
    found = report(
        instance.name, wanted, tally, scale, big,
        expected=whole, sampled=sampled, complete=complete, databases=server.databases,
        used_memory=server.used_memory, seconds=time.perf_counter() - begun,
        server_seconds=pace.used if pace else None,
        remarks=(*server.remarks, *_remarks(tally, every)),
    )  # fmt: skip
    if complete and found.forever and found.forever.count_error:
        # the server counts these itself
        known = replace(found.forever, count=server.forever, count_error=0)
        found = replace(found, forever=known)
    return found


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C asks for an end, and the function given says so; the second is an end."""
    pressed: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def note(number: int, _: Any) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


def _instance(context: Context, name: str | None) -> Instance:
    every = [one for one in context.stack.instances.values() if one.engine == "redis"]
    names = ", ".join(one.name for one in every) or "none"
    if name is None:
        if len(every) != 1:
            raise UsageError("which Redis?" if every else "the file has no Redis",
                             f"instances of Redis: {names}")  # fmt: skip
        return every[0]
    found = context.instance(name)
    if found.engine != "redis":
        raise UsageError(f"{name} is no Redis, and only Redis has keys",
                         f"instances of Redis: {names}")  # fmt: skip
    return found


def _goals(databases: dict[int, int], sample: int | float | None) -> dict[int, int]:
    """How many keys to read of each database: a sample takes the same share of all."""
    whole = sum(databases.values())
    if sample is None or not whole:
        return dict(databases)
    share = sample if isinstance(sample, float) else sample / whole
    return {n: min(keys, max(1, round(keys * share))) for n, keys in databases.items()}


def _remarks(tally: Tally, every: int) -> Iterator[str]:
    if every > 1 and tally.asked:
        yield (
            f"expiry and idle time are those of {tally.asked:,} keys and ± is for 95 %: "
            "--exact asks them all"
        )
    if tally.gone:
        yield f"{tally.gone:,} keys were gone before they could be looked at"


def report(
    source: str, wanted: Wanted, tally: Tally, scale: Scale, big: list[BigKey], **more: Any
) -> KeysReport:
    """The report of a tally; `more` are further fields of it."""
    tally.shorten(wanted.patterns)
    patterns, rest = tally.patterns(wanted.patterns, scale)
    total = tally.total()
    return KeysReport(
        source=source,
        # how many there are is known; what is estimated of them is their bytes
        total=replace(scale.amount(total), count_error=0),
        seen=tally.seen,
        types={name: scale.amount(row) for name, row in tally.types().items()},
        patterns=tuple(patterns),
        rest=rest,
        biggest=tuple(big),
        forever=scale.forever_of(total),
        idle=scale.idle_of(total),
        idle_after=wanted.idle_after,
        **more,
    )
