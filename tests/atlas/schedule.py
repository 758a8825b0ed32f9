"""When snapshots are taken, and how long they are kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Body

from tests.atlas.errors import AtlasError, invalid
from tests.atlas.world import CLUSTER, ClusterOf, Document, World, WorldOf, new_id

router = APIRouter()
#: How often and for how long, as a new cluster has it.
_POLICY = (
    ("hourly", 6, "days", 7),
    ("daily", 1, "days", 7),
    ("weekly", 6, "weeks", 4),
    ("monthly", 40, "months", 12),
    ("yearly", 12, "years", 1),
)


def new(cluster: Document, world: World) -> Document:
    """The schedule of a new cluster."""
    items = [
        {
            "id": new_id(),
            "frequencyType": kind,
            "frequencyInterval": often,
            "retentionUnit": unit,
            "retentionValue": value,
        }
        for kind, often, unit, value in _POLICY
    ]
    now = world.now()
    return {
        "autoExportEnabled": False,
        "clusterId": cluster["id"],
        "clusterName": cluster["name"],
        "copySettings": [],
        "extraRetentionSettings": [],
        "links": [],
        "nextSnapshot": world.stamp(now + timedelta(hours=6)),
        "policies": [{"id": new_id(), "policyItems": items}],
        "referenceHourOfDay": now.hour,
        "referenceMinuteOfHour": now.minute,
        "restoreWindowDays": 7,
        "useOrgAndGroupNamesInExportPrefix": False,
    }


@router.get(CLUSTER + "/backup/schedule")
async def schedule(cluster: ClusterOf) -> Document:
    _needed(cluster)
    return cluster.schedule


@router.patch(CLUSTER + "/backup/schedule")
async def update(asked: Annotated[dict[str, Any], Body()], cluster: ClusterOf) -> Document:
    _needed(cluster)
    hour, minute = asked.get("referenceHourOfDay", 0), asked.get("referenceMinuteOfHour", 0)
    if not 0 <= hour < 24 or not 0 <= minute < 60:
        raise invalid("referenceHourOfDay", "a time of the day.")
    written = ("updateSnapshots", "deleteSnapshots", "updateCopySnapshots", "deleteCopySnapshots")
    cluster.schedule.update({key: value for key, value in asked.items() if key not in written})
    for policy in cluster.schedule["policies"]:
        policy.setdefault("id", new_id())
        for item in policy["policyItems"]:
            item.setdefault("id", new_id())
    return cluster.schedule


@router.delete(CLUSTER + "/backup/schedule")
async def delete(cluster: ClusterOf, world: WorldOf) -> Document:
    _needed(cluster)
    cluster.schedule["policies"] = [{"id": new_id(), "policyItems": []}]
    return cluster.schedule


def _needed(cluster: ClusterOf) -> None:
    if not cluster.document["backupEnabled"]:
        detail = f"Cloud Backup is not enabled for the cluster {cluster.name}."
        raise AtlasError(400, "CLOUD_BACKUP_NOT_ENABLED", detail, cluster.name)
