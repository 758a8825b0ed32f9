"""Who blocks whom, as a tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Backend:
    """A session that waits for a lock, or that others wait for. Times in seconds."""

    pid: int
    app: str
    """The login."""
    database: str
    client: str
    kind: str
    """PostgreSQL's backend_type: client backend, autovacuum worker, walsender, …"""
    state: str
    age: float
    """Since its transaction began."""
    waiting: float | None
    """Since it began to wait; None: it does not."""
    wants: str
    """The lock that it waits for, in words; empty: none."""
    query: str
    blockers: tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """A session and those that wait for it."""

    backend: Backend
    blocked: tuple[Node, ...]

    @property
    def frees(self) -> int:
        """How many sessions could go on, directly or in turn, if this one ended."""
        return len({node.backend.pid for node in self._below()})

    def _below(self) -> list[Node]:
        return [node for child in self.blocked for node in (child, *child._below())]

    def as_json(self) -> dict[str, Any]:
        """The node as `locks --json` shows it."""
        one = self.backend
        return {
            "pid": one.pid,
            "app": one.app,
            "database": one.database,
            "client": one.client,
            "kind": one.kind,
            "state": one.state,
            "age_seconds": round(one.age, 3),
            "waiting_seconds": None if one.waiting is None else round(one.waiting, 3),
            "wants": one.wants,
            "query": one.query,
            "frees": self.frees,
            "blocked": [node.as_json() for node in self.blocked],
        }


def chains(backends: Sequence[Backend]) -> tuple[Node, ...]:
    """The trees, the one that blocks most first. A ring (a deadlock that the server has not yet
    noticed) is shown from its oldest member."""
    known = {one.pid: one for one in backends}
    waits_for = {one.pid: [p for p in one.blockers if p in known] for one in backends}
    placed: set[int] = set()

    def node(pid: int, above: frozenset[int]) -> Node:
        placed.add(pid)
        inside = above | {pid}
        below = [p for p, blockers in waits_for.items() if pid in blockers and p not in inside]
        below.sort(key=lambda p: -(known[p].waiting or 0))
        return Node(known[pid], tuple(node(p, inside) for p in below))

    roots = [pid for pid, blockers in waits_for.items() if not blockers]
    found = [node(pid, frozenset()) for pid in roots]
    for one in sorted(backends, key=lambda b: -b.age):
        if one.pid not in placed:
            found.append(node(one.pid, frozenset()))  # noqa: PERF401 - `node` fills `placed`
    return tuple(sorted((one for one in found if one.blocked), key=lambda n: -n.frees))
