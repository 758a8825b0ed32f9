"""What a server's log says: why it ended, whether it stopped in order, what it could not write."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
from collections.abc import Sequence

from mngdb.run import last_line

#: Letters of a line that is quoted in a sentence.
_WIDE = 200
#: What marks the line that tells the cause; servers say more on their way out.
_CAUSE = re.compile(
    r"FATAL|PANIC|\berror\b|could not|can.t|cannot|failed|no space left|bad directive|denied",
    re.IGNORECASE,
)
#: What a session of PostgreSQL was refused says nothing of the server, unless it panics.
_OF_SESSION = re.compile(r"^\t| \[\d+\] (?:(?:[0-9a-f.]+ +)?[0-9A-Z]{5} )?\S+@(?!.*\tPANIC:  )")
#: What servers say while all is well: Redis' notices, PostgreSQL's accounts of its work. A server
#: that is killed has no last words, and these are not why it ended.
_ROUTINE = re.compile(
    r"^\d+:[A-Z] \d.*?:\d\d\.\d+ (?:[*.-]|# WARNING) "
    r"|LOG:\s+(?:checkpoint|restartpoint|connection|disconnection|duration|automatic|temporary)"
)
#: How servers take their leave when they were asked to stop; PostgreSQL's last line alone also
#: stands after a start that failed.
_FAREWELL = re.compile(
    r"LOG:\s+shutting down\n(.*\n)*.*database system is shut down$"
    r"|ready to exit, bye bye\.\.\.$"
    r'|"msg":"Shutting down","attr":\{"exitCode":0\}\}$'
)
#: A server that was asked to stop and runs on, because it could not write what it holds.
_STAYS = re.compile(r"Errors trying to shut down the server")
#: When PostgreSQL said it, and which of its processes.
_STAMP = re.compile(r"^[\d-]{10} [\d:.]+ \S+ \[\d+\]\s+")
#: What the system says to a server that could not write, or start a process that writes.
_FAILURES = {
    os.strerror(code): code
    for code in (
        *(
            errno.ENOSPC,
            errno.EDQUOT,
            errno.EROFS,
            errno.EIO,
            errno.EFBIG,
            errno.EISDIR,
            errno.ENOENT,
        ),
        *(errno.ENOMEM, errno.EAGAIN, errno.EACCES, errno.EPERM, errno.EMFILE),
    )
}
#: Who said it and when, in Redis' log.
_PID_AND_TIME = re.compile(r"^\d+:[A-Z] \d+ \w+ \d+ [\d:.]+ \S ")


def stays(text: str) -> str:
    """Why a server has given up stopping, as its log says; empty: it does not say that."""
    return cause(text) if _STAYS.search(text) else ""


def stopped_in_order(lines: Sequence[str]) -> bool:
    """Whether the last lines of a log say that the server was asked to stop, and did."""
    return _FAREWELL.search("\n".join(lines[-5:]).rstrip()) is not None


def cause(text: str) -> str:
    """The line that says why a server ended: the last that complains, else the last that is not
    of its everyday work."""
    lines = [_plain(line) for line in text.splitlines() if not _OF_SESSION.search(line)]
    # Redis: "*** FATAL CONFIG FILE ERROR ***" is a headline, what follows it says why
    told = [line for line in lines if _CAUSE.search(line) and not line.startswith("***")]
    fatal = [line for line in told if re.search(r"FATAL|PANIC", line)]
    rest = [line for line in lines if not _ROUTINE.search(line)]
    found = last_line("\n".join(fatal or told or rest))
    # Redis repeats the line of its file that it does not take before it says why
    at = next((n for n, line in enumerate(lines) if line.strip() == found), 0)
    before = lines[at - 1] if at else ""
    said = f"{before.removeprefix('>>> ')}: {found}" if before.startswith(">>> ") else found
    return _STAMP.sub("", said)


def failure(lines: Sequence[str]) -> tuple[str, int] | None:
    """The last line of a log in which the system refused to write, and the errno. What a session
    says may be an app's text, or of an earlier error; no process to start is said of a fork."""
    for line in reversed(lines):
        if _OF_SESSION.search(line):
            continue
        for text, code in _FAILURES.items():
            if text in line and (code != errno.EAGAIN or "fork" in line):
                return _PID_AND_TIME.sub("", _STAMP.sub("", line))[:_WIDE], code
    return None


def spoken(lines: Sequence[str]) -> str:
    """The last line of a log, for people."""
    line = last_line("\n".join(lines))
    with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
        line = str(json.loads(line)["msg"])  # mongod's
    return _STAMP.sub("", line)[:_WIDE]


def _plain(line: str) -> str:
    """A line without mongod's JSON around it: of that only errors count."""
    if not line.startswith("{"):
        return line
    try:
        found = json.loads(line)
        if found["s"] not in {"E", "F"}:
            return ""
        what = found.get("attr", {})
        words = [found["msg"], *(what[k] for k in ("error", "reason") if k in what)]
        # an error of the server's own has a text among its numbers
        return " ".join(str(w.get("errmsg", w) if isinstance(w, dict) else w) for w in words)
    except (ValueError, KeyError, TypeError, RecursionError):
        return line  # cut off, or another program's
