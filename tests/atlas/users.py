"""Database users and custom roles: written here, made on the real servers a little later."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from tests.atlas.errors import AtlasError, missing
from tests.atlas.world import GROUP, Asked, Document, Project, ProjectOf, World, WorldOf, page

router = APIRouter()
USER = GROUP + "/databaseUsers/{database}/{name:path}"
ROLES = GROUP + "/customDBRoles/roles"
BUILT_IN = frozenset(
    {
        "atlasAdmin",
        "backup",
        "clusterMonitor",
        "dbAdmin",
        "dbAdminAnyDatabase",
        "enableSharding",
        "read",
        "readAnyDatabase",
        "readWrite",
        "readWriteAnyDatabase",
    }
)


# --- users


@router.get(GROUP + "/databaseUsers")
async def users(project: ProjectOf, world: WorldOf, request: Request) -> Document:
    _expire(world, project)
    return page(list(project.users.values()), request)


@router.post(GROUP + "/databaseUsers", status_code=201)
async def create_user(asked: Asked, project: ProjectOf, world: WorldOf) -> Document:
    key = (asked["databaseName"], asked["username"])
    if key in project.users:
        detail = f"A user with username {key[1]} already exists in group {project.id}."
        raise AtlasError(409, "USER_ALREADY_EXISTS", detail, key[1])
    if "password" not in asked:
        raise AtlasError(
            400,
            "MISSING_ATTRIBUTE",
            "The required attribute password was not specified.",
            "password",
        )
    nothing = {
        "awsIAMType": "NONE",
        "ldapAuthType": "NONE",
        "oidcAuthType": "NONE",
        "x509Type": "NONE",
    }
    made = {**nothing, "labels": [], "scopes": [], "links": []}
    _set_user(project, world, made, asked)
    project.users[key] = made
    return made


@router.get(USER)
async def user(database: str, name: str, project: ProjectOf, world: WorldOf) -> Document:
    _expire(world, project)
    return _user(database, name, project)


@router.patch(USER)
async def update_user(
    database: str, name: str, asked: Asked, project: ProjectOf, world: WorldOf
) -> Document:
    found = _user(database, name, project)
    _set_user(project, world, found, asked)
    return found


@router.delete(USER, status_code=204)
async def delete_user(database: str, name: str, project: ProjectOf, world: WorldOf) -> Response:
    _user(database, name, project)
    _remove_user(world, project, (database, name))
    return Response(status_code=204)


def _user(database: str, name: str, project: Project) -> Document:
    found = project.users.get((database, name))
    if found is None:
        raise missing("USERNAME_NOT_FOUND", "user with username", name, project.id)
    return found


def _set_user(project: Project, world: World, found: Document, asked: Document) -> None:
    for one in asked["roles"]:
        if one["roleName"] not in BUILT_IN and one["roleName"] not in project.roles:
            raise AtlasError(
                404,
                "ATLAS_CUSTOM_ROLE_NOT_FOUND",
                f"The custom role {one['roleName']} does not exist.",
            )
        if "collectionName" in one:
            raise AtlasError(
                500, "UNEXPECTED_ERROR", "The tests' Atlas has no roles of one collection."
            )
    world.check_end(asked)
    key = (asked["databaseName"], asked["username"])
    if "password" in asked:
        project.passwords[key] = asked["password"]
    found.update(
        {name: value for name, value in asked.items() if name not in ("password", "groupId")}
    )
    _everywhere(project, world, "set_user", key[1], dict(found), project.passwords[key])


def _remove_user(world: World, project: Project, key: tuple[str, str]) -> None:
    del project.users[key], project.passwords[key]
    _everywhere(project, world, "drop_user", key[1])


def _expire(world: World, project: Project) -> None:
    """Remove temporary users whose end has come."""
    for key in [key for key, one in project.users.items() if world.over(one)]:
        _remove_user(world, project, key)


def _everywhere(project: Project, world: World, what: str, *given: Any) -> None:
    """Have the servers of a project follow, a little later, as Atlas' do."""

    def follow() -> None:
        for cluster in project.clusters.values():
            if cluster.mongod.client is not None:
                cluster.do(getattr(cluster.mongod, what), *given).result()

    world.later("user", follow)


# --- custom roles


@router.get(ROLES)
async def roles(project: ProjectOf) -> list[Document]:
    return list(project.roles.values())


@router.post(ROLES, status_code=202)
async def create_role(asked: Asked, project: ProjectOf, world: WorldOf) -> Document:
    name = asked["roleName"]
    if name in project.roles:
        detail = f"The specified custom db role {name} already exists."
        raise AtlasError(409, "DUPLICATE_ATLAS_CUSTOM_ROLE", detail, name)
    if name in BUILT_IN:
        detail = f"Cannot create {name}: a built-in role with that name already exists."
        raise AtlasError(400, "ATLAS_CUSTOM_ROLE_CONFLICTS_WITH_BUILT_IN_ROLE", detail, name)
    made = {"roleName": name, "actions": [], "inheritedRoles": []}
    _set_role(project, world, made, asked)
    project.roles[name] = made
    return made


@router.get(ROLES + "/{name}")
async def role(name: str, project: ProjectOf) -> Document:
    return _role(name, project)


@router.patch(ROLES + "/{name}")
async def update_role(name: str, asked: Asked, project: ProjectOf, world: WorldOf) -> Document:
    found = _role(name, project)
    _set_role(project, world, found, asked)
    return found


@router.delete(ROLES + "/{name}", status_code=204)
async def delete_role(name: str, project: ProjectOf, world: WorldOf) -> Response:
    _role(name, project)
    for one in project.users.values():
        if name in [held["roleName"] for held in one["roles"]]:
            detail = f"The custom role {name} is assigned to the user {one['username']}."
            raise AtlasError(409, "ATLAS_CUSTOM_ROLE_IN_USE", detail, name)
    del project.roles[name]
    _everywhere(project, world, "drop_role", name)
    return Response(status_code=204)


def _role(name: str, project: Project) -> Document:
    found = project.roles.get(name)
    if found is None:
        raise missing("ATLAS_CUSTOM_ROLE_NOT_FOUND", "custom role", name, project.id)
    return found


def _set_role(project: Project, world: World, found: Document, asked: Document) -> None:
    if not {**found, **asked}["actions"] and not {**found, **asked}["inheritedRoles"]:
        detail = "Custom roles must have one or more user privilege actions or inherited roles."
        raise AtlasError(400, "ATLAS_CUSTOM_ROLE_HAS_NO_PERMISSIONS", detail)
    for one in asked.get("inheritedRoles", ()):
        if one["role"] not in BUILT_IN and one["role"] not in project.roles:
            detail = "One or more of the specified inherited roles do not exist."
            raise AtlasError(400, "ATLAS_CUSTOM_ROLE_INHERITED_ROLE_NOT_FOUND", detail, one["role"])
    found.update(asked)
    _everywhere(project, world, "set_role", found["roleName"], dict(found))
