"""Snapshots, and jobs that restore them."""

from __future__ import annotations

from datetime import timedelta

from bson import Timestamp
from fastapi import APIRouter, Request, Response

from tests.atlas import dump
from tests.atlas.errors import AtlasError, invalid, missing
from tests.atlas.mongod import Cluster
from tests.atlas.world import (
    CLUSTER,
    ActorOf,
    Asked,
    ClusterOf,
    Document,
    ProjectOf,
    World,
    WorldOf,
    new_id,
    page,
)

router = APIRouter()
SNAPSHOTS = CLUSTER + "/backup/snapshots"
JOBS = CLUSTER + "/backup/restoreJobs"
_DAYS = {"DAYS": 1, "WEEKS": 7, "MONTHS": 31, "YEARS": 366}


@router.get(SNAPSHOTS)
async def snapshots(cluster: ClusterOf, request: Request) -> Document:
    return page(list(reversed(cluster.snapshots.values())), request)


@router.post(SNAPSHOTS)
async def create(asked: Asked, cluster: ClusterOf, world: WorldOf) -> Document:
    _running(cluster)
    days = asked.get("retentionInDays", 7)
    return take(world, cluster, "onDemand", days, asked.get("description", ""))


def take(world: World, cluster: Cluster, kind: str, days: int, description: str = "") -> Document:
    """Have a snapshot taken: queued, in progress, completed."""
    now, document = world.now(), cluster.document
    made: Document = {
        "id": new_id(),
        "cloudProvider": "AWS",
        "copyRegions": [],
        "createdAt": world.stamp(now),
        "description": description,
        "expiresAt": world.stamp(now + timedelta(days=days)),
        "frequencyType": "daily" if kind == "scheduled" else "hourly",
        "links": [],
        "mongodVersion": document["mongoDBVersion"],
        "policyItems": [],
        "replicaSetName": cluster.mongod.replica_set,
        "snapshotType": kind,
        "status": "queued",
        "storageSizeBytes": 0,
        "type": "replicaSet",
    }
    if kind == "onDemand":
        made.pop("frequencyType")
    cluster.snapshots[made["id"]] = made
    read = cluster.do(dump.take, cluster.mongod)

    def begun() -> None:
        made["status"] = "inProgress"
        world.later("snapshot", done)

    def done() -> bool | None:
        if not read.done():
            return False
        if read.exception() or "snapshot" in world.doomed:
            made["status"] = "failed"
            return None
        cluster.dumps[made["id"]] = read.result()
        made.update(status="completed", storageSizeBytes=read.result().size)
        return None

    world.later("snapshot", begun)
    return made


@router.get(SNAPSHOTS + "/{snapshot_id}")
async def snapshot(snapshot_id: str, cluster: ClusterOf, project: ProjectOf) -> Document:
    return _snapshot(snapshot_id, cluster, project.id)


@router.patch(SNAPSHOTS + "/{snapshot_id}")
async def keep(
    snapshot_id: str, asked: Asked, cluster: ClusterOf, project: ProjectOf, world: WorldOf
) -> Document:
    found = _snapshot(snapshot_id, cluster, project.id)
    days = _DAYS[asked["retentionUnit"]] * asked["retentionValue"]
    found["expiresAt"] = world.stamp(world.now() + timedelta(days=days))
    return found


@router.delete(SNAPSHOTS + "/{snapshot_id}", status_code=204)
async def delete(snapshot_id: str, cluster: ClusterOf, project: ProjectOf) -> Response:
    _snapshot(snapshot_id, cluster, project.id)
    del cluster.snapshots[snapshot_id]
    cluster.dumps.pop(snapshot_id, None)
    return Response(status_code=204)


def _snapshot(snapshot_id: str, cluster: Cluster, group: str) -> Document:
    found = cluster.snapshots.get(snapshot_id)
    if found is None:
        raise missing("SNAPSHOT_NOT_FOUND", "snapshot with ID", snapshot_id, group)
    return found


