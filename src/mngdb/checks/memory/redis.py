"""Where the memory of a Redis goes.

https://redis.io/docs/latest/commands/memory-stats/, …/commands/info/ (section memory) and
…/operate/oss_and_stack/management/optimization/memory-optimization/ say what each figure is.
"""

from __future__ import annotations

from mngdb.checks.memory.common import MB, key, ladder, shown, size, unseen, whole
from mngdb.checks.redis.health import FRAGMENTED, NEARLY_FULL, SMALL
from mngdb.facts.memory import Advice, Around, Holder, Memory, Part
from mngdb.facts.redis_memory import RedisClient, RedisMemory, beside_keys
from mngdb.words import many

#: Figures of MEMORY STATS that are parts of the overhead, and what they are.
_OVERHEAD = (
    ("the server itself, as it starts", ("startup.allocated",)),
    ("the tables of keys", ("keys.tables",)),
    ("clients: buffers", ("clients.normal",)),
    ("replicas: buffers", ("clients.slaves", "replica.fullsync.buffer")),
    ("replication backlog", ("replication.backlog",)),
    ("append-only file: buffer", ("aof.buffer",)),
    ("scripts and functions", ("lua.caches", "functions.caches")),
    ("links of the cluster", ("cluster.links",)),
)
#: A share of the used memory, and bytes, from which a client's is worth a sentence.
_CLIENT_SHARE, _CLIENT_LEAST = 0.05, MB
#: Shown by name.
_CLIENTS = 5
#: How far a level of memory may lie above the one inside it before it explains a bad ratio.
_APART = 1.2


def judge(facts: RedisMemory, around: Around, name: str) -> Memory:
    """The answer for the instance `name`."""
    info = facts.info
    used, resident = int(info["used_memory"]), int(info["used_memory_rss"])
    limit = int(info["maxmemory"])
    clients = facts.clients.found or ()
    return Memory(
        total=resident,
        limit=limit or None,
        limited_by="maxmemory",
        parts=shown(_parts(facts, used, resident)),
        holders=tuple(
            Holder(one.app, f"{one.client} (id {one.id}), {one.command}", one.total)
            for one in sorted(clients, key=lambda one: -one.total)[:_CLIENTS]
        ),
        contents=(),
        advice=(
            *fragmentation(facts, name),
            *_limit(facts, used, limit, name),
            *(_client(one) for one in clients if _large(one, used)),
            *_tables(facts),
            *_told(facts),
            *whole(around, resident),
        ),
        unseen=tuple(
            unseen(
                ("the parts of what is used", facts.stats),
                ("clients", facts.clients),
                ("the process", around.footprint),
            )
        ),
        figures={
            "used": used,
            "peak": int(info["used_memory_peak"]),
            "fragmentation_ratio": float(info["mem_fragmentation_ratio"]),
            "evicted_keys": int(info.get("evicted_keys", 0)),
        },
    )


def _parts(facts: RedisMemory, used: int, resident: int) -> list[Part]:
    inside = [Part("used", used)]
    if facts.stats.found is not None:
        stats = facts.stats.found
        keys = int(stats.get("keys.count", 0))
        overhead = int(stats["overhead.total"])
        parts = [
            Part(what, int(sum(stats.get(one, 0) for one in names))) for what, names in _OVERHEAD
        ]
        known = sum(part.size for part in parts)
        inside = [Part(f"data: {many(keys, 'key')}", used - overhead), *parts]
        inside.append(Part("other overhead", overhead - known))
    levels = [
        ("outside of maxmemory: what scripts run in, libraries", _level(facts, "allocated", used)),
        ("fragmentation: free places in pages that are in use", _level(facts, "active", used)),
        ("freed pages that the allocator keeps", _level(facts, "resident", used)),
    ]
    outside = ladder([("used", used), *levels], resident, "the program, stacks, other maps")
    return [*inside, *outside[1:]]


def _level(facts: RedisMemory, what: str, used: int) -> int:
    """A figure of the allocator; one that does not tell (libc's) has what is used."""
    return int(facts.info.get(f"allocator_{what}", 0)) or used


