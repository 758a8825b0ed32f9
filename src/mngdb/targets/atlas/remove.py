"""Takes away what this stack made in Atlas, and nothing else. Each part is looked for first, so
that a command that was interrupted goes on."""

from __future__ import annotations

from mngdb.errors import UsageError
from mngdb.model import Notice
from mngdb.targets.atlas import (
    access_list,
    alert_configs,
    cluster,
    departed,
    peering,
    private_link,
    project,
    users,
)
from mngdb.targets.atlas.errors import AtlasError
from mngdb.targets.atlas.look import look
from mngdb.targets.atlas.session import Found, Session
from mngdb.targets.atlas.waiting import wait
from mngdb.words import many

_USUAL = "2 to 5 min"


def preflight(session: Session) -> Found:
    """What there is. Raises UsageError where the cluster may not be removed."""
    found, wanted = look(session), session.wanted
    there = found.cluster
    if there is None or not cluster.ours(wanted, there):
        return found
    if there.get("terminationProtectionEnabled"):
        raise UsageError(
            f"the Atlas cluster {wanted.cluster} has termination protection; nothing was removed",
            "write 'protected: false' under 'atlas:' in the file and run 'mngdb up' first; of a "
            "cluster that left the file, disable it in Atlas",
        )
    return found


def remove(session: Session, found: Found, *, shared: bool) -> list[Notice]:
    """Remove it; returns what stays. `shared`: the file has another cluster in the project, and
    what is around it is that one's."""
    wanted, journal = session.wanted, session.journal
    if found.project is None or not project.usable(wanted, found.project):
        departed.forget(session)
        return []
    if shared:
        if found.cluster is not None and cluster.ours(wanted, found.cluster):
            _cluster(session, found)
        departed.forget(session)
        return []
    if journal.knows(private_link.ENDPOINT, private_link.key(wanted)) or journal.knows(
        private_link.SERVICE, private_link.key(wanted)
    ):
        private_link.remove(session)
    for note in journal.of(peering.PEER):
        if note.startswith(f"{wanted.project}/"):
            peering.remove(session, note.rpartition("/")[2])
    if found.cluster is not None and cluster.ours(wanted, found.cluster):
        _cluster(session, found)
    stays = [*users.remove(session, found)]
    for entry in found.access:
        if access_list.ours(wanted, entry):
            session.api.delete(*session.group("accessList", access_list.place(entry)))
    alert_configs.remove(session, found)
    departed.forget(session)
    return stays + _project(session, found)


def _cluster(session: Session, found: Found) -> None:
    there, path = found.cluster or {}, session.cluster()
    if there.get("stateName") != "DELETING":
        session.api.delete(*path)

    def look_again() -> tuple[str, bool]:
        now = session.api.find(*path)
        return ("gone", True) if now is None else (str(now.get("stateName")), False)

    wait(session, f"cluster {session.wanted.cluster}", look_again, _USUAL, "the project")


def _left(session: Session) -> list[str]:
    """What is in the project, for people."""
    found = look(session)
    alerts = len(found.alerts)
    return [
        *(f"the user {one['username']}" for one in found.users),
        *(f"the role {one['roleName']}" for one in found.roles),
        *(f"access {access_list.place(one) or 'of a security group'}" for one in found.access),
        *([many(alerts, "alert configuration")] if alerts else []),
    ]


def _project(session: Session, found: Found) -> list[Notice]:
    """A project of ours that is empty goes, too: with it would go what others made there."""
    wanted = session.wanted
    if found.project is None or not project.ours(wanted, found.project):
        return []
    if left := _left(session):
        text = f"the Atlas project {wanted.project} stays: it still has {', '.join(left)}"
        return [Notice(wanted.known, text, "delete it in Atlas: Project Settings")]
    try:
        session.api.delete("groups", session.project)
    except AtlasError as error:
        if error.status not in {400, 403, 409}:
            raise
        text = f"the Atlas project {wanted.project} stays: {error.message}"
        return [Notice(wanted.known, text)]
    return []
