"""Private endpoint services and their endpoints, on AWS."""

from __future__ import annotations

from fastapi import APIRouter, Response

from tests.atlas import clusters
from tests.atlas.errors import AtlasError, missing
from tests.atlas.world import (
    GROUP,
    Asked,
    Document,
    Project,
    ProjectOf,
    WorldOf,
    choice,
    new_id,
)

router = APIRouter()
SERVICES = GROUP + "/privateEndpoint/{provider}/endpointService"
SERVICE = SERVICES + "/{service_id}"
ENDPOINT = SERVICE + "/endpoint/{endpoint_id}"


@router.post(GROUP + "/privateEndpoint/endpointService")
async def create_service(asked: Asked, project: ProjectOf, world: WorldOf) -> Document:
    region = asked["region"]
    for one in project.services.values():
        if one["regionName"] == region:
            detail = (
                f"A private endpoint service already exists in {region} for group {project.id}."
            )
            raise AtlasError(
                400, "PRIVATE_ENDPOINT_SERVICE_ALREADY_EXISTS_FOR_REGION", detail, region
            )
    made = {"id": new_id(), "cloudProvider": "AWS", "regionName": region, "status": "INITIATING"}
    made |= {"interfaceEndpoints": []}
    project.services[made["id"]] = made
    project.endpoints[made["id"]] = {}

    def ready() -> None:
        if "service" in world.doomed:
            made.update(status="FAILED", errorMessage="The service could not be created.")
            return
        aws = region.lower().replace("_", "-")
        name = f"com.amazonaws.vpce.{aws}.vpce-svc-{choice(made['id']).randbytes(9).hex()[:17]}"
        made.update(status="AVAILABLE", endpointServiceName=name)

    world.later("service", ready)
    return made


@router.get(SERVICES)
async def services(provider: str, project: ProjectOf) -> list[Document]:
    return [_shown(project, one) for one in project.services.values() if provider == "AWS"]


@router.get(SERVICE)
async def service(service_id: str, project: ProjectOf) -> Document:
    return _shown(project, _service(service_id, project))


@router.patch(GROUP + "/privateEndpoint/endpointService/{service_id}")
async def update_service(service_id: str, asked: Asked, project: ProjectOf) -> Document:
    found = _service(service_id, project)
    found.update(asked)
    return _shown(project, found)


@router.delete(SERVICE, status_code=204)
async def delete_service(service_id: str, project: ProjectOf, world: WorldOf) -> Response:
    found = _service(service_id, project)
    if project.endpoints[service_id]:
        detail = "Cannot delete a private endpoint service while it has private endpoints."
        raise AtlasError(400, "PRIVATE_ENDPOINT_SERVICE_HAS_ENDPOINTS", detail, service_id)
    found["status"] = "DELETING"

    def gone() -> None:
        project.services.pop(service_id, None)
        project.endpoints.pop(service_id, None)

    world.later("service", gone)
    return Response(status_code=204)


def _service(service_id: str, project: Project) -> Document:
    found = project.services.get(service_id)
    if found is None:
        raise missing(
            "PRIVATE_ENDPOINT_SERVICE_NOT_FOUND", "private endpoint service", service_id, project.id
        )
    return found


def _shown(project: Project, found: Document) -> Document:
    return {**found, "interfaceEndpoints": list(project.endpoints[found["id"]])}


@router.post(SERVICE + "/endpoint")
async def create_endpoint(
    service_id: str, asked: Asked, project: ProjectOf, world: WorldOf
) -> Document:
    found, endpoint_id = _service(service_id, project), asked["id"]
    if found["status"] != "AVAILABLE":
        detail = "The private endpoint service is not available yet."
        raise AtlasError(400, "PRIVATE_ENDPOINT_SERVICE_NOT_AVAILABLE", detail, service_id)
    if endpoint_id in project.endpoints[service_id]:
        detail = f"The interface endpoint {endpoint_id} was added before."
        raise AtlasError(409, "INTERFACE_ENDPOINT_ALREADY_EXISTS", detail, endpoint_id)
    made = {"cloudProvider": "AWS", "interfaceEndpointId": endpoint_id, "deleteRequested": False}
    made |= {"connectionStatus": "PENDING_ACCEPTANCE"}
    project.endpoints[service_id][endpoint_id] = made

    def accepted() -> None:
        if made["connectionStatus"] == "PENDING_ACCEPTANCE":
            made["connectionStatus"] = "PENDING"
            world.later("endpoint", ready)

    def ready() -> None:
        region, name = found["regionName"], found["endpointServiceName"]
        known = world.aws is None or world.aws.endpoint_leads_to(region, endpoint_id, name)
        if "endpoint" in world.doomed or not known:
            said = "Interface endpoint was rejected."
            made.update(connectionStatus="REJECTED", errorMessage=said)
        elif made["connectionStatus"] == "PENDING":
            made["connectionStatus"] = "AVAILABLE"
            clusters.reconnect(project)

    world.later("endpoint", accepted)
    return made


@router.get(ENDPOINT)
async def endpoint(service_id: str, endpoint_id: str, project: ProjectOf) -> Document:
    return _endpoint(service_id, endpoint_id, project)


@router.delete(ENDPOINT, status_code=204)
async def delete_endpoint(
    service_id: str, endpoint_id: str, project: ProjectOf, world: WorldOf
) -> Response:
    found = _endpoint(service_id, endpoint_id, project)
    found.update(connectionStatus="DELETING", deleteRequested=True)

    def gone() -> None:
        project.endpoints.get(service_id, {}).pop(endpoint_id, None)

    clusters.reconnect(project)
    world.later("endpoint", gone)
    return Response(status_code=204)


def _endpoint(service_id: str, endpoint_id: str, project: Project) -> Document:
    _service(service_id, project)
    found = project.endpoints[service_id].get(endpoint_id)
    if found is None:
        raise missing("INTERFACE_ENDPOINT_NOT_FOUND", "interface endpoint", endpoint_id, project.id)
    return found


@router.get(GROUP + "/privateEndpoint/regionalMode")
async def regional_mode(project: ProjectOf) -> Document:
    return {"enabled": project.regional_mode}


@router.patch(GROUP + "/privateEndpoint/regionalMode")
async def set_regional_mode(asked: Asked, project: ProjectOf) -> Document:
    project.regional_mode = asked["enabled"]
    return {"enabled": project.regional_mode}
