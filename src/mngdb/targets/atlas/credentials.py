"""When the credentials end: a service account's secret lives for a year at most."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from mngdb.errors import MngdbError
from mngdb.model import Notice
from mngdb.targets.atlas.api import Json
from mngdb.targets.atlas.journal import Journal
from mngdb.targets.atlas.session import Session

#: The journal's note of it.
KIND, EXPIRES = "credentials", "expires"
#: Days before the end at which people are warned.
_WARNED = 30


def days_left(session: Session, project: Json | None) -> float | None:
    """Days until the service account's secret ends; None: it does not, or Atlas does not tell us.
    What was learned is noted, so that `plan` need not ask."""
    given = session.api.given
    organization = (project or {}).get("orgId")
    if not given.account or not organization:
        return None
    try:
        found = session.api.find("orgs", str(organization), "serviceAccounts", given.name)
    except MngdbError:
        return None  # the role may not look at itself
    end = given.secret.reveal()[-4:]
    secrets = (found or {}).get("secrets", ())
    ours = [one for one in secrets if str(one.get("maskedSecretValue", "")).endswith(end)]
    ends = [str(one["expiresAt"]) for one in ours or secrets if one.get("expiresAt")]
    if not ends:
        return None
    session.journal.write(KIND, EXPIRES, min(ends))
    return _days(min(ends))


def notices(session: Session) -> Iterator[Notice]:
    """That the end is near, as it was noted."""
    known = session.journal.of(KIND).get(EXPIRES)
    if not known or (days := _days(known)) > _WARNED:
        return
    text = f"the secret of the Atlas service account ends in {max(0, days):.0f} days ({known})"
    if days <= 0:
        text = f"the secret of the Atlas service account ended on {known}"
    hint = "mngdb rotate --due, where it is in the vault; or make a new one (Atlas: Organization, "
    hint += "Applications), then: mngdb secret set atlas_client-secret"
    yield Notice(session.wanted.known, text, hint)


def noted(journal: Journal) -> float | None:
    """Days until the end, as it was noted; None: it was not."""
    known = journal.of(KIND).get(EXPIRES)
    return _days(known) if known else None


def due(session: Session) -> bool:
    """Whether the end has never been asked for."""
    return not session.journal.knows(KIND, EXPIRES)


def _days(moment: str) -> float:
    end = datetime.fromisoformat(moment)
    end = end if end.tzinfo else end.replace(tzinfo=UTC)
    return (end - datetime.now(tz=UTC)).total_seconds() / 86400
