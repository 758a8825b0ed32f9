"""Atlas' own backups: snapshots, what they and the continuous backup lead to, and restores into the
live cluster or into one beside it.

https://www.mongodb.com/docs/atlas/backup/cloud-backup/overview/
"""

from __future__ import annotations

import math
import re
import shlex
import time
from collections.abc import Callable
from datetime import datetime

from msgspec.structs import replace

from mngdb.errors import AbsentError, StepError, UsageError
from mngdb.model import DesiredInstance
from mngdb.spec.atlas import Atlas
from mngdb.spec.stack import Instance
from mngdb.spec.target import Target
from mngdb.targets.atlas import beside, cluster, project
from mngdb.targets.atlas.api import Json
from mngdb.targets.atlas.errors import LostError
from mngdb.targets.atlas.session import ADMIN, Session, Wanted
from mngdb.targets.atlas.waiting import wait
from mngdb.targets.backups import OwnReach, OwnSnapshot, Rescue
from mngdb.words import named

Emit = Callable[[object], None]
#: What a snapshot says of who asked for it.
_ABOUT = "mngdb backup of"
#: Days that one which was asked for is kept where the file keeps none by the day.
_DAYS = 7
_DAY = 86_400.0
#: Letters of a cluster's name.
_NAME = 64
#: How often a request is sent whose answer is lost on the way.
_TRIES = 5
_USUAL_SNAPSHOT, _USUAL_RESTORE = "5 to 20 min", "10 to 60 min"
_BUSY = frozenset({"queued", "inProgress"})
#: Fields of a restore of which nothing comes.
_FAILED = ("failed", "cancelled", "expired")


class AtlasBackups:
    """Those of every cluster of a stack. `open_session` makes what works on one, `wanted` tells
    what the file says of one."""

    keeper = "Atlas"

    def __init__(
        self,
        open_session: Callable[[DesiredInstance, Emit], Session],
        of_file: Callable[[Instance], Atlas],
        wanted: Callable[[DesiredInstance], Wanted],
    ) -> None:
        self._open = open_session
        self._wanted = wanted
        self._of_file = of_file

    def reach(self, asked: DesiredInstance) -> OwnReach:
        """Snapshots that are whole, and the window of the continuous backup."""
        session, found = self._session(asked)
        whole = [_snapshot(one) for one in _listed(session) if one.get("status") == "completed"]
        whole.sort(key=lambda one: one.moment)
        if not found.get("pitEnabled") or not whole:
            return OwnReach(tuple(whole), None)
        schedule = session.api.find(*session.cluster("backup", "schedule")) or {}
        now = float(math.floor(time.time()))
        begin = max(whole[0].moment, now - _DAY * int(schedule.get("restoreWindowDays") or 0))
        return OwnReach(tuple(whole), (begin, now) if begin < now else None)

    def take(self, asked: DesiredInstance, emit: Emit) -> OwnSnapshot:
        """Ask for a snapshot, and wait for it. One of ours that is being taken is as good."""
        session, _ = self._session(asked, emit)
        name = session.wanted.cluster
        taken = _under_way(session) or _asked_for(session)

        def look() -> tuple[str, bool]:
            found = session.api.get(*session.cluster("backup", "snapshots", taken))
            state = str(found["status"])
            if state not in _BUSY | {"completed"}:
                raise StepError(
                    f"Atlas could not take the snapshot {taken} of the cluster {name}: {state}",
                    "look at Backup in Atlas, then run the same command again",
                )
            return state, state == "completed"

        wait(session, f"snapshot {taken} of the cluster {name}", look, _USUAL_SNAPSHOT, "")
        return _snapshot(session.api.get(*session.cluster("backup", "snapshots", taken)))

    def rescue(self, asked: DesiredInstance) -> Rescue:
        """A stack that was set up on another machine is another one: it takes the cluster over by
        name."""
        wanted = self._wanted(asked)
        peering = wanted.spec.peering
        names = [f"cluster {wanted.cluster}", ADMIN, *asked.instance.grants]
        names += [f"peering {peering.vpc}"] if peering else []
        allow = " ".join(f"--allow {shlex.quote(name)}" for name in names)
        named = f"write 'project: {wanted.project}' under 'atlas:' in the file"
        return Rescue(
            place=f"cluster {wanted.cluster} of the Atlas project {wanted.project}",
            steps=(
                *([] if wanted.named else [named]),
                f"mngdb up --yes {allow}",
                f"if its data is damaged: mngdb restore {asked.instance.name} --latest --replace",
            ),
        )

    def cost(self, instance: Instance) -> str:
        """The price of the tier, which is that of the live cluster."""
        tier = self._of_file(instance).tier
        return f"an {tier} of its own while it is there: {cluster.price(tier)}"

    def beside(self, instance: Instance, unit: str) -> Instance:
        """The same with another cluster."""
        name = re.sub(r"[^A-Za-z0-9-]", "-", unit)[:_NAME]
        spec = self._of_file(instance).model_copy(update={"cluster": name})
        kind = instance.target.kind
        return replace(instance, unit=unit, target=Target.model_validate({kind: spec}))

    def make(self, asked: DesiredInstance, aside: Instance, emit: Emit) -> None:
        """A cluster like the live one, with its logins; one of a killed command is gone on with."""
        session, found = self._session(asked, emit)
        beside.make(session, found, self._name(aside))

    def restore(
        self,
        asked: DesiredInstance,
        into: Instance,
        snapshot: str,
        until: float | None,
        emit: Emit,
        since: float = math.inf,
    ) -> None:
        """Have Atlas restore, and wait for it."""
        session, _ = self._session(asked, emit)
        target = self._name(into)
        _restored(session, _body(session, target, snapshot, until), since)
        cluster.ready(beside.seen_as(session, target), "the logins are tried")

    def restoring(
        self,
        asked: DesiredInstance,
        into: Instance,
        snapshot: str,
        until: float | None,
        since: float,
    ) -> bool:
        """Whether Atlas was asked for it."""
        session, _ = self._session(asked)
        return bool(_job(session, _body(session, self._name(into), snapshot, until), since))

    def remove(self, asked: DesiredInstance, aside: Instance) -> None:
        """Have Atlas delete the cluster beside the live one."""
        session = self._open(asked, lambda _: None)
        if project.find(session) is not None:
            beside.remove(session, self._name(aside))

    def _name(self, instance: Instance) -> str:
        return self._of_file(instance).cluster or instance.unit

    def _session(self, asked: DesiredInstance, emit: Emit = lambda _: None) -> tuple[Session, Json]:
        """What works on the live cluster, and that. Raises AbsentError, UsageError."""
        session = self._open(asked, emit)
        wanted = session.wanted
        there = project.find(session) is not None
        found = session.api.find(*session.cluster()) if there else None
        if found is None:
            raise AbsentError(f"the Atlas cluster {wanted.cluster} is not there yet", "mngdb up")
        _check_ours(wanted, found)
        return session, found


