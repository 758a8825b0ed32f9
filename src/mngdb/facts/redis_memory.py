"""What a Redis server tells of its memory, and what takes it beside keys, by INFO memory.

https://redis.io/docs/latest/commands/info/: used_memory_scripts_eval, used_memory_functions and
mem_clients_normal count against maxmemory, and nothing of them is ever evicted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from msgspec import Struct

from mngdb.facts.memory import MemoryFacts
from mngdb.findings import Seen

_MB = 1 << 20
#: A share of the used memory, and bytes, from which it is worth a sentence.
_SHARE, _LEAST = 0.25, _MB


class RedisClient(Struct, frozen=True):
    """A connection. `output` waits for it to be read; `total` has all that it holds."""

    id: str
    app: str
    client: str
    total: int
    output: int
    command: str


@dataclass(frozen=True)
class RedisMemory(MemoryFacts):
    """A Redis server as observed. `info` is INFO, `stats` MEMORY STATS, by its names."""

    info: Mapping[str, str]
    stats: Seen[Mapping[str, float]]
    doctor: Seen[str]
    clients: Seen[tuple[RedisClient, ...]]
    settings: Seen[Mapping[str, str]]
    """Those of the active defragmentation."""


class Beside(NamedTuple):
    """What it is, and what helps."""

    text: str
    command: str


def beside_keys(info: Mapping[str, str], instance: str) -> Beside | None:
    """The largest of what is there beside keys; None: it is no matter."""
    before_7 = info.get("used_memory_scripts", "0")
    sizes = {
        "scripts": int(info.get("used_memory_scripts_eval", before_7)),
        "functions": int(info.get("used_memory_functions", 0)),
        "clients": int(info.get("mem_clients_normal", 0)),
    }
    kind = max(sizes, key=lambda one: sizes[one])
    if sizes[kind] < max(_LEAST, _SHARE * int(info["used_memory"])):
        return None
    text, command = _KINDS[kind]
    shell = f"mngdb shell {instance} --"
    return Beside(
        f"{sizes[kind] // _MB} MB of it are {text}",
        command.format(shell=shell, instance=instance),
    )


_KINDS = {
    "scripts": (
        "scripts that apps loaded (SCRIPT LOAD, EVAL), which nothing evicts",
        "{shell} SCRIPT FLUSH; then an app that loads ever new scripts has to give them arguments",
    ),
    "functions": (
        "functions, which nothing evicts",
        "{shell} FUNCTION LIST shows them, {shell} FUNCTION DELETE removes a library",
    ),
    "clients": (
        "buffers of clients, which nothing evicts",
        "mngdb memory {instance} names them, and what ends one",
    ),
}
