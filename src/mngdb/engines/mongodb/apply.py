"""Make a running server take its settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mngdb.engines.mongodb.client import Refused, Session
from mngdb.engines.mongodb.render import OPLOG, PARAMETER, SLOW, typed
from mngdb.errors import StepError
from mngdb.model import Change


def apply(session: Session, changes: Sequence[Change]) -> None:
    """Make the running server take hot changes. Raises StepError."""
    for change in changes:
        try:
            if change.name == SLOW:
                # -1 leaves the level alone; the threshold is the whole server's
                session.command("profile", -1, slowms=int(change.wanted))
            elif change.name == OPLOG:
                session.command("replSetResizeOplog", size=float(change.wanted))
            else:
                parameter: dict[str, Any] = {
                    change.name.removeprefix(PARAMETER): typed(change.wanted)
                }
                session.command("setParameter", **parameter)
        except Refused as error:
            raise StepError(f"{change.name} = {change.wanted}: {error.message}") from None
