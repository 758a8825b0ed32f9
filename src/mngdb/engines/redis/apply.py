"""Make a running server take its settings."""

from __future__ import annotations

from collections.abc import Sequence

from mngdb import stopping
from mngdb.engines.redis.client import Session
from mngdb.engines.redis.look import parse_info
from mngdb.errors import StepError
from mngdb.model import Change

#: Seconds between two looks at a rewrite of the log.
_POLL = 0.02


def apply(session: Session, changes: Sequence[Change]) -> None:
    """One CONFIG SET for all, so that all or none hold. Raises StepError.

    Waits until a log that is switched on is whole: before that, a restart would lose the data.
    """
    if not changes:
        return
    words = [word for change in changes for word in (change.name, change.wanted)]
    session.ask("CONFIG", "SET", *words)
    if any(c.name == "appendonly" and c.wanted == "yes" for c in changes):
        _wait_for_log(session)


def _wait_for_log(session: Session) -> None:
    while True:
        info = parse_info(session.ask("INFO", "persistence"))
        busy = info["aof_rewrite_in_progress"] == "1" or info["aof_rewrite_scheduled"] == "1"
        if not busy:
            break
        stopping.sleep(_POLL)
    if info["aof_last_bgrewrite_status"] != "ok":
        raise StepError(
            "Redis could not write its log (AOF)", "is the disk full? see the error in its log"
        )
