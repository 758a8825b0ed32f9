"""A snapshot at once."""

from __future__ import annotations

from mngdb import stopping
from mngdb.engines.redis.client import Session, place
from mngdb.engines.redis.look import parse_info
from mngdb.errors import StepError

#: Seconds between two looks at a snapshot.
_POLL = 0.05


def save(session: Session) -> None:
    """Write a snapshot and wait for its end. Raises StepError where it fails."""
    _settled(session)  # it takes none while a snapshot or the log is being written
    session.ask("BGSAVE")
    if _settled(session)["rdb_last_bgsave_status"] != "ok":
        raise StepError(
            f"Redis at {place(session.access)} still cannot save a snapshot, and refuses writes",
            f"'mngdb logs {session.access.instance}' shows the error; then 'mngdb up' again",
        )


def _settled(session: Session) -> dict[str, str]:
    """What it tells of its files once it writes none as a whole."""
    while True:
        info = parse_info(session.ask("INFO", "persistence"))
        if info["rdb_bgsave_in_progress"] == info["aof_rewrite_in_progress"] == "0":
            return info
        stopping.sleep(_POLL)
