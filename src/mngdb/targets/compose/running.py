"""Containers as they run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from mngdb.run import last_line
from mngdb.targets.compose.docker import Docker

#: Both versions of control groups; what a server has in memory, without the files' pages.
_MEMORY = "cat /sys/fs/cgroup/memory.stat /sys/fs/cgroup/memory/memory.stat 2>/dev/null"
_COUNTED = {"anon", "shmem", "total_rss", "total_shmem"}


class RunningContainer(Struct, frozen=True):
    """A container that runs."""

    docker: Docker
    name: str
    started: datetime
    verdict: str = ""
    """Docker's own, by its health check: starting, healthy, unhealthy."""
    said: str = ""
    """What the check said last."""

    def memory(self) -> int | None:
        """Bytes of processes and shared memory; None where the container does not say."""
        done = self.docker.look("exec", self.name, "sh", "-c", _MEMORY, check=False)
        words = [line.split() for line in done.stdout.splitlines()]
        sizes = [int(two[1]) for two in words if len(two) == 2 and two[0] in _COUNTED]
        return sum(sizes) if sizes else None

    def uptime(self) -> float:
        """Seconds since it started, by this machine's clock."""
        return max(0.0, (datetime.now(UTC) - self.started).total_seconds())


class Ran(Struct, frozen=True):
    """A container that we started: how often the engine had started it again by then."""

    restarts: int


def as_running(
    docker: Docker, name: str, found: Mapping[str, Any] | None
) -> RunningContainer | None:
    """A container of which `inspect` told `found`, if it runs and does not end again and again."""
    if found is None or not found["State"]["Running"] or found["State"]["Restarting"]:
        return None
    health = found["State"].get("Health") or {}
    log = health.get("Log") or []
    said = last_line(log[-1]["Output"]) if log else ""
    return RunningContainer(docker, name, _started(found), health.get("Status", ""), said)


def _started(found: Mapping[str, Any]) -> datetime:
    # nine digits after the point are too many for Python
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", found["State"]["StartedAt"]))