def _check_ours(wanted: Wanted, found: Json) -> None:
    if not cluster.ours(wanted, found):
        raise UsageError(
            f"the Atlas cluster {wanted.cluster} exists, and this stack did not create it",
            f"to take it over: mngdb up --allow {named(f'cluster {wanted.cluster}')}",
        )


def _listed(session: Session) -> list[Json]:
    return session.api.every(*session.cluster("backup", "snapshots"))


def _snapshot(found: Json) -> OwnSnapshot:
    moment = datetime.fromisoformat(str(found["createdAt"])).timestamp()
    return OwnSnapshot(
        id=str(found["id"]),
        moment=moment,
        finished=moment,  # Atlas does not say
        size=int(found.get("storageSizeBytes") or 0),
        version=str(found.get("mongodVersion") or ""),
    )


def _ours(session: Session, one: Json) -> bool:
    return str(one.get("description") or "").startswith(_about(session))


def _about(session: Session) -> str:
    return f"{_ABOUT} {session.wanted.mark}"


def _under_way(session: Session) -> str | None:
    """The id of one that a killed command has asked for."""
    every = (one for one in _listed(session) if one.get("status") in _BUSY)
    return next((str(one["id"]) for one in every if _ours(session, one)), None)


def _asked_for(session: Session) -> str:
    """The id of a new one. Raises AtlasError, LostError."""
    before = {str(one["id"]) for one in _listed(session)}
    days = session.wanted.backup.keep.daily or _DAYS
    body = {"description": _about(session), "retentionInDays": days}
    for left in reversed(range(_TRIES)):
        try:
            return str(session.api.post(body, *session.cluster("backup", "snapshots"))["id"])
        except LostError:
            every = [one for one in _listed(session) if str(one["id"]) not in before]
            if found := next((str(one["id"]) for one in every if _ours(session, one)), None):
                return found
            if not left:
                raise
    raise AssertionError("unreachable")


def _body(session: Session, target: str, snapshot: str, until: float | None) -> Json:
    """A restore as the API takes it."""
    body: Json = {"targetClusterName": target, "targetGroupId": session.project}
    if until is None:
        return {**body, "deliveryType": "automated", "snapshotId": snapshot}
    return {**body, "deliveryType": "pointInTime", "pointInTimeUTCSeconds": math.floor(until)}


def _restored(session: Session, body: Json, since: float) -> None:
    """Have a restore made, or go on with the same one that is under way, or was done `since`."""
    name, path = str(body["targetClusterName"]), session.cluster("backup", "restoreJobs")
    found = _job(session, body, since)
    for left in reversed(range(_TRIES)):
        if found:
            break
        try:
            found = str(session.api.post(body, *path)["id"])
        except LostError:
            found = _job(session, body, since)
            if not found and not left:
                raise

    def look() -> tuple[str, bool]:
        job = session.api.get(*path, found)
        wrong = next((word for word in _FAILED if job.get(word)), "")
        if wrong:
            raise StepError(
                f"the restore {found} into the Atlas cluster {name} {_ended(wrong)}",
                "look at Backup, Restore History in Atlas, then run the same command again",
            )
        return "under way", bool(job.get("finishedAt"))

    wait(session, f"restore into the cluster {name}", look, _USUAL_RESTORE, "")


def _ended(word: str) -> str:
    return word if word == "failed" else f"was {word}" if word == "cancelled" else f"has {word}"


def _job(session: Session, body: Json, since: float) -> str:
    """The id of a restore of the same that is under way, or was done after that moment; empty:
    there is none."""
    for one in session.api.every(*session.cluster("backup", "restoreJobs")):
        if any(one.get(word) for word in _FAILED) or not body.items() <= one.items():
            continue
        ended = one.get("finishedAt")
        if not ended or datetime.fromisoformat(str(ended)).timestamp() >= math.floor(since):
            return str(one["id"])
    return ""
