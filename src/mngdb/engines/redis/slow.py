"""What held Redis up: https://redis.io/docs/latest/commands/slowlog-get/"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from mngdb.engines.redis.client import RefusedError, Session
from mngdb.facts.slow import Slow, Span, Statement
from mngdb.model import DesiredInstance
from mngdb.spec.redis import RedisGrant

#: Parts of a key that tell one from the next: UUIDs, random words, hex of six and more,
#: numbers.
_VARYING = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?=[a-z]*\d)[a-z0-9]{10,}|[0-9a-f]{6,}|\d+", re.I
)
#: Commands whose first argument is no key.
_KEYLESS = frozenset(
    {"EVAL", "EVALSHA", "FCALL", "SCAN", "KEYS", "FLUSHALL", "FLUSHDB", "CONFIG", "INFO", "DEBUG"}
)
#: Why a command takes long, by its documentation's time complexity.
_WHY = {
    "KEYS": "walks over every key of the server: use SCAN",
    "FLUSHALL": "frees everything at once: FLUSHALL ASYNC",
    "FLUSHDB": "frees everything at once: FLUSHDB ASYNC",
    "DEL": "frees a large value at once: UNLINK",
    "HGETALL": "returns the whole hash: HMGET or HSCAN",
    "HKEYS": "returns the whole hash: HSCAN",
    "HVALS": "returns the whole hash: HSCAN",
    "SMEMBERS": "returns the whole set: SSCAN",
    "SUNION": "reads whole sets",
    "SINTER": "reads whole sets",
    "SDIFF": "reads whole sets",
    "LRANGE": "returns a long part of a list: shorter ranges",
    "ZRANGE": "returns a long part of a sorted set: shorter ranges, LIMIT",
    "SORT": "sorts on each call: a sorted set keeps its order",
    "EVAL": "a script blocks all other clients: do less work in each call",
    "EVALSHA": "a script blocks all other clients: do less work in each call",
    "FCALL": "a function blocks all other clients: do less work in each call",
}


def look(session: Session, asked: DesiredInstance, span: Span) -> Slow:
    """The slow log, by command and kind of key."""
    patterns = {a: tuple(g.keys) for a, g in asked.instance.granted(RedisGrant).items()}
    entries = session.ask("SLOWLOG", "GET", "-1")
    oldest = time.time() - span.since if span.since else 0.0
    groups: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _, at, micros, words, *_ in entries:
        if at >= oldest:
            groups[_shape([str(word) for word in words], patterns)].append(micros / 1000)
    found = tuple(_statement(key, times) for key, times in groups.items())
    note = f"of the last {len(entries)} entries of the slow log" if _full(session, entries) else ""
    return Slow(found, note)


def _full(session: Session, entries: list[Any]) -> bool:
    """Whether older entries may have made room; a server that tells no setting may have done so."""
    try:
        kept = session.ask("CONFIG", "GET", "slowlog-max-len")
    except RefusedError:
        return bool(entries)
    return len(entries) >= (int(kept[1]) if kept else 0)


def _shape(words: list[str], patterns: Mapping[str, tuple[str, ...]]) -> tuple[str, str]:
    """App and command with the kind of its key; values stay away."""
    name = words[0].upper()
    key = words[1] if len(words) > 1 and name not in _KEYLESS else ""
    if name in {"EVAL", "EVALSHA", "FCALL"} and len(words) > 3 and words[2] != "0":
        key = words[3]
    owner = next((a for a, ps in patterns.items() if any(fnmatchcase(key, p) for p in ps)), "")
    return (owner if key else ""), f"{name} {_VARYING.sub('*', key)}".strip()


def _statement(key: tuple[str, str], times: list[Any]) -> Statement:
    app, text = key
    why = _WHY.get(text.split(" ", 1)[0])
    total = sum(times)
    return Statement(
        "", app, text, len(times), total, total / len(times), max(times), 0, (why,) if why else ()
    )
