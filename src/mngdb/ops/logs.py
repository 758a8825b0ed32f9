"""The servers' logs."""

from __future__ import annotations

import time
from collections.abc import Iterator

from mngdb.errors import UsageError
from mngdb.ops.context import Context

_POLL = 0.2


def _unit(context: Context, name: str) -> str:
    instance = context.instance(name)
    if instance.target.external:
        raise UsageError(
            f"{name} is run by somebody else; its log is not here", "ask whoever runs it"
        )
    return instance.unit


def tail(context: Context, name: str, lines: int) -> list[str]:
    """The last lines of an instance's log. Raises UsageError for a server that is not ours."""
    return context.host.log_lines(_unit(context, name), max(0, lines))


def follow(context: Context, name: str) -> Iterator[str]:
    """Lines as they come, without end; a log that was set aside is followed into the new one."""
    path = context.host.layout.unit(_unit(context, name)).log
    position = path.stat().st_size if path.exists() else 0
    rest = ""
    while True:
        size = path.stat().st_size if path.exists() else 0
        if size < position:
            position = 0
        if size > position:
            with path.open("rb") as handle:
                handle.seek(position)
                rest += handle.read().decode(errors="replace")
                position = handle.tell()
            *whole, rest = rest.split("\n")
            yield from whole
        time.sleep(_POLL)
