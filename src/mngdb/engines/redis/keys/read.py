"""Reads the keys of a live server, all of them or a sample, and measures the biggest again."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from msgspec.structs import replace

from mngdb.engines.redis import client
from mngdb.engines.redis.client import Session
from mngdb.engines.redis.keys import biggest, live
from mngdb.engines.redis.keys.pace import Pace
from mngdb.engines.redis.keys.report import report
from mngdb.engines.redis.keys.scale import Scale
from mngdb.engines.redis.keys.tally import Tally
from mngdb.errors import ConnectError
from mngdb.facts.keys import Interruptible, KeysReport, Progress, Wanted
from mngdb.model import DesiredInstance


def look(
    session: Session,
    asked: DesiredInstance,
    wanted: Wanted,
    progress: Progress,
    interruptible: Interruptible,
) -> KeysReport:
    """The report. An interruption ends it with what was seen so far. Raises UnobservableError."""
    begun = time.perf_counter()
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
    with client.connect(session.access) as fresh:
        big = biggest.measure(fresh, tally, wanted.top, wanted.idle_after)
    tally.count()
    scale = Scale(
        tally.seen - tally.gone,
        whole if sampled and complete else tally.seen - tally.gone,
        server.life,
        server.idle,
    )
    found = report(
        asked.instance.name, wanted, tally, scale, big,
        expected=whole, sampled=sampled, complete=complete, databases=server.databases,
        used_memory=server.used_memory, seconds=time.perf_counter() - begun,
        server_seconds=pace.used if pace else None,
        notices=(*server.notices, *_notices(tally, every)),
    )  # fmt: skip
    if complete and found.forever and found.forever.count_error:
        # the server counts these itself
        known = replace(found.forever, count=server.forever, count_error=0)
        found = replace(found, forever=known)
    return found


def _goals(databases: dict[int, int], sample: int | float | None) -> dict[int, int]:
    """How many keys to read of each database: a sample takes the same share of all."""
    whole = sum(databases.values())
    if sample is None or not whole:
        return dict(databases)
    share = sample if isinstance(sample, float) else sample / whole
    return {n: min(keys, max(1, round(keys * share))) for n, keys in databases.items()}


def _notices(tally: Tally, every: int) -> Iterator[str]:
    if every > 1 and tally.asked:
        yield (
            f"expiry and idle time are from a sample of {tally.asked:,} keys (± at 95 %): "
            "--exact reads all keys"
        )
    if tally.gone:
        yield f"{tally.gone:,} keys disappeared before they could be read"
