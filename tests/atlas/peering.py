"""Network containers, and peering connections to them, on AWS."""

from __future__ import annotations

import ipaddress

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from tests.atlas import clusters
from tests.atlas.errors import AtlasError, invalid, missing
from tests.atlas.world import (
    GROUP,
    Asked,
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
_PRIVATE = [ipaddress.ip_network(one) for one in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]


@router.get(GROUP + "/containers")
async def containers(project: ProjectOf, request: Request) -> Document:
    wanted = request.query_params.get("providerName")
    return page([one for one in project.containers.values() if wanted in (None, "AWS")], request)


@router.get(GROUP + "/containers/all")
async def all_containers(project: ProjectOf, request: Request) -> Document:
    return page(list(project.containers.values()), request)


@router.post(GROUP + "/containers")
async def create_container(asked: Asked, project: ProjectOf) -> Document:
    _check_block(asked, project)
    for one in project.containers.values():
        if one["regionName"] == asked["regionName"]:
            detail = f"A container already exists in {asked['regionName']} for group {project.id}."
            raise AtlasError(
                409, "CONTAINER_ALREADY_EXISTS_FOR_REGION", detail, asked["regionName"]
            )
    made = {"id": new_id(), "providerName": "AWS", "provisioned": False, **asked}
    project.containers[made["id"]] = made
    return made


@router.get(GROUP + "/containers/{container_id}")
async def container(container_id: str, project: ProjectOf) -> Document:
    return _container(container_id, project)


@router.patch(GROUP + "/containers/{container_id}")
async def update_container(container_id: str, asked: Asked, project: ProjectOf) -> Document:
    found = _container(container_id, project)
    _unused(found, project)
    _check_block(asked, project, found)
    found.update(asked)
    return found


@router.delete(GROUP + "/containers/{container_id}", status_code=204)
async def delete_container(container_id: str, project: ProjectOf) -> Response:
    _unused(_container(container_id, project), project)
    del project.containers[container_id]
    return Response(status_code=204)


def _container(container_id: str, project: Project) -> Document:
    found = project.containers.get(container_id)
    if found is None:
        raise missing("CLOUD_PROVIDER_CONTAINER_NOT_FOUND", "container", container_id, project.id)
    return found


def _unused(found: Document, project: Project) -> None:
    peered = any(one["containerId"] == found["id"] for one in project.peers.values())
    used = {clusters.region_of(one.document) for one in project.clusters.values()}
    if peered or found["regionName"] in used:
        detail = "Cannot change or delete a container that is in use."
        raise AtlasError(409, "CONTAINERS_IN_USE", detail, found["id"])


def _check_block(asked: Document, project: Project, but: Document | None = None) -> None:
    try:
        block = ipaddress.IPv4Network(asked["atlasCidrBlock"])
    except (KeyError, ValueError):
        raise invalid("atlasCidrBlock", "a network in CIDR notation.") from None
    if not 21 <= block.prefixlen <= 24 or not any(block.subnet_of(one) for one in _PRIVATE):  # type: ignore[arg-type]
        detail = f"Atlas CIDR {block} must be a private block between /21 and /24."
        raise AtlasError(400, "ATLAS_CIDR_BLOCK_INVALID", detail, str(block))
    for one in project.containers.values():
        if one is not but and block.overlaps(ipaddress.IPv4Network(one["atlasCidrBlock"])):
            detail = f"Atlas CIDR {block} overlaps with the container {one['id']}."
            raise AtlasError(400, "OVERLAPPING_ATLAS_CIDR_BLOCK", detail, str(block))


# --- peering


@router.get(GROUP + "/peers")
async def peers(project: ProjectOf, world: WorldOf, request: Request) -> Document:
    aws = request.query_params.get("providerName", "AWS") == "AWS"
    return page([_look(world, project, one) for one in project.peers.values() if aws], request)


@router.post(GROUP + "/peers")
async def create_peer(asked: Asked, project: ProjectOf, world: WorldOf) -> Document:
    _check_peer(asked, project)
    made = {"id": new_id(), "providerName": "AWS", **asked, "statusName": "INITIATING"}
    project.peers[made["id"]] = made

    def requested() -> None:
        if "peer" in world.doomed:
            made.update(statusName="FAILED", errorStateName="INVALID_ARGUMENT")
            return
        container, vpc = project.containers[made["containerId"]], made["vpcId"]
        if world.aws:
            region, block = made["accepterRegionName"], container["atlasCidrBlock"]
            asked = world.aws.ask_for_peering(region, block, made["awsAccountId"], vpc)
        else:
            names = choice(made["id"]).randbytes(9).hex()[:17]
            asked = f"vpc-{names}", f"pcx-{names}"
        made.update(statusName="PENDING_ACCEPTANCE", connectionId=asked[1])
        container.update(provisioned=True, vpcId=asked[0])

    world.later("peer", requested)
    return made


def _look(world: World, project: Project, made: Document) -> Document:
    """Whether the other side has answered."""
    if world.aws and made["statusName"] == "PENDING_ACCEPTANCE":
        state = world.aws.peering(made["accepterRegionName"], made["connectionId"])
        if state in ("active", "provisioning"):
            accept(world, project, made["id"])
        elif state in ("rejected", "expired", "failed", "deleted"):
            made.update(statusName="FAILED", errorStateName="REJECTED")
    return made


def accept(world: World, project: Project, peer_id: str) -> None:
    """The owner of the other network accepts it."""
    made = _peer(peer_id, project)
    if made["statusName"] != "PENDING_ACCEPTANCE":
        raise AtlasError(400, "PEER_NOT_PENDING", f"It is {made['statusName']}.")
    made["statusName"] = "FINALIZING"

    def ready() -> None:
        made["statusName"] = "AVAILABLE"
        clusters.reconnect(project)

    world.later("peer", ready)


@router.get(GROUP + "/peers/{peer_id}")
async def peer(peer_id: str, project: ProjectOf, world: WorldOf) -> Document:
    return _look(world, project, _peer(peer_id, project))


@router.patch(GROUP + "/peers/{peer_id}")
async def update_peer(peer_id: str, asked: Asked, project: ProjectOf) -> Document:
    found = _peer(peer_id, project)
    _check_peer(asked, project, found)
    found.update(asked)
    return found


@router.delete(GROUP + "/peers/{peer_id}", status_code=202)
async def delete_peer(peer_id: str, project: ProjectOf, world: WorldOf) -> JSONResponse:
    _peer(peer_id, project)["statusName"] = "TERMINATING"

    def gone() -> None:
        project.peers.pop(peer_id, None)
        clusters.reconnect(project)

    world.later("peer", gone)
    return JSONResponse({}, status_code=202)


def _peer(peer_id: str, project: Project) -> Document:
    found = project.peers.get(peer_id)
    if found is None:
        raise missing("PEER_NOT_FOUND", "network peering connection", peer_id, project.id)
    return found


def _check_peer(asked: Document, project: Project, but: Document | None = None) -> None:
    block = _container(asked["containerId"], project)["atlasCidrBlock"]
    try:
        theirs = ipaddress.IPv4Network(asked["routeTableCidrBlock"])
    except ValueError:
        raise invalid("routeTableCidrBlock", "a network in CIDR notation.") from None
    if theirs.overlaps(ipaddress.IPv4Network(block)):
        detail = f"The CIDR blocks {theirs} and {block} overlap."
        raise AtlasError(400, "OVERLAPPING_CIDR_BLOCK", detail, str(theirs))
    for one in project.peers.values():
        if (
            one is not but
            and one["vpcId"] == asked["vpcId"]
            and one["containerId"] == asked["containerId"]
        ):
            detail = f"A peering connection to {asked['vpcId']} already exists."
            raise AtlasError(409, "PEER_ALREADY_EXISTS", detail, asked["vpcId"])
