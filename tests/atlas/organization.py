"""Organisations, their service accounts' secrets, and projects."""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter, Request, Response

from tests.atlas import alerts
from tests.atlas.errors import AtlasError
from tests.atlas.login import Logins
from tests.atlas.world import GROUP, ActorOf, Asked, Document, Project, ProjectOf, WorldOf, page

router = APIRouter()
ROOT = "/api/atlas/v2"
ACCOUNT = ROOT + "/orgs/{org_id}/serviceAccounts/{client_id}"


@router.get(ROOT + "/orgs")
async def organizations(request: Request, world: WorldOf, actor: ActorOf) -> Document:
    found = [
        {"id": one, "name": world.organizations[one], "isDeleted": False}
        for one in actor.organizations
    ]
    return page(found, request)


@router.get(ROOT + "/groups")
async def projects(request: Request, world: WorldOf, actor: ActorOf) -> Document:
    mine = [one for one in world.projects.values() if one.document["orgId"] in actor.organizations]
    return page([_shown(one) for one in mine], request)


@router.post(ROOT + "/groups", status_code=201)
async def create_project(asked: Asked, world: WorldOf, actor: ActorOf) -> Document:
    organization = asked["orgId"]
    if organization not in actor.organizations:
        detail = f"No organization with ID {organization} exists."
        raise AtlasError(404, "RESOURCE_NOT_FOUND", detail, organization)
    if not actor.may(organization, "ORG_GROUP_CREATOR"):
        detail = "User is not authorized to create groups in the organization."
        raise AtlasError(401, "NOT_ORG_GROUP_CREATOR", detail, organization)
    for one in world.projects.values():
        if (one.document["name"], one.document["orgId"]) == (asked["name"], organization):
            detail = f"A group with name {asked['name']} already exists in the organization."
            raise AtlasError(409, "GROUP_ALREADY_EXISTS", detail, asked["name"])
    defaults = asked.pop("withDefaultAlertsSettings", True)
    more = {"regionUsageRestrictions": "NONE", "tags": [], **asked}
    made = world.add_project(more.pop("name"), more.pop("orgId"), **more)
    if defaults:
        alerts.add_defaults(world, made)
    return _shown(made)


@router.get(ROOT + "/groups/byName/{name}")
async def project_by_name(name: str, world: WorldOf, actor: ActorOf) -> Document:
    named = [one for one in world.projects.values() if one.document["name"] == name]
    for one in named:
        if one.document["orgId"] in actor.organizations:
            return _shown(one)
    if named:
        detail = "The current user is not in the group, or the group does not exist."
        raise AtlasError(401, "NOT_IN_GROUP", detail, name)
    raise AtlasError(404, "GROUP_NAME_NOT_FOUND", f"No group with name {name} exists.", name)


@router.get(GROUP)
async def project(found: ProjectOf) -> Document:
    return _shown(found)


@router.patch(GROUP)
async def update_project(asked: Asked, found: ProjectOf) -> Document:
    found.document.update(asked)
    return _shown(found)


@router.delete(GROUP, status_code=204)
async def delete_project(found: ProjectOf, world: WorldOf) -> Response:
    if found.clusters:
        detail = (
            "Cannot close group while it has active Atlas clusters; please terminate all clusters."
        )
        raise AtlasError(409, "CANNOT_CLOSE_GROUP_ACTIVE_ATLAS_CLUSTERS", detail)
    if found.services:
        detail = "Cannot close group while it has active private endpoint services."
        raise AtlasError(409, "CANNOT_CLOSE_GROUP_ACTIVE_ATLAS_PRIVATE_ENDPOINT_SERVICES", detail)
    if found.peers:
        detail = "Cannot close group while it has active peering connections."
        raise AtlasError(409, "CANNOT_CLOSE_GROUP_ACTIVE_PEERING_CONNECTIONS", detail)
    del world.projects[found.id]
    return Response(status_code=204)


def _shown(one: Project) -> Document:
    return {**one.document, "clusterCount": len(one.clusters), "links": []}


# --- service accounts


@router.get(ACCOUNT)
async def account(
    org_id: str, client_id: str, request: Request, world: WorldOf, actor: ActorOf
) -> Document:
    found, logins = _account(org_id, client_id, world, actor), _logins(request)
    return {
        "clientId": client_id,
        "createdAt": found["createdAt"],
        "description": "",
        "name": found["name"],
        "roles": sorted(found["actor"].organizations[org_id]),
        "secrets": [logins.secret(one) for one in found["secrets"]],
    }


@router.post(ACCOUNT + "/secrets", status_code=201)
async def create_secret(
    org_id: str, client_id: str, asked: Asked, request: Request, world: WorldOf, actor: ActorOf
) -> Document:
    _owned(_account(org_id, client_id, world, actor), org_id, actor)
    return _logins(request).add_secret(client_id, timedelta(hours=asked["secretExpiresAfterHours"]))


@router.delete(ACCOUNT + "/secrets/{secret_id}", status_code=204)
async def delete_secret(
    org_id: str, client_id: str, secret_id: str, world: WorldOf, actor: ActorOf
) -> Response:
    found = _account(org_id, client_id, world, actor)
    _owned(found, org_id, actor)
    kept = [one for one in found["secrets"] if one["id"] != secret_id]
    if len(kept) == len(found["secrets"]):
        detail = f"No secret with ID {secret_id} exists."
        raise AtlasError(404, "SERVICE_ACCOUNT_SECRET_NOT_FOUND", detail, secret_id)
    found["secrets"] = kept
    return Response(status_code=204)


def _logins(request: Request) -> Logins:
    logins: Logins = request.app.state.logins
    return logins


def _account(organization: str, client: str, world: WorldOf, actor: ActorOf) -> Document:
    found = world.accounts.get(client)
    if (
        organization not in actor.organizations
        or not found
        or organization not in found["actor"].organizations
    ):
        detail = f"No service account with client ID {client} exists in the organization."
        raise AtlasError(404, "SERVICE_ACCOUNT_NOT_FOUND", detail, client)
    return found


def _owned(account: Document, organization: str, actor: ActorOf) -> None:
    if not actor.may(organization):
        detail = "Current user is not authorized to perform this action."
        raise AtlasError(403, "USER_UNAUTHORIZED", detail)
