"""What has to be true of a Redis server in production.

Sources: the requirements (B12 to B17), the guide's chapters, and redis.io's pages: "security",
"ACL", "persistence", "administration", "latency", "clients", "TLS".
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mngdb.checks import redis_access, redis_health
from mngdb.facts.redis import RedisFacts
from mngdb.findings import Check, Judgement, judged, no_matter

_MB = 1 << 20
_SAVE = {(900, 1), (300, 10), (60, 10000)}


def _setting(name: str, good: Callable[[str], bool]) -> Callable[[RedisFacts], Judgement]:
    """Judges one value of CONFIG GET."""

    def judge(facts: RedisFacts) -> Judgement:
        value = facts.config.value.get(name)
        if value is None:
            return no_matter(f"this version has no {name}")
        return judged(good(value), f"{name} {value or 'is empty'}")

    return judge


def _is(wanted: str) -> Callable[[str], bool]:
    return lambda value: value == wanted


def _between(low: int, high: int) -> Callable[[str], bool]:
    return lambda value: low <= int(value) <= high


def _with_log(judge: Callable[[RedisFacts], Judgement], facts: RedisFacts) -> Judgement:
    if facts.config.value.get("appendonly") != "yes":
        return no_matter("the append-only file is off")
    return judge(facts)


def _with_snapshots(judge: Callable[[RedisFacts], Judgement], facts: RedisFacts) -> Judgement:
    if not facts.config.value.get("save"):
        return no_matter("there are no snapshots")
    return judge(facts)


def _log_on(facts: RedisFacts) -> Judgement:
    found = facts.config.value["appendonly"]
    if found == "no" and facts.wanted.get("appendonly") == "no" and not facts.wanted.get("save"):
        return no_matter("the file asks for a cache that keeps nothing")
    return judged(found == "yes", f"appendonly {found}")


def _save_points(facts: RedisFacts) -> Judgement:
    found = facts.config.value["save"]
    if not found and facts.wanted.get("save") == "":
        return no_matter("the file asks for no snapshots")
    words = found.split()
    points = {(int(a), int(b)) for a, b in zip(words[::2], words[1::2], strict=True)}
    # one that comes as soon, after as few changes, does as well
    good = all(any(a <= s and b <= n for a, b in points) for s, n in _SAVE)
    return judged(good, f"save {found or 'is empty'}")


def _rewrite(facts: RedisFacts) -> Judgement:
    config = facts.config.value
    share, size = config["auto-aof-rewrite-percentage"], config["auto-aof-rewrite-min-size"]
    good = 0 < int(share) <= 100 and int(size) <= 64 * _MB
    return judged(good, f"rewritten after {share} % of growth, from {int(size) // _MB} MB on")


def _limit_set(facts: RedisFacts) -> Judgement:
    limit = int(facts.config.value["maxmemory"])
    return judged(limit > 0, f"maxmemory {limit // _MB} MB" if limit else "maxmemory 0: no limit")


def _limit_fits(facts: RedisFacts) -> Judgement:
    limit = int(facts.config.value["maxmemory"])
    there_is = facts.memory or int(facts.info.value["total_system_memory"])
    if limit == 0:
        return judged(False, "no limit: all of the machine's memory")
    share = limit / there_is
    return judged(share <= 0.8, f"{share:.0%} of {there_is // _MB} MB")


def _eviction(facts: RedisFacts) -> Judgement:
    found = facts.config.value["maxmemory-policy"]
    wanted = facts.wanted.get("maxmemory-policy", "allkeys-lru")
    return judged(found == wanted, f"maxmemory-policy {found}")


def _pubsub_limit(facts: RedisFacts) -> Judgement:
    words = facts.config.value["client-output-buffer-limit"].split()
    limits = {words[i]: words[i + 1 : i + 4] for i in range(0, len(words), 4)}
    found = limits.get("pubsub", ["0", "0", "0"])
    bounded = found[0] != "0" or found[1] != "0"
    return judged(bounded, f"pubsub {' '.join(found)}")


def _key(text: str) -> str:
    return f"redis: {{{text}}}, then 'mngdb up'"


def _up(line: str) -> str:
    """The remedy for what `mngdb up` sets by itself."""
    return (
        f"'mngdb up' sets it on servers that it runs; elsewhere '{line}' in redis.conf, "
        "and a restart"
    )


SETTINGS: tuple[Check[RedisFacts], ...] = (
    Check(
        "redis.protected-mode",
        "protected mode is on",
        "high",
        _setting("protected-mode", _is("yes")),
        "protected-mode yes",
        _up("protected-mode yes"),
        ("B14", "guide: Redis 1", "redis.io: security"),
    ),
    Check(
        "redis.debug-command",
        "DEBUG is off for everybody",
        "high",
        _setting("enable-debug-command", _is("no")),
        "enable-debug-command no",
        _up("enable-debug-command no"),
        ("redis.io: security",),
    ),
    Check(
        "redis.module-command",
        "nobody loads code into the running server",
        "high",
        _setting("enable-module-command", _is("no")),
        "enable-module-command no",
        _up("enable-module-command no"),
        ("redis.io: security",),
    ),
    Check(
        "redis.protected-configs",
        "paths and dangerous settings cannot be changed at run time",
        "high",
        _setting("enable-protected-configs", _is("no")),
        "enable-protected-configs no",
        _up("enable-protected-configs no"),
        ("redis.io: security",),
    ),
    Check(
        "redis.append-only-file",
        "every write goes to the append-only file",
        "critical",
        _log_on,
        "appendonly yes",
        _key("appendonly: true"),
        ("A10", "B15", "guide: Redis 2", "redis.io: persistence", "guide: checklist"),
    ),
    Check(
        "redis.append-fsync",
        "the append-only file reaches the disk every second",
        "high",
        partial(_with_log, _setting("appendfsync", lambda v: v in {"everysec", "always"})),
        "appendfsync everysec (or always)",
        _key("appendfsync: everysec"),
        ("B15", "guide: Redis 2", "redis.io: persistence", "guide: checklist"),
    ),
    Check(
        "redis.append-rewrite",
        "the append-only file is rewritten before it grows large",
        "medium",
        partial(_with_log, _rewrite),
        "at 100 % of growth, from 64 MB on",
        _key("rewrite_percentage: 100, rewrite_min_size: 64mb"),
        ("B15", "guide: Redis 2"),
    ),
    Check(
        "redis.append-during-rewrite",
        "a rewrite does not suspend fsync",
        "medium",
        partial(_with_log, _setting("no-appendfsync-on-rewrite", _is("no"))),
        "no-appendfsync-on-rewrite no",
        _key("settings: {no-appendfsync-on-rewrite: 'no'}"),
        ("redis.io: persistence",),
    ),
    Check(
        "redis.append-timestamps",
        "the append-only file tells when: any moment can be restored",
        "medium",
        partial(_with_log, _setting("aof-timestamp-enabled", _is("yes"))),
        "aof-timestamp-enabled yes",
        _up("aof-timestamp-enabled yes"),
        ("A10", "redis.io: persistence"),
    ),
    Check(
        "redis.append-preamble",
        "the append-only file begins with a snapshot: it loads fast",
        "low",
        partial(_with_log, _setting("aof-use-rdb-preamble", _is("yes"))),
        "aof-use-rdb-preamble yes",
        _up("aof-use-rdb-preamble yes"),
        ("redis.io: persistence",),
    ),
    Check(
        "redis.save-points",
        "snapshots are saved at the guide's points",
        "high",
        _save_points,
        "save 900 1 300 10 60 10000",
        _key("save: [900 1, 300 10, 60 10000]"),
        ("B15", "guide: Redis 2", "guide: checklist"),
    ),
    Check(
        "redis.snapshot-compression",
        "snapshots are compressed",
        "low",
        partial(_with_snapshots, _setting("rdbcompression", _is("yes"))),
        "rdbcompression yes",
        _up("rdbcompression yes"),
        ("B15", "guide: Redis 2"),
    ),
    Check(
        "redis.snapshot-checksum",
        "a damaged snapshot is noticed",
        "medium",
        partial(_with_snapshots, _setting("rdbchecksum", _is("yes"))),
        "rdbchecksum yes",
        _up("rdbchecksum yes"),
        ("redis.io: persistence",),
    ),
    Check(
        "redis.stop-writes",
        "writes stop when snapshots fail, instead of going on unsaved",
        "medium",
        partial(_with_snapshots, _setting("stop-writes-on-bgsave-error", _is("yes"))),
        "stop-writes-on-bgsave-error yes",
        _up("stop-writes-on-bgsave-error yes"),
        ("redis.io: persistence",),
    ),
    Check(
        "redis.memory-limit",
        "memory has a limit",
        "critical",
        _limit_set,
        "maxmemory above 0",
        _key("memory: 70%"),
        ("B16", "guide: Redis 3", "redis.io: administration", "guide: checklist"),
    ),
    Check(
        "redis.memory-share",
        "the limit leaves room for forks and for others",
        "high",
        _limit_fits,
        "at most 80 % of the memory there is",
        _key("memory: 70%"),
        ("B16", "guide: Redis 3", "guide: checklist"),
    ),
    Check(
        "redis.eviction",
        "at the limit the policy of the file applies",
        "high",
        _eviction,
        "allkeys-lru, or what the file names",
        _key("eviction: allkeys-lru"),
        ("B16", "guide: Redis 3", "guide: checklist"),
    ),
    Check(
        "redis.eviction-samples",
        "enough keys are looked at before one is evicted",
        "low",
        _setting("maxmemory-samples", _between(5, 64)),
        "maxmemory-samples 5 or more",
        _key("samples: 5"),
        ("B16", "guide: Redis 3"),
    ),
    Check(
        "redis.timeout",
        "idle connections are closed",
        "medium",
        _setting("timeout", _between(1, 300)),
        "timeout 1 to 300 seconds",
        _key("timeout: 5m"),
        ("B17", "guide: Redis 4", "redis.io: clients"),
    ),
    Check(
        "redis.keepalive",
        "dead peers are noticed",
        "medium",
        _setting("tcp-keepalive", _between(1, 300)),
        "tcp-keepalive 1 to 300 seconds",
        _key("tcp_keepalive: 5m"),
        ("B17", "guide: Redis 4", "redis.io: clients"),
    ),
    Check(
        "redis.clients-limit",
        "10000 clients fit",
        "medium",
        # the server lowers it by itself where too few files may be open
        _setting("maxclients", _between(10_000, 1 << 31)),
        "maxclients 10000 or more, as the server has it",
        "redis: {max_clients: 10000}, and 'ulimit -n' above 10032 where the server starts",
        ("B17", "guide: Redis 4", "redis.io: clients"),
    ),
    Check(
        "redis.slow-log",
        "what takes over 10 ms is logged",
        "medium",
        _setting("slowlog-log-slower-than", _between(0, 10_000)),
        "slowlog-log-slower-than 0 to 10000 (microseconds)",
        _key("slow: 10ms"),
        ("B17", "guide: Redis 4"),
    ),
    Check(
        "redis.slow-log-length",
        "the slow log keeps enough",
        "low",
        _setting("slowlog-max-len", _between(128, 1 << 31)),
        "slowlog-max-len 128 or more",
        _key("slow_entries: 128"),
        ("B17", "guide: Redis 4"),
    ),
    Check(
        "redis.latency-monitor",
        "forks and slow disks are measured",
        "low",
        _setting("latency-monitor-threshold", _between(1, 1000)),
        "latency-monitor-threshold 1 to 1000 (milliseconds)",
        _up("latency-monitor-threshold 100"),
        ("redis.io: latency",),
    ),
    Check(
        "redis.script-limit",
        "a script that runs away can be stopped",
        "medium",
        _setting("busy-reply-threshold", _between(1, 5000)),
        "busy-reply-threshold 1 to 5000 (milliseconds)",
        _key("settings: {busy-reply-threshold: 5000}"),
        ("redis.io: programmability",),
    ),
    Check(
        "redis.subscriber-limit",
        "a slow subscriber cannot fill the memory",
        "medium",
        _pubsub_limit,
        "a limit for pubsub in client-output-buffer-limit",
        _key("settings: {client-output-buffer-limit: pubsub 32mb 8mb 60}"),
        ("redis.io: clients",),
    ),
)

CHECKS = (*redis_access.CHECKS, *SETTINGS, *redis_health.CHECKS)
