"""Who is connected, and what follows from that."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, field, to_builtins
from msgspec.structs import replace

from mngdb.words import kind

#: A login holds too much from here on: of the limit, and how many of its sessions are idle.
_NEAR = 0.8
_IDLE_SHARE = 0.8
_IDLE_MANY = 10
#: Seconds after which an open, idle transaction is forgotten rather than slow.
_FORGOTTEN = 60.0


class OneSession(Struct, frozen=True):
    """A connection. `seconds`: since its state began."""

    id: str
    app: str
    """The login."""
    database: str
    client: str
    """Where it comes from, and what it calls itself."""
    state: str
    """active, idle, idle in transaction, waiting, subscribed, heartbeat (of a driver, member or
    replica: no work)."""
    seconds: float
    doing: str
    """What it runs, or ran last, without values that could be secret."""
    age: float | None = None
    """Seconds since it was opened, where the server tells."""


class Sessions(Struct, frozen=True):
    """All connections to one server, and how many it takes."""

    limit: int
    sessions: tuple[OneSession, ...]
    reserved: int = 0
    """Connections that are kept for administrators: apps are refused before the limit."""
    own_limits: Mapping[str, int] = field(default_factory=dict)
    """Login to how many it may have, of those that have a limit of their own."""
    texts: bool = False
    """Whether what sessions do is told as the text of a statement, which has values in it."""

    def as_json(self) -> dict[str, Any]:
        """As `sessions --json` shows it."""
        return {"limit": self.limit, "sessions": [to_builtins(one) for one in self.sessions]}

    def without_text(self) -> Sessions:
        """The same for those who may not see what apps store: of statements their kind alone."""
        if not self.texts:
            return self
        return replace(
            self, sessions=tuple(replace(one, doing=kind(one.doing)) for one in self.sessions)
        )


class Holder(Struct, frozen=True):
    """The connections of one login."""

    app: str
    count: int
    limit: int
    """How many it may have: its own limit, or the server's."""
    idle: int
    forgotten: int
    """Idle in an open transaction for a minute or more."""
    longest: float
    """Seconds that the longest idle one has been so."""
    clients: tuple[str, ...]


def holders(found: Sessions) -> list[Holder]:
    """Logins by how many connections they hold, the most first."""
    groups: dict[str, list[OneSession]] = defaultdict(list)
    for one in found.sessions:
        groups[one.app].append(one)
    made = [
        _holder(app, group, found.own_limits.get(app, found.limit)) for app, group in groups.items()
    ]
    return sorted(made, key=lambda holder: -holder.count)


def _holder(app: str, group: Sequence[OneSession], limit: int) -> Holder:
    idle = [one.seconds for one in group if one.state.startswith("idle")]
    forgotten = [s for s in group if "transaction" in s.state and s.seconds >= _FORGOTTEN]
    clients = sorted({one.client for one in group if one.client})
    longest = max(idle, default=0)
    return Holder(app, len(group), limit, len(idle), len(forgotten), longest, tuple(clients))


def advice(found: Sessions) -> list[str]:
    """What to change, the most pressing first; empty when all is well."""
    said = []
    total = len(found.sessions)
    everyone = holders(found)
    if found.limit and total >= _NEAR * found.limit and everyone:
        most = everyone[0]
        said.append(
            f"{total} of {found.limit} connections are in use, {most.count} of them by "
            f"{most.app or 'clients that did not log in'}: new ones will be refused"
        )
    for one in everyone:
        if one.app in found.own_limits and one.count >= one.limit:
            said.append(
                f"{one.app} has all the {one.limit} connections that it may have: new ones of its "
                "own are refused"
            )
        mostly_idle = one.idle >= _IDLE_MANY and one.idle >= _IDLE_SHARE * one.count
        if mostly_idle and one.count >= 0.25 * found.limit:
            said.append(
                f"{one.app} holds {one.count} connections, {one.idle} of them idle: it leaks them "
                "or its pool is too large; close what is opened, or make the pool smaller"
            )
        if one.forgotten:
            said.append(
                f"{one.app} has {one.forgotten} open transactions that do nothing for a minute or "
                "more: they hold locks and keep vacuum from cleaning"
            )
    return said
