"""Clusters: made, changed, paused, deleted. Each takes time, and has a real server."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from fastapi import APIRouter, Request, Response

from tests.atlas import cluster_document, schedule
from tests.atlas.certificates import Certificates
from tests.atlas.errors import AtlasError, invalid
from tests.atlas.mongod import Cluster, logins
from tests.atlas.world import (
    CLUSTER,
    GROUP,
    Asked,
    ClusterOf,
    Document,
    Project,
    ProjectOf,
    World,
    WorldOf,
    choice,
    new_id,
    page,
)

router = APIRouter()
#: What Atlas answers to settings of the servers that nobody made.
_ARGUMENTS = {
    "changeStreamOptionsPreAndPostImagesExpireAfterSeconds": -1,
    "chunkMigrationConcurrency": 0,
    "javascriptEnabled": True,
    "minimumEnabledTlsProtocol": "TLS1_2",
    "noTableScan": False,
    "oplogMinRetentionHours": None,
    "oplogSizeMB": None,
    "queryStatsLogVerbosity": 1,
    "sampleRefreshIntervalBIConnector": 0,
    "sampleSizeBIConnector": 1000,
    "tlsCipherConfigMode": "DEFAULT",
    "transactionLifetimeLimitSeconds": 60,
}


@router.get(GROUP + "/clusters")
async def clusters(project: ProjectOf, request: Request) -> Document:
    return page([one.document for one in project.clusters.values()], request)


@router.post(GROUP + "/clusters", status_code=201)
async def create(asked: Asked, project: ProjectOf, world: WorldOf, request: Request) -> Document:
    name = asked.get("name", "")
    if not name or len(name) > 64:
        raise invalid("name", "1 to 64 letters, digits and hyphens.")
    if name in project.clusters:
        detail = f"A cluster named {name} is already present in group {project.id}."
        raise AtlasError(400, "DUPLICATE_CLUSTER_NAME", detail, name, project.id)
    document = cluster_document.new(asked, project.id, world)
    ports: list[int] = request.app.state.ports
    if not ports:
        raise RuntimeError("no port is left for another cluster: see handle.py")
    replica_set = f"atlas-{choice(document['id']).randbytes(3).hex()}-shard-0"
    certificates: Certificates = request.app.state.certificates
    folder, port = world.folder / document["id"], ports.pop(0)
    server = request.app.state.server(folder, port, replica_set, certificates)
    cluster = Cluster(document, server, schedule.new(document, world), dict(_ARGUMENTS))
    project.clusters[name] = cluster
    _provision(project, region_of(document))
    started = cluster.do(server.start)
    world.later("cluster", lambda: _ready(world, project, cluster, started))
    return document


def _ready(world: World, project: Project, cluster: Cluster, started: Any) -> bool | None:
    """It is IDLE once its server answers and has the project's logins."""
    document = cluster.document
    if document["stateName"] == "DELETING":
        return None
    if not started.done():
        return False
    started.result()
    if not document["paused"]:
        users = [(key[1], one, project.passwords[key]) for key, one in project.users.items()]
        cluster.do(logins, users, dict(project.roles), cluster.mongod).result()
        connect(project, cluster)
    document["stateName"] = "IDLE"
    return None


def connect(project: Project, cluster: Cluster) -> None:
    """Write the ways to it: the public ones, and one for each private endpoint of its region."""
    server, name = cluster.mongod, cluster.name.lower()
    options = f"ssl=true&authSource=admin&replicaSet={server.replica_set}"
    host = f"{choice(cluster.document['groupId']).randbytes(3).hex()[:5]}.mongodb.net"
    found: Document = {
        "standard": f"mongodb://{server.host}/?{options}",
        "standardSrv": f"mongodb+srv://{name}.{host}",
    }
    region = region_of(cluster.document)
    private: list[Document] = []
    for service in project.services.values():
        for endpoint in project.endpoints[service["id"]].values():
            if service["regionName"] != region or endpoint["connectionStatus"] != "AVAILABLE":
                continue
            at = {
                "endpointId": endpoint["interfaceEndpointId"],
                "providerName": "AWS",
                "region": region,
            }
            way = {"connectionString": f"mongodb://{server.host}/?{options}", "endpoints": [at]}
            way |= {"srvConnectionString": f"mongodb+srv://{name}-pl-{len(private)}.{host}"}
            private.append({**way, "type": "MONGOD"})
    if private:
        found["privateEndpoint"] = private
    if any(one["statusName"] == "AVAILABLE" for one in project.peers.values()):
        found["private"] = f"mongodb://{server.host}/?{options}"
        found["privateSrv"] = f"mongodb+srv://{name}-pri.{host}"
    cluster.document["connectionStrings"] = found


