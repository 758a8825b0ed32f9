"""What Atlas makes of a cluster that is asked for: its defaults, and what it refuses."""

from __future__ import annotations

from copy import deepcopy

from tests.atlas.errors import AtlasError, invalid
from tests.atlas.world import Document, World, new_id

#: What Atlas offers now, oldest first.
_VERSIONS = ("7.0", "8.0")
_DEFAULTS = {
    "backupEnabled": False,
    "biConnector": {"enabled": False, "readPreference": "SECONDARY"},
    "configServerManagementMode": "ATLAS_MANAGED",
    "diskWarmingMode": "FULLY_WARMED",
    "encryptionAtRestProvider": "NONE",
    "globalClusterSelfManagedSharding": False,
    "labels": [],
    "mongoDBMajorVersion": "8.0",
    "paused": False,
    "pitEnabled": False,
    "redactClientLogData": False,
    "rootCertType": "ISRGROOTX1",
    "tags": [],
    "terminationProtectionEnabled": False,
    "versionReleaseSystem": "LTS",
}
_ADVANCED = {"minimumEnabledTlsProtocol": "TLS1_2", "tlsCipherConfigMode": "DEFAULT"}


def new(asked: Document, group: str, world: World) -> Document:
    """The document of a new cluster. Raises AtlasError."""
    made: Document = {**deepcopy(_DEFAULTS), "id": new_id(), "groupId": group, "links": []}
    made |= {"createDate": world.stamp(), "clusterType": "REPLICASET", "stateName": "CREATING"}
    made["connectionStrings"] = {}
    change(made, asked, world)
    return made


def change(document: Document, asked: Document, world: World) -> None:
    """Write what is asked for into a cluster's document. Raises AtlasError."""
    document.update({key: value for key, value in asked.items() if key != "replicationSpecs"})
    document["advancedConfiguration"] = {**_ADVANCED, **document.get("advancedConfiguration", {})}
    if document["mongoDBMajorVersion"] not in _VERSIONS:
        detail = f"MongoDB {document['mongoDBMajorVersion']} is not one of {', '.join(_VERSIONS)}."
        raise AtlasError(400, "INVALID_MONGODB_VERSION", detail)
    document["mongoDBVersion"] = f"{document['mongoDBMajorVersion']}.4"
    document["featureCompatibilityVersion"] = document["mongoDBMajorVersion"]
    if "replicationSpecs" in asked:
        document["replicationSpecs"] = [
            _specification(one, world) for one in asked["replicationSpecs"]
        ]
    if not document.get("replicationSpecs"):
        raise AtlasError(
            400, "MISSING_ATTRIBUTE", "The required attribute replicationSpecs was not specified."
        )
    if document["pitEnabled"] and not document["backupEnabled"]:
        raise invalid("pitEnabled", "it needs backupEnabled.")
    for one in document["tags"]:
        if len({tag["key"] for tag in document["tags"]}) < len(document["tags"]):
            raise AtlasError(400, "DUPLICATE_TAG_KEYS", "Two tags have one key.", one["key"])


def _specification(asked: Document, world: World) -> Document:
    """One replication spec with everything that Atlas adds."""
    regions = [_region_config(one, world) for one in asked.get("regionConfigs", ())]
    nodes = sum(one["electableSpecs"]["nodeCount"] for one in regions)
    if nodes not in (3, 5, 7):
        detail = "The number of electable nodes has to be 3, 5 or 7."
        raise AtlasError(400, "INVALID_NUMBER_OF_ELECTABLE_NODES", detail)
    made = {"id": new_id(), "zoneId": new_id(), "zoneName": "Zone 1"}
    return {**made, **asked, "regionConfigs": regions}


def _region_config(asked: Document, world: World) -> Document:
    wanted = asked.get("electableSpecs", {})
    region, tier = asked.get("regionName", ""), wanted.get("instanceSize", "")
    if not region or not tier:
        raise invalid("regionConfigs", "a region and an instance size are needed.")
    if (region, tier) in world.lacking:
        detail = f"The instance size {tier} is not available in the region {region}."
        raise AtlasError(400, "INVALID_INSTANCE_SIZE_FOR_REGION", detail, tier, region)
    hardware = {
        "diskIOPS": 3000,
        "diskSizeGB": 10.0,
        "ebsVolumeType": "STANDARD",
        "nodeCount": 3,
        **wanted,
    }
    none = {**hardware, "nodeCount": 0}
    compute = {"enabled": False, "scaleDownEnabled": False}
    scaling = {"compute": compute, "diskGB": {"enabled": True}}
    return {
        "priority": 7,
        "providerName": "AWS",
        "analyticsAutoScaling": deepcopy(scaling),
        "analyticsSpecs": none,
        "readOnlySpecs": dict(none),
        **asked,
        "electableSpecs": hardware,
        "autoScaling": {**deepcopy(scaling), **asked.get("autoScaling", {})},
    }
