"""How far each instance's log is in the store: kept by the agent for every command to see."""

from __future__ import annotations

import time

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from mngdb import disk
from mngdb.ops.context import Context
from mngdb.spec.stack import Instance

#: In the stack's own folder: a file for each instance.
_FOLDER = "archive"


class Archived(Struct, frozen=True, kw_only=True):
    """How far the log of an instance is in the store. `begin` and `stored` are positions without a
    gap between them; `until` is the moment that they reach, `keys` the fingerprint of the public
    keys that it is encrypted for, `error` why it goes no further, `at` when this was so (seconds
    since the epoch)."""

    branch: str = ""
    begin: int = 0
    stored: int = 0
    until: float = 0.0
    keys: str = ""
    error: str = ""
    at: float = 0.0


def followed(context: Context) -> list[Instance]:
    """The instances whose log is archived: none where the file has no `backup:`, or no agent."""
    if context.stack.backup is None or context.stack.agent is None:
        return []
    if not context.stack.backup.keep.point_in_time:
        return []
    every = context.stack.instances.values()
    return [one for one in every if context.engine(one).follow is not None]


def beginning(context: Context) -> bool:
    """Whether there is an instance of which nobody has said yet how far its log is."""
    found = (read(context, one.name) for one in followed(context))
    return any(not one.branch and not one.error for one in found)


def note(context: Context, instance: str, found: Archived) -> None:
    """Keep how far it is. Raises OSError."""
    folder = disk.private(context.stack.state / _FOLDER)
    text = msgspec.json.encode(replace(found, at=time.time())).decode()
    disk.write(folder / instance, text + "\n", durable=False)


def failed(context: Context, instance: str, error: str) -> None:
    """Keep why it goes no further. Raises OSError."""
    note(context, instance, replace(read(context, instance), error=error))


def read(context: Context, instance: str) -> Archived:
    """How far it is; nothing where nobody has noted that."""
    try:
        text = disk.read_own(context.stack.state / _FOLDER / instance) or "{}"
        return msgspec.json.decode(text, type=Archived)
    except msgspec.DecodeError:
        return Archived()
