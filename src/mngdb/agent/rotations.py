"""Passwords on the file's schedule."""

from __future__ import annotations

from mngdb.agent.children import Children
from mngdb.agent.jobs import log
from mngdb.ops.context import Context
from mngdb.ops.rotate import rotate

#: Seconds between two looks at the clock.
INTERVAL = 60.0


def look(context: Context, children: Children) -> None:
    """Rotate what is due, and finish what was begun. Raises MngdbError with the command's last
    words."""
    if rotate.pending(context) and (said := children.run("rotate", "--due")):
        log(f"mngdb rotate --due: {said}")
