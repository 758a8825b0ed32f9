"""Sessions that make others wait."""

from __future__ import annotations

from collections.abc import Iterator

from mngdb.facts.doctor import StackFacts, Trouble
from mngdb.facts.locks import WAITED, Node
from mngdb.secret import app_of
from mngdb.words import many


def blocking(facts: StackFacts) -> Iterator[Trouble]:
    """Whoever holds a lock that others have waited for longer than `WAITED` seconds."""
    for server in facts.servers:
        for root in server.locks:
            waited = _waited(root)
            if waited < WAITED:
                continue
            one = root.backend
            pid = "" if one.by_hand else f"pid {one.pid}, "
            who = f"{one.app or one.kind} ({pid}{one.state or 'working'})"
            text = (
                f"{who} holds a lock in {one.database} of {server.instance} and blocks "
                f"{many(root.frees, 'session')}, the longest for {waited:.0f} s; "
                f"last statement: {one.query[:80]}"
            )
            idle = " --terminate" if one.state.startswith("idle") else ""
            kill = f"mngdb locks kill {one.pid}{idle} --instance {server.instance}"
            command = one.by_hand or kill
            waiting = tuple(dict.fromkeys(_waiting(root)))
            yield Trouble("lock", text, command, (server.instance,), app_of(one.app), waiting)


def _waiting(node: Node) -> Iterator[str]:
    for one in node.blocked:
        yield app_of(one.backend.app)
        yield from _waiting(one)


def _waited(node: Node) -> float:
    return max((max(one.backend.waiting or 0.0, _waited(one)) for one in node.blocked), default=0.0)
