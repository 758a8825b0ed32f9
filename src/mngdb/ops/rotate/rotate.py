"""`mngdb rotate`: from the first phase to the last, waiting in between."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable

from msgspec.structs import replace

from mngdb import stopping
from mngdb.errors import MngdbError, SecretError
from mngdb.events import Progress
from mngdb.ops import passwords
from mngdb.ops.context import Context
from mngdb.ops.rotate import provider, select, work
from mngdb.ops.rotate.going import OnEvent
from mngdb.ops.rotate.work import Left, Login
from mngdb.words import many

#: Seconds between two looks at the sessions of old passwords.
_PAUSE = 0.5


def rotate(
    context: Context,
    logins: Iterable[Login],
    on_event: OnEvent,
    *,
    grace: float | None = None,
    now: bool = False,
) -> Left:
    """Give logins new passwords, or go on with that where it was begun, and wait until the old ones
    are withdrawn. `grace` in seconds: how long their sessions are waited for, other than the file
    says; `now`: not at all. Returns what went wrong: a secret that is missing or cannot be used
    costs its own login alone. Raises SecretError where that is all of them, LockedError, OSError.
    """
    chosen = [*logins]
    passwords.refuse_others(context, chosen)
    limit = select.grace(context) if grace is None else grace
    bad = work.begin(context, chosen, limit, on_event, now=now)
    names = {one.secret for one in chosen} - bad.keys()
    if not names:
        raise SecretError.together(bad.values())
    left = finish(context, names, on_event, grace=grace)
    return replace(left, errors={**bad, **left.errors})


def finish(
    context: Context,
    only: Collection[str] | None,
    on_event: OnEvent,
    *,
    grace: float | None = None,
) -> Left:
    """Go on with what was begun, until it is over or goes no further. Raises as `rotate`."""
    told, errors = "", dict[str, MngdbError]()
    while True:
        left = work.advance(context, on_event, only, grace=grace)
        failed = {name: error for name, error in left.errors.items() if name not in errors}
        errors |= failed
        waiting = [e for e in left.entries if e.phase == "waiting" and e.secret not in errors]
        if not waiting:
            return replace(left, errors=errors)
        for name, error in failed.items():  # nobody waits for the others to hear of it
            on_event(Progress("rotation", f"{name} does not go on: {error.message}"))
        only = {one.secret for one in waiting}
        said = _said(sum(left.sessions.values()))
        if said != told:
            on_event(Progress("rotation", said))
            told = said
        stopping.sleep(_PAUSE)


def due(context: Context, on_event: OnEvent) -> Left:
    """Rotate what the file's schedule asks for, renew what ends by itself, and finish what was
    begun. Raises as `rotate`."""
    failed = provider.renew(context, on_event)
    logins = passwords.ours(context, select.due(context, time.time()))
    if logins:
        failed |= work.begin(context, logins, select.grace(context), on_event)
    left = finish(context, None, on_event)
    return replace(left, errors={**left.errors, **failed})


def pending(context: Context) -> bool:
    """Whether `due` has something to do. Raises SecretError, UsageError."""
    due_now = select.due(context, time.time()) or provider.due(context)
    return bool(due_now) or work.going(context)


def abort(context: Context, only: Collection[str], on_event: OnEvent) -> Left:
    """Go back to the passwords of before. Raises UsageError where it is too late, and as
    `rotate`."""
    work.go_back(context, on_event, only)
    return finish(context, only, on_event)


def _said(sessions: int) -> str:
    """What is waited for, for people."""
    if sessions:
        return f"waiting for {many(sessions, 'session')} of old passwords to end"
    return "waiting until every app has read its new password"
