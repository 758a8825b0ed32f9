"""Who blocks whom, as a tree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from mngdb.words import kind

#: Seconds that somebody has waited for a lock: below it is traffic.
WAITED = 3.0
#: The kind of a transaction that waits for COMMIT PREPARED; no process has it.
PREPARED = "prepared transaction"


class Backend(Struct, frozen=True):
    """A session that waits for a lock, or that others wait for. Times in seconds."""

    pid: int
    """Below zero: a prepared transaction, which no process holds."""
    app: str
    """The login."""
    database: str
    client: str
    kind: str
    """PostgreSQL's backend_type: client backend, autovacuum worker, walsender, …"""
    state: str
    age: float
    """Since its transaction began; of a session that has none, since it connected."""
    waiting: float | None
    """Since it began to wait; None: it does not."""
    wants: str
    """The lock that it waits for, in words; empty: none."""
    query: str
    blockers: tuple[int, ...]

    @property
    def by_hand(self) -> str:
        """What ends a prepared transaction, in its database; of a session it is empty."""
        if self.kind != PREPARED:
            return ""
        gid = self.query.removeprefix("PREPARE TRANSACTION ")
        return f"COMMIT PREPARED {gid} or ROLLBACK PREPARED {gid}, in {self.database}"


class Node(Struct, frozen=True):
    """A session and those that wait for it."""

    backend: Backend
    blocked: tuple[Node, ...]
    frees: int
    """How many sessions could go on, directly or in turn, if this one ended."""

    def without_text(self) -> Node:
        """The same for those who may not see what apps store: of statements their kind alone."""
        one = self.backend
        shown = one if one.kind == PREPARED else replace(one, query=kind(one.query))
        return replace(
            self, backend=shown, blocked=tuple(node.without_text() for node in self.blocked)
        )

    def as_json(self) -> dict[str, Any]:
        """The node as `locks --json` shows it."""
        one = self.backend
        return {
            "pid": one.pid if one.pid > 0 else None,
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
    noticed) is shown from its oldest member.

    Whoever queues for a lock is blocked by its holder and by all that came before: it stands below
    the holder alone. One that waits for two that do not wait for each other stands below both.
    """
    known = {one.pid: one for one in backends}
    # who waited longest comes first: in a queue that is everybody after those that block him
    order = sorted(known, key=lambda pid: -(known[pid].waiting or 0))
    bit = {pid: 1 << number for number, pid in enumerate(order)}
    waits_for = {p: [b for b in known[p].blockers if b in known and b != p] for p in order}
    direct = {pid: _union(bit, waits_for[pid]) for pid in order}
    above = _closed(direct, waits_for)
    below: dict[int, list[int]] = {pid: [] for pid in order}
    for pid in order:
        for blocker in _nearest(pid, waits_for[pid], direct, above):
            below[blocker].append(pid)
    placed: set[int] = set()

    def node(pid: int, upward: frozenset[int]) -> Node:
        inside = upward | {pid}
        # what stands below a session is told once, where it is met first
        children = [] if pid in placed else [p for p in below[pid] if p not in inside]
        placed.add(pid)
        frees = _freed(bit[pid], bit, direct) if below[pid] else 0
        return Node(known[pid], tuple(node(p, inside) for p in children), frees)

    by_age = sorted(known, key=lambda pid: -known[pid].age)
    found = [node(pid, frozenset()) for pid in by_age if not waits_for[pid]]
    for pid in by_age:
        if pid not in placed and below[pid]:
            found.append(node(pid, frozenset()))  # noqa: PERF401 - `node` fills `placed`
    return tuple(sorted((one for one in found if one.blocked), key=lambda n: -n.frees))


# Sets of sessions are the bits of a number: hundreds may queue for one row, each blocked by all
# that came before.


def _union(masks: Mapping[int, int], pids: Iterable[int]) -> int:
    found = 0
    for pid in pids:
        found |= masks[pid]
    return found


def _closed(direct: Mapping[int, int], waits_for: Mapping[int, Sequence[int]]) -> dict[int, int]:
    """Everybody for whom each session waits, directly or in turn."""
    above = dict(direct)
    while True:
        before = dict(above)
        for pid, blockers in waits_for.items():
            above[pid] |= _union(above, blockers)
        if above == before:
            return above


def _nearest(
    pid: int, blockers: Sequence[int], direct: Mapping[int, int], above: Mapping[int, int]
) -> Sequence[int]:
    """Those that block a session and do not themselves wait for another one that does."""
    return [one for one in blockers if not above[one] & direct[pid]] or blockers


def _freed(gone: int, bit: Mapping[int, int], direct: Mapping[int, int]) -> int:
    """How many have nobody left to wait for once a session is gone, and those that it frees."""
    count, before = 0, -1
    while count != before:
        before = count
        for pid, blockers in direct.items():
            if blockers and not blockers & ~gone and not bit[pid] & gone:
                gone |= bit[pid]
                count += 1
    return count
