"""How a MongoDB server fares right now, and how its queries find what they look for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from mngdb.checks import patch_level
from mngdb.checks.catalogue import checks
from mngdb.checks.mongodb.network import closing, exposure
from mngdb.errors import UnobservableError
from mngdb.facts.mongodb import Collection, Index, MongodbFacts
from mngdb.findings import Check, Judgement, judged, listed, not_applicable

_MB = 1 << 20
#: Of the cache: in use, and still to be written.
FULL, DIRTY = 0.95, 0.2
#: Operations that may wait at one moment.
_QUEUE = 10
#: Atlas alerts from this ratio on: documents looked at for each one that was found.
_TARGETING = 1000
#: Documents looked at, and uses of a collection, below which a ratio says nothing.
_ENOUGH = 100_000
_USES = 1000
#: mongodb.com: "reduce the number of indexes"; the server's own limit is 64.
_INDEXES = 50


def _version(facts: MongodbFacts) -> Judgement:
    found = str(facts.status.value["version"])
    return patch_level.judge(
        "MongoDB", found, facts.version, exposure(facts), closing(facts), outdated=facts.outdated
    )


def cache_filled(cache: Mapping[str, Any]) -> tuple[int, int, int]:
    """Of WiredTiger's statistics: its size, what is in it, and what of that is not written yet; in
    bytes."""
    return (
        int(cache["maximum bytes configured"]),
        int(cache["bytes currently in the cache"]),
        int(cache["tracked dirty bytes in the cache"]),
    )


def _cache_fits(facts: MongodbFacts) -> Judgement:
    cache, memory = facts.status.value.get("wiredTiger", {}).get("cache"), facts.memory.value
    if cache is None:
        return not_applicable("the server has no WiredTiger cache")
    share = cache_filled(cache)[0] / memory
    return judged(share <= 0.8, f"{share:.0%} of {memory // _MB} MB")


def _cache_calm(facts: MongodbFacts) -> Judgement:
    cache = facts.status.value.get("wiredTiger", {}).get("cache")
    if cache is None:
        return not_applicable("the server has no WiredTiger cache")
    most, used, dirty = cache_filled(cache)
    evidence = f"{used / most:.0%} of {most // _MB} MB used, {dirty / most:.0%} dirty"
    return judged(used <= FULL * most and dirty <= DIRTY * most, evidence)


def _not_waiting(facts: MongodbFacts) -> Judgement:
    found = int(facts.status.value["globalLock"]["currentQueue"]["total"])
    return judged(found <= _QUEUE, f"{found} operations waiting")


def _not_locked(facts: MongodbFacts) -> Judgement:
    locked = facts.locked.value
    return judged(not locked, "locked by fsyncLock" if locked else "not locked")


def _cursors(facts: MongodbFacts) -> Judgement:
    found = int(facts.status.value["metrics"]["cursor"]["open"]["noTimeout"])
    return judged(found == 0, f"{found} cursors without a time limit")


def _targeting(facts: MongodbFacts) -> Judgement:
    metrics = facts.status.value["metrics"]
    looked = int(metrics["queryExecutor"]["scannedObjects"])
    found = int(metrics["document"]["returned"])
    if looked < _ENOUGH:
        return not_applicable(f"too few documents examined so far ({looked})")
    ratio = looked / max(1, found)
    return judged(ratio <= _TARGETING, f"{ratio:.0f} documents examined for each one returned")


def _asked(facts: MongodbFacts, bad: bool) -> Judgement:
    if not facts.asked_indexes:
        return not_applicable("the file has no indexes")
    found = {name: state.found for name, state in facts.asked_indexes.items() if state.found}
    others = {name: state for name, state in found.items() if state != "missing"}
    if bad:
        wrong = [f"{name}: {state}" for name, state in others.items() if state != "right"]
        judgement = listed(wrong, f"all match the file ({len(others)})")
    else:
        missing = [name for name in found if name not in others]
        judgement = listed(missing, f"all exist ({len(found)})")
    unseen = [f"{n}: {state.missing}" for n, state in facts.asked_indexes.items() if state.missing]
    if unseen and judgement.verdict == "pass":
        raise UnobservableError(listed(unseen, "").evidence)
    return judgement


def _within(facts: MongodbFacts) -> tuple[Collection, ...]:
    return facts.collections.value.seen


def _listed(facts: MongodbFacts, bad: Sequence[str], more: str = "") -> Judgement:
    """Whether there is nothing bad in the collections examined; what was left out."""
    none = f"none in the {len(_within(facts))} collections examined{more}"
    judgement = listed(bad, none)
    left_out = facts.collections.value.left_out
    if not left_out:
        return judgement
    said = f"{judgement.evidence}; left out: {listed(left_out, '').evidence}"
    return Judgement(judgement.verdict, said)


def _none_unused(facts: MongodbFacts) -> Judgement:
    unused = []
    for one in _within(facts):
        # an index matters only once the collection had the time to need it
        if sum(index.uses for index in one.indexes) >= _USES:
            unused += [
                f"{one.name}.{index.name}"
                for index in one.indexes
                if index.uses == 0 and _idle(index)
            ]
    return _listed(facts, unused)


def _idle(index: Index) -> bool:
    """Whether an index that no query uses is of no use: a unique or TTL index works on writes."""
    return index.plain and index.name != "_id_"


def _none_twice(facts: MongodbFacts) -> Judgement:
    twice = []
    for one in _within(facts):
        plain = sorted((i for i in one.indexes if _idle(i)), key=lambda index: index.keys)
        for short, long in pairwise(plain):
            if long.keys[: len(short.keys)] == short.keys:
                twice.append(f"{one.name}.{short.name} is a prefix of {long.name}")
    return _listed(facts, twice)


def _few(facts: MongodbFacts) -> Judgement:
    many = [f"{c.name} ({len(c.indexes)})" for c in _within(facts) if len(c.indexes) > _INDEXES]
    return _listed(facts, many, f" has more than {_INDEXES}")


CHECKS: tuple[Check[MongodbFacts], ...] = checks(
    __file__,
    {
        "mongodb.version": _version,
        "mongodb.cache-share": _cache_fits,
        "mongodb.cache-pressure": _cache_calm,
        "mongodb.queue": _not_waiting,
        "mongodb.fsync-lock": _not_locked,
        "mongodb.cursors": _cursors,
        "mongodb.query-targeting": _targeting,
        "mongodb.indexes": lambda facts: _asked(facts, bad=False),
        "mongodb.index-options": lambda facts: _asked(facts, bad=True),
        "mongodb.index-unused": _none_unused,
        "mongodb.index-twice": _none_twice,
        "mongodb.index-count": _few,
    },
)
