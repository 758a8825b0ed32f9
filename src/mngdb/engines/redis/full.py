"""A Redis that refuses writes since its memory is full. Its policy may evict nothing: then what is
refused is told before the last byte is taken, as large writes are refused before small ones are."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mngdb.errors import ConnectError
from mngdb.facts.redis_memory import beside_keys
from mngdb.words import many

#: Share of maxmemory from which refusals since the start count as those of now.
_NEARLY = 0.95


def refusal(info: Mapping[str, str], instance: str) -> ConnectError | None:
    """What such a server is told as, by INFO; None: it takes writes."""
    limit, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    found = re.match(r"count=(\d+)", info.get("errorstat_OOM", ""))
    times = int(found[1]) if found else 0
    if not limit or info.get("role") == "slave" or _evicts(info):
        return None
    if used >= limit or (times and used >= _NEARLY * limit):
        refused = f" ({many(times, 'write')} refused since its start)" if times else ""
        return error(info, instance, f"at {used / limit:.0%} of its memory{refused}")
    return None


def error(info: Mapping[str, str], instance: str, where: str = "") -> ConnectError:
    """Of a server that has refused a write. `info`: what it tells of its memory, if anything."""
    text = "Redis is out of memory and its eviction policy evicts no keys"
    hint = f"{instance}: {{memory: …}}; 'mngdb keys {instance}' shows what uses it"
    other = beside_keys(info, instance) if "used_memory" in info else None
    if other:
        text, hint = f"{text}: {other.text}", other.command
    return ConnectError(f"{text}, {where}" if where else text, hint, "memory")


def _evicts(info: Mapping[str, str]) -> bool:
    """Whether there are keys that the policy may evict."""
    policy = info.get("maxmemory_policy", "noeviction")
    if policy.startswith("volatile"):
        return any(
            re.search(r"expires=[1-9]", value)
            for key, value in info.items()
            if re.fullmatch(r"db\d+", key)
        )
    return policy != "noeviction"
