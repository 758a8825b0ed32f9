"""How a Redis server keeps its data, what memory it may use, and what its clients may."""

from __future__ import annotations

from mngdb.checks.catalogue import Judge, checks, good
from mngdb.checks.redis.settings import SETTINGS, setting
from mngdb.facts.redis import RedisFacts
from mngdb.findings import Check, Judgement, judged, not_applicable

_MB = 1 << 20
_SAVE = {(900, 1), (300, 10), (60, 10000)}


def _with(name: str, off: str, judge: Judge[RedisFacts]) -> Judge[RedisFacts]:
    """Judges only where the setting `name` is on."""

    def judged_if_on(facts: RedisFacts) -> Judgement:
        if facts.config.value.get(name, "") in {"", "no"}:
            return not_applicable(off)
        return judge(facts)

    return judged_if_on


def _with_log(judge: Judge[RedisFacts]) -> Judge[RedisFacts]:
    return _with("appendonly", "the append-only file is disabled", judge)


def _with_snapshots(judge: Judge[RedisFacts]) -> Judge[RedisFacts]:
    return _with("save", "snapshots are disabled", judge)


def _log_on(facts: RedisFacts) -> Judgement:
    found = facts.config.value["appendonly"]
    if found == "no" and facts.wanted.get("appendonly") == "no" and not facts.wanted.get("save"):
        return not_applicable("the file configures a cache without persistence")
    return judged(found == "yes", f"appendonly {found}")


def _save_points(facts: RedisFacts) -> Judgement:
    found = facts.config.value["save"]
    if not found and facts.wanted.get("save") == "":
        return not_applicable("the file disables snapshots")
    words = found.split()
    points = {(int(a), int(b)) for a, b in zip(words[::2], words[1::2], strict=True)}
    # one that comes as soon, after as few changes, does as well
    good = all(any(a <= s and b <= n for a, b in points) for s, n in _SAVE)
    return judged(good, f"save {found or 'is empty'}")


def _rewrite(facts: RedisFacts) -> Judgement:
    config = facts.config.value
    share, size = config["auto-aof-rewrite-percentage"], config["auto-aof-rewrite-min-size"]
    good = 0 < int(share) <= 100 and int(size) <= 64 * _MB
    return judged(good, f"rewritten after {share} % of growth, from {int(size) // _MB} MB")


def _limit_set(facts: RedisFacts) -> Judgement:
    limit = int(facts.config.value["maxmemory"])
    return judged(limit > 0, f"maxmemory {limit // _MB} MB" if limit else "maxmemory 0: no limit")


def _limit_fits(facts: RedisFacts) -> Judgement:
    limit = int(facts.config.value["maxmemory"])
    there_is = facts.memory or int(facts.info.value["total_system_memory"])
    if limit == 0:
        return judged(False, "no limit")
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


CHECKS: tuple[Check[RedisFacts], ...] = checks(
    __file__,
    {
        "redis.append-only-file": _log_on,
        "redis.append-fsync": _with_log(setting("appendfsync", good(["everysec", "always"]))),
        "redis.append-rewrite": _with_log(_rewrite),
        "redis.append-during-rewrite": _with_log(setting("no-appendfsync-on-rewrite", good("no"))),
        "redis.append-timestamps": _with_log(setting("aof-timestamp-enabled", good("yes"))),
        "redis.append-preamble": _with_log(setting("aof-use-rdb-preamble", good("yes"))),
        "redis.save-points": _save_points,
        "redis.snapshot-compression": _with_snapshots(setting("rdbcompression", good("yes"))),
        "redis.snapshot-checksum": _with_snapshots(setting("rdbchecksum", good("yes"))),
        "redis.stop-writes": _with_snapshots(setting("stop-writes-on-bgsave-error", good("yes"))),
        "redis.memory-limit": _limit_set,
        "redis.memory-share": _limit_fits,
        "redis.eviction": _eviction,
        "redis.subscriber-limit": _pubsub_limit,
    },
    SETTINGS,
)
