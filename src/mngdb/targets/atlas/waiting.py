"""Waiting for states that take their time: up to an hour, with what goes on and what is left."""

from __future__ import annotations

import time
from collections.abc import Callable

from mngdb import stopping
from mngdb.errors import StepError
from mngdb.targets.atlas.session import Session

#: Seconds between two looks: the first, the longest.
_FIRST, _LONGEST = 1.0, 20.0
#: Seconds between two lines for people, and of a wait that is too long.
_TOLD, _PATIENCE = 30.0, 3600.0


def wait(
    session: Session, what: str, look: Callable[[], tuple[str, bool]], usual: str, then: str
) -> None:
    """Until `look` says that it is done: it gives a state in Atlas' words, and whether that is
    what is waited for. `usual`: how long it takes as a rule; `then`: what is left afterwards.
    Raises StepError after an hour."""
    begun, told, pause = time.monotonic(), 0.0, _FIRST
    after = f"; then: {then}" if then else ""
    while True:
        state, done = look()
        if done:
            return
        passed = time.monotonic() - begun
        shown = told == 0.0 or passed - told >= _TOLD * session.pace
        told = max(passed, 0.001) if shown else told
        text = f"{what}: {state}, {_minutes(passed)} so far (usually {usual}){after}"
        session.tell(text, shown, state)
        if passed > _PATIENCE:
            raise StepError(
                f"{what} is {state} for an hour", "look at it in Atlas; then 'mngdb up' goes on"
            )
        stopping.sleep(pause * session.pace)
        pause = min(_LONGEST, pause * 1.5)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.0f} min"
