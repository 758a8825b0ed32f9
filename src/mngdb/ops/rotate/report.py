"""What goes on, for people and for --json."""

from __future__ import annotations

import time
from collections.abc import Sequence

from mngdb.ops.context import Context
from mngdb.ops.rotate.note import Entry, entries

_SAYS = {
    "opening": "begun; the new password is not published yet",
    "publishing": "the new password is being published",
    "waiting": "published; sessions of the old password may go on for {left} s",
    "withdrawing": "the old password is being withdrawn",
}


def going(context: Context) -> list[Entry]:
    """The rotations that are not over. Raises UsageError."""
    return [*entries(context.stack.state).values()]


def lines(found: Sequence[Entry]) -> list[str]:
    """How far each is."""
    return [f"rotation of {one.secret}: {said(one)}" for one in found]


def said(one: Entry) -> str:
    """How far it is."""
    left = max(0.0, (one.published or 0.0) + one.grace - time.time())
    text = _SAYS[one.phase].format(left=round(left))
    if one.phase == "waiting" and (one.now or left < 1):
        text = _SAYS["withdrawing"]
    return f"going back; {text}" if one.back else text
