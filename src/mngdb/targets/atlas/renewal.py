"""The service account's secret, made anew before it ends. The one before lives on for a week at
most: whoever else uses it has that long."""

from __future__ import annotations

import time
from collections.abc import Callable

from mngdb.errors import StepError
from mngdb.secret import Secret
from mngdb.targets.atlas import credentials, project
from mngdb.targets.atlas.api import Json
from mngdb.targets.atlas.errors import LostError
from mngdb.targets.atlas.journal import Journal
from mngdb.targets.atlas.session import Session

#: Days before the end at which it is made anew, hours that the new one lives, and seconds between
#: two attempts.
_EARLY, _LIVES, _AGAIN = 30.0, 365 * 24, 86_400.0
_KIND, _BEGUN, _TRIED = credentials.KIND, "renewing", "tried"
_TRIES = 3


def due(journal: Journal) -> bool:
    """Whether it ends soon, or a killed command was at it, by what is noted: nothing is asked."""
    notes = journal.of(_KIND)
    if time.time() - _AGAIN < float(notes.get(_TRIED) or 0):
        return False
    days = credentials.noted(journal)
    return _BEGUN in notes or (days is not None and days <= _EARLY)


def renew(session: Session, keep: Callable[[Secret], None]) -> bool:
    """Have a new secret made where the one in use ends soon, and `keep` it. One that a killed
    command was told and could not keep is removed first. Returns whether there is a new one. Raises
    MngdbError."""
    journal, found = session.journal, project.find(session)
    days = credentials.days_left(session, found)
    begun = journal.of(_KIND).get(_BEGUN)
    if found is None or days is None or (begun is None and days > _EARLY):
        return False
    journal.write(_KIND, _TRIED, str(time.time()))
    path = ("orgs", str(found["orgId"]), "serviceAccounts", session.api.given.name)
    if begun is None:
        begun = " ".join(str(one["id"]) for one in _secrets(session, path))
        journal.write(_KIND, _BEGUN, begun)  # what comes to these is made here
    if days <= _EARLY:
        made = _made(session, path, begun)
        keep(Secret(str(made["secret"])))
        journal.write(_KIND, credentials.EXPIRES, str(made["expiresAt"]))
    journal.forget(_KIND, _BEGUN)
    journal.forget(_KIND, _TRIED)
    return True


def _made(session: Session, path: tuple[str, ...], begun: str) -> Json:
    for _ in range(_TRIES):
        for one in _secrets(session, path):
            if str(one["id"]) not in begun.split():  # nobody knows its text
                session.api.delete(*path, "secrets", str(one["id"]))
        try:
            return session.api.post({"secretExpiresAfterHours": _LIVES}, *path, "secrets")
        except LostError:
            continue
    raise StepError("Atlas did not tell the new secret of the service account", "try again later")


def _secrets(session: Session, path: tuple[str, ...]) -> list[Json]:
    found: list[Json] = session.api.get(*path).get("secrets") or []
    return found
