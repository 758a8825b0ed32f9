"""Where the memory of a PostgreSQL server goes.

https://www.postgresql.org/docs/17/runtime-config-resource.html: a session may take work_mem for
each sort of a statement, and hash_mem_multiplier times that for each hash table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from mngdb.checks.memory.common import MB, key, shown, size, unseen, whole
from mngdb.facts.memory import Advice, Around, Footprint, Holder, Memory, Part
from mngdb.facts.postgres_memory import Backend, PostgresMemory
from mngdb.words import many

_CLIENT = "client backend"
#: Reads that the cache should answer (the manual's chapter on statistics gives the figures, the
#: usual advice this share), once there were enough to tell.
_HITS, _ENOUGH = 0.9, 100_000
#: Temporary files of a database from which on sorts are worth a sentence.
_SPILLED = 100 * MB
#: A cache from which on huge pages matter (the manual, 19.4.5: "large").
_LARGE_CACHE = 8 << 30
#: One session is large from here on.
_LARGE_SESSION = 128 * MB


def judge(facts: PostgresMemory, around: Around, name: str) -> Memory:
    """The answer for the instance `name`."""
    footprint = around.footprint.found
    settings = facts.settings.found or {}
    total = footprint.total if footprint else int(settings.get("shared_memory_size", 0))
    return Memory(
        total=total,
        limit=around.there_is.found,
        limited_by="the memory there is for it",
        parts=shown(_parts(facts, footprint, settings)),
        holders=tuple(_holders(facts.backends.found or (), footprint)),
        contents=facts.cached.found or (),
        advice=(
            *_worst(settings, around, name),
            *_hits(facts, settings, name),
            *_spilled(facts, settings, name),
            *_sessions(facts.backends.found or (), footprint),
            *_huge_pages(facts, settings, name),
            *whole(around, total),
        ),
        unseen=tuple(
            unseen(
                ("settings", facts.settings),
                ("sessions", facts.backends),
                ("what single sessions take", around.footprint),
                ("what is in the cache", facts.cached),
                ("how much of the cache is used", facts.filled),
                ("huge pages", facts.huge_pages),
            )
        ),
        figures=dict(settings) | _figures(facts, settings),
    )


def _figures(facts: PostgresMemory, settings: Mapping[str, float]) -> dict[str, float]:
    found = {"worst_case": float(worst_case(settings))} if settings else {}
    if facts.filled.found is not None:
        used, dirty = facts.filled.found
        found |= {"cache_used": float(used), "cache_dirty": float(dirty)}
    hits, reads = _reads(facts)
    if hits + reads:
        found["cache_hit_ratio"] = hits / (hits + reads)
    return found


def _parts(
    facts: PostgresMemory, footprint: Footprint | None, settings: Mapping[str, float]
) -> list[Part]:
    buffers = int(settings.get("shared_buffers", 0))
    if footprint is None:
        # nothing is seen of the processes: what the server sets aside
        whole_of_it = int(settings.get("shared_memory_size", buffers))
        rest = Part("shared memory besides the cache", max(0, whole_of_it - buffers))
        return [Part("shared_buffers, the cache, as it is set aside", buffers), rest]
    found = [Part(f"shared memory, touched so far ({size(buffers)} are for the cache)",
                  footprint.shared)]  # fmt: skip
    if footprint.own is None:
        return [*found, Part("sessions and the server's own processes",
                             footprint.total - footprint.shared)]  # fmt: skip
    kinds = {one.pid: one for one in facts.backends.found or ()}
    groups: dict[str, list[int]] = defaultdict(list)
    for pid, own in footprint.own.items():
        one = kinds.get(pid)
        groups[_group(one)].append(own)
    for what, sizes in groups.items():
        found.append(Part(f"{what} ({len(sizes)})", sum(sizes)))
    files = footprint.total - sum(part.size for part in found)
    return [*found, Part("programs and libraries", files)]


def _group(one: Backend | None) -> str:
    if one is None:
        return "the server itself"
    if one.kind == _CLIENT:
        return f"sessions of {one.app or 'nobody'}"
    if "autovacuum worker" in one.kind or "parallel" in one.kind:
        return f"{one.kind}s"
    return "the server itself"


def _holders(backends: Sequence[Backend], footprint: Footprint | None) -> list[Holder]:
    own = footprint.own if footprint else None
    groups: dict[str, list[Backend]] = defaultdict(list)
    for one in backends:
        if one.kind == _CLIENT:
            groups[one.app].append(one)
    found = []
    for app, group in groups.items():
        idle = sum(one.state == "idle" for one in group)
        oldest = max(group, key=lambda one: one.seconds)
        taken = sum(own.get(one.pid, 0) for one in group) if own is not None else None
        what = f"{many(len(group), 'session')}, {idle} idle, from {oldest.client or 'here'}"
        found.append(Holder(app, what, taken))
    return sorted(found, key=lambda one: -(one.size or 0))


def worst_case(settings: Mapping[str, float]) -> int:
    """Bytes when each session sorts or hashes once at its limit and vacuum works in full."""
    of_vacuum = settings["autovacuum_work_mem"]
    if of_vacuum < 0:
        of_vacuum = settings["maintenance_work_mem"]
    return int(
        settings.get("shared_memory_size", settings["shared_buffers"])
        + settings["max_connections"] * settings["work_mem"] * settings["hash_mem_multiplier"]
        + settings["autovacuum_max_workers"] * of_vacuum
    )


def _worst(settings: Mapping[str, float], around: Around, name: str) -> list[Advice]:
    there = around.there_is.found
    if not settings or not there:
        return []
    most = worst_case(settings)
    if most <= there:
        return []
    connections, work = settings["max_connections"], settings["work_mem"]
    factor = settings["hash_mem_multiplier"]
    left = there - (most - connections * work * factor)
    fits = max(1, int(left / connections / factor / MB))
    text = (
        f"if each of {connections:.0f} connections hashes once, they take {connections:.0f} × "
        f"{size(work)} (work_mem) × {factor:g} (hash_mem_multiplier) = "
        f"{size(connections * work * factor)}; with the cache and vacuum that is {size(most)} of "
        f"the {size(there)} there are"
    )
    few = f"or fewer connections: {key(name, 'max_connections: …')}"
    if left < connections * factor * MB:
        return [Advice(text, few)]
    return [Advice(text, f"{_work_mem(name, fits)}; {few}")]


def _work_mem(name: str, megabytes: int) -> str:
    return key(name, f"settings: {{work_mem: {megabytes}MB}}")


def _reads(facts: PostgresMemory) -> tuple[int, int]:
    every = facts.databases.found or ()
    return sum(int(one["hit"]) for one in every), sum(int(one["read"]) for one in every)


def _hits(facts: PostgresMemory, settings: Mapping[str, float], name: str) -> list[Advice]:
    hits, reads = _reads(facts)
    if hits + reads < _ENOUGH or hits >= _HITS * (hits + reads):
        return []
    buffers = settings.get("shared_buffers", 0)
    share = hits / (hits + reads)
    text = f"the cache answers {share:.0%} of the reads; the rest goes to the system or the disk"
    more = f"memory: {max(1, round(buffers * 2 / MB))}mb"
    return [Advice(text, f"{key(name, more)}; 'mngdb indexes' where whole tables are read")]


def _spilled(facts: PostgresMemory, settings: Mapping[str, float], name: str) -> list[Advice]:
    work = settings.get("work_mem", 0)
    return [
        Advice(
            f"{one['name']} wrote {size(one['temporary'])} in {one['files']:,} temporary files: "
            f"sorts and hashes there do not fit into work_mem ({size(work)})",
            f"{_work_mem(name, max(1, round(work * 2 / MB)))}; 'mngdb slow' shows the statements",
        )
        for one in facts.databases.found or ()
        if int(one["temporary"]) >= _SPILLED
    ]


def _sessions(backends: Sequence[Backend], footprint: Footprint | None) -> list[Advice]:
    if footprint is None or footprint.own is None:
        return []
    own = footprint.own
    clients = [one for one in backends if one.kind == _CLIENT]
    said = [
        Advice(
            f"one session of {one.app} (pid {one.pid}, {one.state}) holds {size(own[one.pid])}",
            f"'mngdb locks kill {one.pid}' cancels its statement; a pool that renews its sessions",
        )
        for one in clients
        if own.get(one.pid, 0) >= _LARGE_SESSION
    ]
    idle = [one for one in clients if one.state == "idle"]
    held = sum(own.get(one.pid, 0) for one in idle)
    if idle and held > 0.1 * footprint.total and held > _LARGE_SESSION:
        text = f"{many(len(idle), 'idle session')} hold {size(held)}"
        said.append(Advice(text, "smaller pools; 'mngdb connections' shows whose"))
    return said


def _huge_pages(facts: PostgresMemory, settings: Mapping[str, float], name: str) -> list[Advice]:
    buffers = settings.get("shared_buffers", 0)
    if facts.huge_pages.found != "off" or buffers < _LARGE_CACHE:
        return []
    pages = int(settings.get("shared_memory_size", buffers)) // (2 * MB) + 1
    return [
        Advice(
            f"the cache of {size(buffers)} is made of pages of 4 kB: each session needs a table of "
            "them of its own",
            f"sysctl vm.nr_hugepages={pages}, then restart {name}",
        )
    ]
