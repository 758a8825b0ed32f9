"""Passwords on the file's schedule, by a command of its own: its memory goes with it."""

from __future__ import annotations

from mngdb.agent.jobs import log
from mngdb.errors import MngdbError
from mngdb.ops import service
from mngdb.ops.context import Context
from mngdb.ops.rotate import rotate
from mngdb.run import run

#: Seconds between two looks at the clock, and that a command may take.
INTERVAL, _LIMIT = 60.0, 24 * 3600.0


def look(context: Context) -> None:
    """Rotate what is due, and finish what was begun. Raises MngdbError with the command's last
    words."""
    if not rotate.pending(context):
        return
    words = ["rotate", "--due"]
    done = run([*service.command(context), *words], timeout=_LIMIT, check=False)
    said = "; ".join(line.strip() for line in done.stderr.splitlines() if line.strip())[-600:]
    if done.returncode != 0:
        raise MngdbError(f"mngdb {' '.join(words)} failed: {said}")
    log(f"mngdb {' '.join(words)}: {said}")