def fragmentation(facts: RedisMemory, name: str) -> list[Advice]:
    """What the ratio means and what to do; empty while it is in order."""
    info = facts.info
    used, resident = int(info["used_memory"]), int(info["used_memory_rss"])
    ratio = float(info["mem_fragmentation_ratio"])
    if ratio <= FRAGMENTED:
        return []
    head = f"the fragmentation ratio is {ratio:.1f} ({size(resident)} taken for {size(used)} used)"
    if resident < SMALL:
        why = f"that means nothing below {SMALL // MB} MB: it is the program's own size"
        return [Advice(f"{head}: {why}")]
    allocated = max(used, _level(facts, "allocated", used))
    active, kept = _level(facts, "active", used), _level(facts, "resident", used)
    peak = int(info["used_memory_peak"])
    after = ""
    if peak > _APART * used:
        after = f"; {size(peak)} were in use once, and keys were deleted since"
    said = []
    if active > _APART * allocated:
        free = f"{size(active - allocated)} are free places in pages that still hold a value"
        said.append(Advice(f"{head}: {free}{after}", _defragment(facts, active - allocated, name)))
    if kept > _APART * active:
        what = f"{size(kept - active)} are whole pages that the allocator keeps for later{after}"
        said.append(Advice(f"{head}: {what}; jemalloc gives them back in time", "MEMORY PURGE"))
    if resident > _APART * kept:
        what = f"{size(resident - kept)} are outside of the allocator"
        causes = "huge pages, modules, or copies made while a snapshot is written"
        said.append(Advice(f"{head}: {what}: {causes}", "look again; then restart it"))
    return said or [Advice(f"{head}: a little of everything", "a restart, when it suits")]


def _defragment(facts: RedisMemory, wasted: int, name: str) -> str:
    settings = facts.settings.found or {}
    on = settings.get("activedefrag") == "yes"
    least = int(settings.get("active-defrag-ignore-bytes", 0))
    # it leaves alone what is less than that, 100 MB by default
    low = f"active-defrag-ignore-bytes: {max(1, wasted // 4 // MB)}mb" if wasted < least else ""
    wanted = ", ".join(filter(None, ("" if on else "activedefrag: 'yes'", low)))
    if not wanted:
        return "wait: activedefrag is on and joins them"
    return f"{key(name, f'settings: {{{wanted}}}')}; a restart does it at once"


def _limit(facts: RedisMemory, used: int, limit: int, name: str) -> list[Advice]:
    policy = facts.info.get("maxmemory_policy", "")
    if limit == 0:
        return [
            Advice("it has no limit and grows until the kernel kills it", key(name, "memory: …"))
        ]
    if used <= NEARLY_FULL * limit:
        return []
    share = f"{used / limit:.0%} of maxmemory ({size(limit)}) are used"
    more = key(name, f"memory: {max(1, round(limit / MB * 1.5))}mb")
    if policy == "noeviction":
        then = "at the limit writes are refused (noeviction)"
    elif policy.startswith("volatile"):
        then = f"at the limit only keys with an expiry go ({policy}); without any, writes fail"
    else:
        then = f"keys are thrown out at the limit ({policy})"
    evicted = int(facts.info.get("evicted_keys", 0))
    so_far = f"; {evicted:,} so far" if evicted else ""
    if other := beside_keys(facts.info, name):
        return [Advice(f"{share}, {other.text}: {then}{so_far}", other.command)]
    return [Advice(f"{share}: {then}{so_far}", f"{more}; 'mngdb keys {name}' shows what takes it")]


def _large(one: RedisClient, used: int) -> bool:
    return one.total >= max(_CLIENT_LEAST, _CLIENT_SHARE * used)


def _client(one: RedisClient) -> Advice:
    who = f"{one.app} from {one.client} (id {one.id})"
    if one.output * 2 > one.total:
        text = f"{who} does not read its answers: {size(one.output)} wait for it"
    else:
        text = f"{who} holds {size(one.total)} with one command ({one.command})"
    return Advice(
        text,
        f"read what is asked for, ask for less at a time; CLIENT KILL ID {one.id} frees it now",
    )


def _tables(facts: RedisMemory) -> list[Advice]:
    stats = facts.stats.found
    if stats is None:
        return []
    keys, tables = stats.get("keys.count", 0), stats.get("keys.tables", 0)
    if keys and tables > SMALL and tables > stats["dataset.bytes"]:
        each = f"{stats['dataset.bytes'] / keys:.0f} bytes of data each"
        text = f"the tables of {keys:,.0f} keys take more than their values ({each})"
        return [Advice(text, "fewer, larger keys: hashes hold small values in less")]
    return []


def _told(facts: RedisMemory) -> list[Advice]:
    """What MEMORY DOCTOR says beyond what was said: its bullets begin with a star."""
    said = (facts.doctor.found or "").split(" * ")[1:]
    known = ("fragmentation", "peak", "rss")
    heads = [text.partition(":")[0].strip() for text in said]
    return [
        Advice(f"MEMORY DOCTOR: {head}")
        for head in heads
        if not any(k in head.lower() for k in known)
    ]
