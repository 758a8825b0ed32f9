"""What PostgreSQL's log tells of a start that takes long (manual, 19.8:
log_startup_progress_interval)."""

from __future__ import annotations

import re
from collections.abc import Sequence

_TOLD = re.compile(
    r"(?:LOG|WARNING):\s+(.*(?:\bredo\b|recover|was interrupted|was shut down|data directory|"
    r"unlogged relations|end-of-recovery).*)"
)


def recovery(lines: Sequence[str]) -> str:
    """The last line of the startup process; empty: there is none."""
    for line in reversed(lines):
        found = _TOLD.search(line)
        if found:
            return found[1].strip()
    return ""
