"""Alert configurations, and the alerts that they raised (a test raises them)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from tests.atlas.errors import AtlasError, invalid, missing
from tests.atlas.world import (
    GROUP,
    Asked,
    Document,
    Project,
    ProjectOf,
    World,
    WorldOf,
    new_id,
    page,
)

router = APIRouter()
ONE = GROUP + "/alertConfigs/{config_id}"
#: What is shown of a secret: its end.
_SECRETS = ("apiToken", "serviceKey")


def add_defaults(world: World, project: Project) -> None:
    """Atlas' own configurations of a new project."""
    owners = {
        "typeName": "GROUP",
        "emailEnabled": True,
        "smsEnabled": False,
        "roles": ["GROUP_OWNER"],
    }
    notifications = [{**owners, "intervalMin": 60, "delayMin": 0}]
    for event in ("NO_PRIMARY", "CREDIT_CARD_ABOUT_TO_EXPIRE"):
        add(world, project, {"eventTypeName": event, "notifications": notifications})
    for metric in (
        "DISK_PARTITION_SPACE_USED_DATA",
        "QUERY_TARGETING_SCANNED_OBJECTS_PER_RETURNED",
    ):
        threshold: Document = {"metricName": metric, "mode": "AVERAGE", "operator": "GREATER_THAN"}
        threshold |= {"threshold": 90.0, "units": "RAW"}
        asked = {"eventTypeName": "OUTSIDE_METRIC_THRESHOLD", "metricThreshold": threshold}
        add(world, project, {**asked, "notifications": notifications, "enabled": True})


def add(world: World, project: Project, asked: Document) -> Document:
    """A new configuration; its secrets are kept apart."""
    made: Document = {"id": new_id(), "groupId": project.id, "created": world.stamp(), "links": []}
    project.alert_configs[made["id"]] = made
    return change(world, project, made, {"enabled": False, "matchers": [], **asked})


def change(world: World, project: Project, found: Document, asked: Document) -> Document:
    """Replace what a configuration says."""
    fixed = {key: found[key] for key in ("id", "groupId", "created", "links")}
    notifications = [
        {"notifierId": new_id(), "intervalMin": 5, "delayMin": 0, **_masked(one)}
        for one in asked["notifications"]
    ]
    project.hidden[found["id"]] = {"notifications": asked["notifications"]}
    found.clear()
    found.update({**asked, **fixed, "notifications": notifications, "updated": world.stamp()})
    return found


def _masked(notification: Document) -> Document:
    return {
        key: f"****{value[-4:]}" if key in _SECRETS else value
        for key, value in notification.items()
    }


@router.get(GROUP + "/alertConfigs")
async def configs(project: ProjectOf, request: Request) -> Document:
    return page(list(project.alert_configs.values()), request)


@router.post(GROUP + "/alertConfigs")
async def create(asked: Asked, project: ProjectOf, world: WorldOf) -> Document:
    _check(asked)
    return add(world, project, asked)


@router.get(ONE)
async def config(config_id: str, project: ProjectOf) -> Document:
    return _config(config_id, project)


@router.put(ONE)
async def replace(config_id: str, asked: Asked, project: ProjectOf, world: WorldOf) -> Document:
    _check(asked)
    found = _config(config_id, project)
    return change(world, project, found, {"enabled": False, "matchers": [], **asked})


@router.patch(ONE)
async def toggle(config_id: str, asked: Asked, project: ProjectOf, world: WorldOf) -> Document:
    found = _config(config_id, project)
    found.update(enabled=asked["enabled"], updated=world.stamp())
    return found


@router.delete(ONE, status_code=204)
async def delete(config_id: str, project: ProjectOf) -> Response:
    _config(config_id, project)
    del project.alert_configs[config_id]
    return Response(status_code=204)


@router.get(ONE + "/alerts")
async def raised(config_id: str, project: ProjectOf, request: Request) -> Document:
    _config(config_id, project)
    return page(
        [one for one in project.alerts.values() if one["alertConfigId"] == config_id], request
    )


def _config(config_id: str, project: Project) -> Document:
    found = project.alert_configs.get(config_id)
    if found is None:
        raise missing(
            "ALERT_CONFIG_NOT_FOUND", "alert configuration with ID", config_id, project.id
        )
    return found


def _check(asked: Document) -> None:
    measured = asked["eventTypeName"] == "OUTSIDE_METRIC_THRESHOLD"
    if measured != ("metricThreshold" in asked):
        raise invalid("metricThreshold", "it belongs to OUTSIDE_METRIC_THRESHOLD alone.")
    for one in asked["notifications"]:
        needed = {"EMAIL": "emailAddress", "SLACK": "channelName", "PAGER_DUTY": "serviceKey"}
        name = needed.get(one["typeName"])
        if name and not one.get(name) and "integrationId" not in one:
            raise invalid(f"notifications.{name}", "it is required.")


# --- alerts


@router.get(GROUP + "/alerts")
async def alerts(project: ProjectOf, request: Request) -> Document:
    wanted = request.query_params.get("status")
    return page(
        [one for one in project.alerts.values() if wanted in (None, one["status"])], request
    )


@router.get(GROUP + "/alerts/{alert_id}")
async def alert(alert_id: str, project: ProjectOf) -> Document:
    return _alert(alert_id, project)


@router.patch(GROUP + "/alerts/{alert_id}")
async def acknowledge(alert_id: str, asked: Asked, project: ProjectOf) -> Document:
    found = _alert(alert_id, project)
    found.update(asked)
    return found


@router.get(GROUP + "/alerts/{alert_id}/alertConfigs")
async def configs_of(alert_id: str, project: ProjectOf, request: Request) -> Document:
    return page([_config(_alert(alert_id, project)["alertConfigId"], project)], request)


def _alert(alert_id: str, project: Project) -> Document:
    found = project.alerts.get(alert_id)
    if found is None:
        raise AtlasError(404, "ALERT_NOT_FOUND", f"No alert with ID {alert_id} exists.", alert_id)
    return found


def raise_alert(world: World, project: Project, config_id: str, **more: Any) -> Document:
    """Have a configuration raise one."""
    config = _config(config_id, project)
    now = world.stamp()
    made: Document = {"id": new_id(), "groupId": project.id, "status": "OPEN"}
    made |= {"alertConfigId": config_id, "eventTypeName": config["eventTypeName"]}
    made |= {"created": now, "updated": now, "links": []}
    made |= more
    project.alerts[made["id"]] = made
    return made
