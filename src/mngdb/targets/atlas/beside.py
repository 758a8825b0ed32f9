"""A cluster beside the live one, for restored data: made, open to the same logins, and removed.

Its name is in the journal before it is asked for: the logins are kept open to it by that, and it is
removed by its tags, whatever the journal knows.
"""

from __future__ import annotations

import dataclasses
from contextlib import suppress

from msgspec.structs import replace

from mngdb.errors import UsageError
from mngdb.targets.atlas import cluster, users
from mngdb.targets.atlas.api import Json
from mngdb.targets.atlas.errors import AtlasError, LostError
from mngdb.targets.atlas.session import BESIDE, Session, marks

#: The key of the tag that says beside which cluster it is.
_TAG = "mngdb-beside"
#: How often it is asked for where the answer is lost on the way.
_TRIES = 5


def make(session: Session, live: Json, name: str) -> None:
    """Make it where it is not there yet, as large as the live one, and let its logins in. Raises
    MngdbError."""
    path = session.group("clusters")
    session.journal.write(BESIDE, name, session.wanted.cluster)
    for _ in range(_TRIES):
        found = session.api.find(*path, name)
        if found is not None:
            _check(session, found, name)
            break
        with suppress(LostError):
            session.api.post(_body(session, live, name), *path)
    cluster.ready(seen_as(session, name), "restore")
    users.admit(session)


def remove(session: Session, name: str) -> None:
    """Have it deleted, which takes minutes that nobody waits for. Raises MngdbError, UsageError for
    a cluster that is none of these."""
    path = session.group("clusters", name)
    found = session.api.find(*path)
    if found is not None:
        _check(session, found, name)
        if found.get("stateName") != "DELETING":
            try:
                session.api.delete(*path)
            except AtlasError as error:
                if error.code != "CLUSTER_ALREADY_REQUESTED_DELETION":
                    raise
    session.journal.forget(BESIDE, name)
    users.admit(session)


def seen_as(session: Session, name: str) -> Session:
    """What works on another cluster of the same project."""
    return dataclasses.replace(session, wanted=replace(session.wanted, cluster=name))


def _check(session: Session, found: Json, name: str) -> None:
    whose = marks(found.get("tags")).get(_TAG)
    if not cluster.ours(session.wanted, found) or whose != session.wanted.cluster:
        raise UsageError(
            f"the Atlas cluster {name} is not one that mngdb made beside {session.wanted.cluster}",
            "it stays as it is",
        )


def _body(session: Session, live: Json, name: str) -> Json:
    """Of the tier, the disk and the version of the live one; nobody backs it up, and it has to be
    possible to remove it."""
    made = cluster.body(session.wanted, name)
    there = cluster.region_of(live)
    region = made["replicationSpecs"][0]["regionConfigs"][0]
    kept = ("instanceSize", "diskSizeGB")
    nodes = there.get("electableSpecs", {})
    region["electableSpecs"] |= {key: nodes[key] for key in kept if nodes.get(key)}
    region["regionName"] = there.get("regionName", region["regionName"])
    tags = [*made["tags"], {"key": _TAG, "value": session.wanted.cluster}]
    return {
        **made,
        "mongoDBMajorVersion": live["mongoDBMajorVersion"],
        "backupEnabled": False,
        "pitEnabled": False,
        "terminationProtectionEnabled": False,
        "tags": tags,
    }
