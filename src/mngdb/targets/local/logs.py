"""A server's log: its end, and the line in it that says why the server ended."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mngdb.run import last_line

#: What marks the line that tells the cause; servers say more on their way out.
_CAUSE = re.compile(
    r"FATAL|PANIC|\berror\b|could not|can.t|cannot|failed|no space left|bad directive|denied",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Started:
    """A program that we started, and where in the log it began to speak."""

    process: subprocess.Popen[bytes]
    log: Path
    offset: int

    def said(self) -> str:
        """Why it ended, in its own words."""
        return cause(tail(self.log, since=self.offset))


def tail(path: Path, size: int = 1 << 16, since: int = 0) -> str:
    """The last `size` bytes of a log, nothing before `since`."""
    try:
        with path.open("rb") as handle:
            end = handle.seek(0, 2)
            handle.seek(max(0, since if since <= end else 0, end - size))
            return handle.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def cause(text: str) -> str:
    """The line that says why a server ended: the last that complains, else the last one."""
    lines = [_plain(line) for line in text.splitlines()]
    # Redis: "*** FATAL CONFIG FILE ERROR ***" is a headline, what follows it says why
    told = [line for line in lines if _CAUSE.search(line) and not line.startswith("***")]
    fatal = [line for line in told if re.search(r"FATAL|PANIC", line)]
    return last_line("\n".join(fatal or told or lines))


def _plain(line: str) -> str:
    """A line without mongod's JSON around it: of that only errors count."""
    if not line.startswith("{"):
        return line
    try:
        found = json.loads(line)
        if found["s"] not in {"E", "F"}:
            return ""
        what = found.get("attr", {})
        return " ".join([found["msg"], *(str(what[k]) for k in ("error", "reason") if k in what)])
    except (ValueError, KeyError, TypeError):
        return line  # cut off, or another program's
