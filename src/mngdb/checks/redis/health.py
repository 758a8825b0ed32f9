"""How a Redis server fares right now: what a person would look at in INFO."""

from __future__ import annotations

from collections.abc import Mapping

from mngdb.checks import patch_level
from mngdb.checks.catalogue import checks
from mngdb.errors import UnobservableError
from mngdb.facts.redis import RedisFacts
from mngdb.facts.redis_memory import beside_keys
from mngdb.findings import Check, Judgement, judged, not_applicable

_MB = 1 << 20
#: Of maxmemory; of resident to used memory; and bytes below which that ratio means nothing.
NEARLY_FULL, FRAGMENTED, SMALL = 0.8, 1.5, 128 * _MB


def _version(facts: RedisFacts) -> Judgement:
    info = facts.info.value
    settings = _closing(facts)
    at = patch_level.exposure(
        enclosed=facts.enclosed, remote=facts.remote, plain=lambda: facts.plain.value
    )
    if info.get("server_name") == "valkey":  # it also tells which Redis it is compatible with
        return patch_level.judge("Valkey", info["valkey_version"], facts.version, at, settings)
    return patch_level.judge("Redis", info["redis_version"], facts.version, at, settings)


def _closing(facts: RedisFacts) -> Mapping[str, str]:
    """The settings by which holes are closed; one that cannot be seen closes none."""
    try:
        return {"tls-port": facts.config.value.get("tls-port", "0")}
    except UnobservableError:
        return {"tls-port": "unknown"}


def _log_written(facts: RedisFacts) -> Judgement:
    info = facts.info.value
    if info["aof_enabled"] != "1":
        return not_applicable("the append-only file is disabled")
    write, rewrite = info["aof_last_write_status"], info["aof_last_bgrewrite_status"]
    return judged(write == rewrite == "ok", f"last write {write}, last rewrite {rewrite}")


def _snapshot_saved(facts: RedisFacts) -> Judgement:
    if not facts.config.value.get("save"):
        return not_applicable("snapshots are disabled")
    found = facts.info.value["rdb_last_bgsave_status"]
    return judged(found == "ok", f"last snapshot {found}")


def _memory_used(facts: RedisFacts) -> Judgement:
    info = facts.info.value
    limit = int(info["maxmemory"])
    if limit == 0:
        return judged(False, "maxmemory is not set")
    share = int(info["used_memory"]) / limit
    evidence, other = f"{share:.0%} of {limit // _MB} MB", beside_keys(info, "INSTANCE")
    if other and share > NEARLY_FULL:
        return Judgement("fail", f"{evidence}; {other.text}", remedy=other.command)
    return judged(share <= NEARLY_FULL, evidence)


def _fragmentation(facts: RedisFacts) -> Judgement:
    info = facts.info.value
    if int(info["used_memory_rss"]) < SMALL:
        return not_applicable("too small for the ratio to be meaningful")
    ratio = float(info["mem_fragmentation_ratio"])
    return judged(ratio <= FRAGMENTED, f"mem_fragmentation_ratio {ratio:g}")


def _clients(facts: RedisFacts) -> Judgement:
    info = facts.info.value
    found, limit = int(info["connected_clients"]), int(info["maxclients"])
    return judged(found <= 0.8 * limit, f"{found} of {limit}")


def _rejected(facts: RedisFacts) -> Judgement:
    found = int(facts.info.value["rejected_connections"])
    return judged(found == 0, f"{found} since it started")


def _replication(facts: RedisFacts) -> Judgement:
    info = facts.info.value
    if info["role"] == "master":
        return not_applicable("the server is not a replica")
    found = info["master_link_status"]
    return judged(found == "up", f"master_link_status {found}")


CHECKS: tuple[Check[RedisFacts], ...] = checks(
    __file__,
    {
        "redis.version": _version,
        "redis.append-healthy": _log_written,
        "redis.snapshot-healthy": _snapshot_saved,
        "redis.memory-used": _memory_used,
        "redis.fragmentation": _fragmentation,
        "redis.clients-used": _clients,
        "redis.clients-rejected": _rejected,
        "redis.replication": _replication,
    },
)
