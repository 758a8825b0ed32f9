"""Where the memory of a MongoDB server goes.

https://www.mongodb.com/docs/manual/faq/storage/ and …/reference/command/serverStatus/ say what the
figures are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from mngdb.checks.memory.common import MB, key, ladder, shown, size, unseen, whole
from mngdb.checks.mongodb.health import DIRTY, FULL, cache_filled
from mngdb.facts.memory import Advice, Around, Holder, Memory
from mngdb.facts.mongodb_memory import MongodbMemory
from mngdb.facts.sessions import Sessions
from mngdb.words import many

#: Of a thread's stack, at the most (mongod asks for no more).
_STACK = MB
#: A share of the memory that connections' stacks may take.
_STACKS = 0.1
#: Of the heap that may be free, and bytes that are worth a sentence.
_FREE, _FREE_LEAST = 1 / 3, 64 * MB
#: Pages that operations had to throw out themselves, of all that were thrown out.
_BY_APPS, _ENOUGH = 0.05, 1000


def judge(facts: MongodbMemory, around: Around, name: str) -> Memory:
    """The answer for the instance `name`."""
    status = facts.status
    footprint = around.footprint.found
    total = footprint.total if footprint else int(status["mem"]["resident"]) * MB
    cache = status.get("wiredTiger", {}).get("cache")
    there = around.there_is.found or facts.there_is.found
    free, heap = _heap(status)
    return Memory(
        total=total,
        limit=there,
        limited_by="the memory there is for it",
        parts=shown(_parts(status, cache, total)),
        holders=_holders(facts.sessions.found),
        contents=facts.cached.found or (),
        advice=(
            *(_cache(cache, name) if cache else ()),
            *_heap_free(free, heap, name),
            *_stacks(status, there, name),
            *_cursors(status),
            *_sorts(status),
            *whole(around, total),
        ),
        unseen=tuple(
            unseen(
                ("the process", around.footprint),
                ("how much memory there is", around.there_is),
                ("connections", facts.sessions),
                ("what is in the cache", facts.cached),
            )
        ),
        figures=_figures(cache, free, heap),
    )


def _figures(cache: Mapping[str, Any] | None, free: int, heap: int) -> dict[str, float]:
    found = {"heap": float(heap), "heap_free": float(free)} if heap else {}
    if cache:
        most, used, dirty = cache_filled(cache)
        found |= {"cache_limit": most, "cache_used": used, "cache_dirty": dirty}
    return found


def _heap(status: Mapping[str, Any]) -> tuple[int, int]:
    """Free and whole size of the heap, without what went back to the system; 0, 0: not told."""
    found = status.get("tcmalloc", {})
    generic, more = found.get("generic", {}), found.get("tcmalloc", {})
    if "heap_size" not in generic:
        return 0, 0
    heap = int(generic["heap_size"]) - int(more.get("pageheap_unmapped_bytes", 0))
    return max(0, heap - int(generic["current_allocated_bytes"])), heap


def _parts(status: Mapping[str, Any], cache: Mapping[str, Any] | None, total: int) -> list[Any]:
    free, heap = _heap(status)
    levels = []
    reached = 0
    if cache:
        most, used, dirty = cache_filled(cache)
        levels = [
            ("the cache: not yet written", dirty),
            (f"the cache: as on disk (at most {size(most)} in all)", used),
        ]
        reached = used
    if heap:
        levels.append(("sessions, sorts, plans, the rest of its work", max(reached, heap - free)))
        levels.append(("free, kept by the allocator", heap))
    return ladder(levels, total, "the program, threads' stacks, other maps")


def _holders(found: Sessions | None) -> tuple[Holder, ...]:
    if found is None:
        return ()
    counts = Counter(one.app or "not logged in" for one in found.sessions)
    idle = Counter(one.app or "not logged in" for one in found.sessions if one.state == "idle")
    return tuple(
        Holder(app, f"{many(count, 'connection')}, {idle[app]} idle", None)
        for app, count in counts.most_common()
    )


def _cache(cache: Mapping[str, Any], name: str) -> list[Advice]:
    most, used, dirty = cache_filled(cache)
    more = key(name, f"memory: {round(most * 1.5 / MB)}mb")
    said = []
    if used > FULL * most:
        text = f"the cache is full: {used / most:.0%} of {size(most)}, operations make room in it"
        said.append(Advice(text, f"{more}; 'mngdb indexes' where queries read too much"))
    if dirty > DIRTY * most:
        text = f"{dirty / most:.0%} of the cache wait to be written: the disk does not keep up"
        said.append(Advice(text, "a faster disk, or smaller bulk writes"))
    by_apps = int(cache.get("pages evicted by application threads", 0))
    every = by_apps + int(cache.get("modified pages evicted", 0))
    every += int(cache.get("unmodified pages evicted", 0))
    if every >= _ENOUGH and by_apps > _BY_APPS * every:
        text = f"operations themselves threw {by_apps:,} pages out of the cache: it is too small"
        said.append(Advice(text, more))
    return said


def _heap_free(free: int, heap: int, name: str) -> list[Advice]:
    if heap == 0 or free <= _FREE * heap or free < _FREE_LEAST:
        return []
    return [
        Advice(
            f"{size(free)} of the heap of {size(heap)} are free and kept (fragmentation): what was "
            "in them has been given up",
            key(name, "settings: {setParameter.tcmallocAggressiveMemoryDecommit: 1}")
            + "; a restart gives it back at once",
        )
    ]


def _stacks(status: Mapping[str, Any], there: int | None, name: str) -> list[Advice]:
    count = int(status["connections"]["current"])
    if not there or count * _STACK <= _STACKS * there:
        return []
    text = f"{count} connections have a stack of up to {size(_STACK)} each: {size(count * _STACK)}"
    return [Advice(text, f"smaller pools in the apps; {key(name, 'max_connections: …')}")]


def _cursors(status: Mapping[str, Any]) -> list[Advice]:
    found = int(status.get("metrics", {}).get("cursor", {}).get("open", {}).get("noTimeout", 0))
    if not found:
        return []
    text = f"{many(found, 'cursor')} without a time limit hold memory until they are closed"
    return [Advice(text, "apps that close their cursors")]


def _sorts(status: Mapping[str, Any]) -> list[Advice]:
    found = status.get("metrics", {}).get("operation", {})
    sorts, writes = int(found.get("scanAndOrder", 0)), status.get("opcounters", {})
    queries = int(writes.get("query", 0)) + int(writes.get("command", 0))
    if sorts < _ENOUGH or sorts * 10 < queries:
        return []
    text = f"{sorts:,} queries sorted in memory, as no index has their order"
    return [Advice(text, "'mngdb indexes' names the index")]