def _running(cluster: Cluster) -> None:
    document = cluster.document
    if not document["backupEnabled"]:
        detail = f"Cloud Backup is not enabled for the cluster {cluster.name}."
        raise AtlasError(400, "CLOUD_BACKUP_NOT_ENABLED", detail, cluster.name)
    if document["paused"] or document["stateName"] in ("CREATING", "DELETING"):
        detail = f"The cluster {cluster.name} is {document['stateName']} or paused."
        raise AtlasError(400, "CLUSTER_NOT_AVAILABLE_FOR_BACKUP", detail, cluster.name)


# --- restores


@router.get(JOBS)
async def jobs(cluster: ClusterOf, request: Request) -> Document:
    return page(list(reversed(cluster.restores.values())), request)


@router.post(JOBS)
async def restore(
    asked: Asked, cluster: ClusterOf, project: ProjectOf, world: WorldOf, actor: ActorOf
) -> Document:
    kind = asked["deliveryType"]
    if kind == "download":
        raise AtlasError(500, "UNEXPECTED_ERROR", "The tests' Atlas has no downloads.")
    target = _target(asked, world, actor)
    made: Document = {
        "id": new_id(),
        "cancelled": False,
        "expired": False,
        "failed": False,
        "links": [],
    }
    made |= {"deliveryUrl": [], "timestamp": world.stamp(), **asked}
    if kind == "automated":
        found = _snapshot(asked.get("snapshotId", ""), cluster, project.id)
        if found["status"] != "completed":
            detail = f"The snapshot {found['id']} is {found['status']}."
            raise AtlasError(400, "SNAPSHOT_NOT_COMPLETED", detail, found["id"])
        made["timestamp"] = found["createdAt"]
        running = target.do(dump.put, target.mongod, cluster.dumps[found["id"]])
    else:
        entries = cluster.do(dump.log, cluster.mongod, _moment(asked, cluster, world)).result()
        running = target.do(dump.replay, target.mongod, entries)
    cluster.restores[made["id"]] = made

    def done() -> bool | None:
        if not running.done():
            return False
        failed = running.exception() is not None or "restore" in world.doomed
        made.update(failed=failed, finishedAt=world.stamp())
        return None

    world.later("restore", done)
    return made


def _target(asked: Document, world: World, actor: ActorOf) -> Cluster:
    group, name = asked.get("targetGroupId", ""), asked.get("targetClusterName", "")
    project = world.projects.get(group)
    if project is None or project.document["orgId"] not in actor.organizations:
        raise AtlasError(404, "GROUP_NOT_FOUND", f"No group with ID {group} exists.", group)
    found = project.clusters.get(name)
    if found is None:
        raise missing("CLUSTER_NOT_FOUND", "cluster named", name, group)
    if found.document["stateName"] != "IDLE" or found.document["paused"]:
        detail = f"The cluster {name} cannot be restored to while it is not idle."
        raise AtlasError(400, "CLUSTER_RESTORE_TARGET_NOT_IDLE", detail, name)
    return found


def _moment(asked: Document, cluster: Cluster, world: World) -> Timestamp:
    """The last position that is restored."""
    if not cluster.document["pitEnabled"]:
        detail = f"Continuous Cloud Backup is not enabled for the cluster {cluster.name}."
        raise AtlasError(400, "PIT_RESTORE_NOT_ENABLED", detail, cluster.name)
    if "oplogTs" in asked:
        return Timestamp(asked["oplogTs"], asked.get("oplogInc", 1))
    seconds = asked.get("pointInTimeUTCSeconds")
    if seconds is None:
        raise invalid("pointInTimeUTCSeconds", "a moment is needed.")
    if seconds > world.now().timestamp():
        raise invalid("pointInTimeUTCSeconds", "it is in the future.")
    return Timestamp(seconds, 2**31 - 1)


@router.get(JOBS + "/{job_id}")
async def job(job_id: str, cluster: ClusterOf, project: ProjectOf) -> Document:
    return _job(job_id, cluster, project.id)


@router.delete(JOBS + "/{job_id}", status_code=204)
async def cancel(job_id: str, cluster: ClusterOf, project: ProjectOf) -> Response:
    _job(job_id, cluster, project.id)["cancelled"] = True
    return Response(status_code=204)


def _job(job_id: str, cluster: Cluster, group: str) -> Document:
    found = cluster.restores.get(job_id)
    if found is None:
        raise missing("BACKUP_RESTORE_JOB_NOT_FOUND", "restore job with ID", job_id, group)
    return found
