"""How far each instance's log is in the store: kept by the agent for every command to see."""

from __future__ import annotations

import time
from collections.abc import Collection

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from mngdb import disk
from mngdb.ops.backup import place
from mngdb.ops.context import Context
from mngdb.spec.stack import Instance

#: In the stack's own folder: a file for each instance.
_FOLDER = "archive"
#: Seconds since the moment that it has reached, after which a log is not followed.
_LATE = 10.0
_TIME = "give 'backup: {keep: {point_in_time: …}}' a time"


class Archived(Struct, frozen=True, kw_only=True):
    """How far the log of an instance is in the store. `begin` and `stored` are positions without a
    gap between them; `until` is the moment that they reach, `keys` the fingerprint of the public
    keys that it is encrypted for, `error` why it goes no further, `at` when there was none last
    (seconds since the epoch)."""

    branch: str = ""
    begin: int = 0
    stored: int = 0
    until: float = 0.0
    keys: str = ""
    error: str = ""
    at: float = 0.0
    store: str = ""
    """Where it is."""
    earlier: float = 0.0
    """The moment that the log before this one reached, which led on from the last snapshot."""

    def age(self, now: float) -> float:
        """Seconds since everything was in the store that the server had written. Where the clock
        was set back, those since it was followed last tell whether it is."""
        return now - self.until if self.until <= now else abs(now - self.at)


def followed(context: Context) -> list[Instance]:
    """The instances whose log is archived: none where the file has no `backup:`, or no agent."""
    if context.stack.agent is None:
        return []
    every = (one for one in context.stack.instances.values() if one.archived)
    return [one for one in every if context.engine(one).follow is not None]


def remedy(context: Context, instance: str) -> str:
    """What the file needs for the log of an instance to be archived; empty where it is."""
    backup = context.stack.backup
    given = context.stack.instances.get(instance)
    if given is not None and given.hosted:
        return "" if place.wanted(context).keep.point_in_time else _TIME
    if any(one.name == instance for one in followed(context)):
        return ""
    if backup is None:
        return "add 'backup: {}' to the file"
    if not backup.keep.point_in_time:
        return _TIME
    return "write 'agent: true'" if context.stack.agent is None else ""


def behind(context: Context, names: Collection[str]) -> bool:
    """Whether the log of one of these instances is not followed at the moment."""
    found = [read(context, one.name) for one in followed(context) if one.name in names]
    return any(not one.branch or one.error or one.age(time.time()) > _LATE for one in found)


def note(context: Context, instance: str, found: Archived) -> None:
    """Keep how far it is. Raises OSError."""
    folder = disk.private(context.stack.state / _FOLDER)
    store, at = place.source(context).address, time.time()
    if found.error:
        at = read(context, instance).at
    text = msgspec.json.encode(replace(found, at=at, store=store)).decode()
    disk.write(folder / instance, text + "\n", durable=False)


def read(context: Context, instance: str) -> Archived:
    """How far it is; nothing where nobody has noted that."""
    return disk.noted(context.stack.state / _FOLDER / instance, Archived, Archived())
