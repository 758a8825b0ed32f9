"""The project: found by its name, made where it is missing. One that others made is used where the
file names it, and never changed."""

from __future__ import annotations

from collections.abc import Iterator

from mngdb.errors import UsageError
from mngdb.model import Notice
from mngdb.targets.atlas.api import Json
from mngdb.targets.atlas.errors import AtlasError
from mngdb.targets.atlas.journal import intent
from mngdb.targets.atlas.session import (
    MARK,
    AtlasStep,
    Found,
    Make,
    Session,
    Wanted,
    marks,
)

#: The kind of the journal's notes that say that something was made in a project.
PROJECT = "project"


def find(session: Session) -> Json | None:
    """The project of this name; its id is the session's from then on. Raises UsageError for one in
    another organization."""
    wanted = session.wanted
    try:
        found = session.api.find("groups", "byName", wanted.project)
    except AtlasError as error:
        # Atlas does not tell a stranger's project from one that is not there, by this path
        if error.code not in {"GROUP_NAME_NOT_FOUND", "NOT_IN_GROUP", "GROUP_NOT_FOUND"}:
            raise
        found = None
    if found is None:
        return None
    organization = wanted.spec.organization
    if organization is not None and found.get("orgId") != organization:
        raise UsageError(
            f"the Atlas project {wanted.project} is in the organization {found.get('orgId')}, "
            f"not in {organization}",
            "choose another 'project', or correct 'organization' in the file",
        )
    session.project = str(found["id"])
    return found


def ours(wanted: Wanted, project: Json) -> bool:
    """Whether this stack made it."""
    return wanted.ours(marks(project.get("tags")).get(MARK))


def usable(wanted: Wanted, project: Json) -> bool:
    """Whether clusters may be made in it."""
    name = f"project {wanted.project}"
    return ours(wanted, project) or wanted.named or wanted.allows(name)


def steps(wanted: Wanted, found: Found, make: Make) -> Iterator[AtlasStep]:
    """Make it, or ask whether the one that is there is meant."""
    name = f"project {wanted.project}"
    if found.project is None:
        yield make("create", name, "Atlas project", _create)
    elif not usable(wanted, found.project):
        text = "use a project that this stack did not create"
        yield make("change", name, text, lambda _: None, destructive=True)


def notices(wanted: Wanted, found: Found) -> Iterator[Notice]:
    """How a project of others is named on purpose."""
    if found.project is not None and not usable(wanted, found.project):
        yield Notice(
            wanted.known,
            f"the Atlas project {wanted.project} exists, and this stack did not create it",
            f"to use it, write 'project: {wanted.project}' under 'atlas:' in the file",
        )


def _create(session: Session) -> None:
    wanted = session.wanted
    body = {
        "name": wanted.project,
        "orgId": wanted.spec.organization or _organization(session),
        "tags": [{"key": MARK, "value": wanted.mark}],
        "withDefaultAlertsSettings": False,
    }
    with session.journal.making(PROJECT, wanted.project, intent()):
        session.project = str(session.api.post(body, "groups")["id"])
    session.journal.write(PROJECT, wanted.project, session.project)


def _organization(session: Session) -> str:
    """The only one that the credentials lead to. Raises UsageError."""
    found = session.api.every("orgs")
    if len(found) == 1:
        return str(found[0]["id"])
    names = ", ".join(f"{one.get('name')} ({one['id']})" for one in found) or "none"
    raise UsageError(
        f"the credentials lead to {len(found)} Atlas organizations: {names}",
        "write 'organization: ID' under 'atlas:' in the file",
    )
