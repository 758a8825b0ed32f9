"""The IP access list."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import APIRouter, Body, Request, Response

from tests.atlas.errors import AtlasError, invalid
from tests.atlas.world import GROUP, Document, Project, ProjectOf, World, WorldOf, page

router = APIRouter()
#: Entries that a project's access list may have.
_ENTRIES = 200


@router.get(GROUP + "/accessList")
async def entries(project: ProjectOf, world: WorldOf, request: Request) -> Document:
    _forget(world, project)
    return page(list(project.access.values()), request)


@router.post(GROUP + "/accessList")
async def create_entries(
    asked: Annotated[list[dict[str, Any]], Body()],
    project: ProjectOf,
    world: WorldOf,
    request: Request,
) -> Document:
    made = dict(_entry(one, project, world) for one in asked)
    if len({**project.access, **made}) > _ENTRIES:
        detail = f"Access list has more than the maximum of {_ENTRIES} entries."
        raise AtlasError(400, "ATLAS_ACCESS_LIST_LIMIT_EXCEEDED", detail)
    project.access |= made
    return page(list(project.access.values()), request)


def _entry(asked: Document, project: Project, world: World) -> tuple[str, Document]:
    given = [name for name in ("ipAddress", "cidrBlock", "awsSecurityGroup") if name in asked]
    if len(given) != 1:
        raise invalid("cidrBlock", "exactly one of ipAddress, cidrBlock and awsSecurityGroup.")
    value = asked[given[0]]
    if given[0] == "awsSecurityGroup":
        if not any(one.get("statusName") == "AVAILABLE" for one in project.peers.values()):
            raise AtlasError(
                400, "VPC_PEERING_NOT_ENABLED", "Peering is needed for security groups."
            )
    else:
        try:
            network = ipaddress.ip_network(value)
        except ValueError as error:
            detail = f"The address {value} must be in valid CIDR notation: {error}"
            raise AtlasError(400, "INVALID_IP_ADDRESS_OR_CIDR_NOTATION", detail, value) from None
        # an address is shown as a block too
        asked = {"cidrBlock": str(network), **asked}
        value = str(network) if given[0] == "cidrBlock" else value
    world.check_end(asked)
    return value, {"comment": "", **asked, "groupId": project.id, "links": []}


@router.get(GROUP + "/accessList/{value:path}/status")
async def entry_status(value: str, project: ProjectOf, world: WorldOf) -> Document:
    _found(value, project, world)
    return {"STATUS": "ACTIVE"}


@router.get(GROUP + "/accessList/{value:path}")
async def entry(value: str, project: ProjectOf, world: WorldOf) -> Document:
    return project.access[_found(value, project, world)]


@router.delete(GROUP + "/accessList/{value:path}", status_code=204)
async def delete_entry(value: str, project: ProjectOf, world: WorldOf) -> Response:
    del project.access[_found(value, project, world)]
    return Response(status_code=204)


def _found(value: str, project: Project, world: World) -> str:
    _forget(world, project)
    for name in (unquote(value), unquote(value).removesuffix("/32")):
        if name in project.access:
            return name
    detail = f"The address {value} is not on the access list of group {project.id}."
    raise AtlasError(404, "ATLAS_NETWORK_PERMISSION_ENTRY_NOT_FOUND", detail, value)


def _forget(world: World, project: Project) -> None:
    """Remove temporary entries whose end has come."""
    for value in [value for value, one in project.access.items() if world.over(one)]:
        del project.access[value]