def reconnect(project: Project) -> None:
    """Write the ways to all clusters again: a private one came or went."""
    for cluster in project.clusters.values():
        if cluster.document["connectionStrings"]:
            connect(project, cluster)


def region_of(document: Document) -> str:
    """Where a cluster is."""
    return str(document["replicationSpecs"][0]["regionConfigs"][0]["regionName"])


def _provision(project: Project, region: str) -> None:
    """The first cluster of a region fixes its container; one that nobody made has Atlas' block."""
    for one in project.containers.values():
        if one["regionName"] == region:
            one["provisioned"] = True
            return
    made: Document = {
        "id": new_id(),
        "providerName": "AWS",
        "regionName": region,
        "provisioned": True,
    }
    project.containers[made["id"]] = {**made, "atlasCidrBlock": "192.168.248.0/21"}


@router.get(CLUSTER)
async def get(cluster: ClusterOf) -> Document:
    return cluster.document


@router.patch(CLUSTER)
async def update(asked: Asked, cluster: ClusterOf, project: ProjectOf, world: WorldOf) -> Document:
    document = cluster.document
    if document["stateName"] == "DELETING":
        detail = f"The cluster {cluster.name} is being deleted."
        raise AtlasError(409, "CLUSTER_ALREADY_REQUESTED_DELETION", detail, cluster.name)
    paused = asked.get("paused", document["paused"])
    if document["paused"] and (paused or len(asked) > 1):
        detail = f"Cannot update cluster {cluster.name} while it is paused or being paused."
        raise AtlasError(409, "CANNOT_UPDATE_PAUSED_CLUSTER", detail, cluster.name)
    if asked.get("name", cluster.name) != cluster.name:
        raise AtlasError(400, "CANNOT_RENAME_CLUSTER", "A cluster keeps its name.")
    changed = deepcopy(document)
    cluster_document.change(changed, asked, world)
    document.update(changed)
    document["stateName"] = "UPDATING"
    done = cluster.do(cluster.mongod.stop if paused else cluster.mongod.start)
    world.later("cluster", lambda: _ready(world, project, cluster, done))
    return document


@router.delete(CLUSTER, status_code=202)
async def delete(
    cluster: ClusterOf, project: ProjectOf, world: WorldOf, request: Request
) -> Response:
    document = cluster.document
    if document["terminationProtectionEnabled"]:
        detail = f"Cannot terminate cluster {cluster.name} while termination protection is enabled."
        code = "CANNOT_TERMINATE_CLUSTER_WHEN_TERMINATION_PROTECTION_ENABLED"
        raise AtlasError(400, code, detail, cluster.name)
    if document["stateName"] == "DELETING":
        detail = f"The cluster {cluster.name} is already being deleted."
        raise AtlasError(409, "CLUSTER_ALREADY_REQUESTED_DELETION", detail, cluster.name)
    document["stateName"] = "DELETING"
    killed = cluster.do(cluster.mongod.kill)

    def gone() -> bool | None:
        if not killed.done():
            return False
        cluster.work.shutdown()
        request.app.state.ports.append(cluster.mongod.port)
        project.clusters.pop(cluster.name, None)
        return None

    world.later("cluster", gone)
    return Response(status_code=202)


# --- settings of the servers


@router.get(CLUSTER + "/processArgs")
async def arguments(cluster: ClusterOf) -> Document:
    return cluster.process_args


@router.patch(CLUSTER + "/processArgs")
async def update_arguments(asked: Asked, cluster: ClusterOf) -> Document:
    cluster.process_args.update(asked)
    return cluster.process_args
