"""What this Atlas knows: its clock, organisations, projects, and who may do what.

Everything happens on one event loop, so nothing here has a lock.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Body, Depends, Request

from tests.atlas.aws import Aws
from tests.atlas.errors import AtlasError, invalid, missing

if TYPE_CHECKING:
    from tests.atlas.mongod import Cluster

Document = dict[str, Any]
#: The body of a request.
Asked = Annotated[Document, Body()]
#: What happens when a state ends. False: not yet, ask again soon.
Effect = Callable[[], bool | None]


def new_id() -> str:
    """24 hexadecimal digits, as Atlas' ids are."""
    return secrets.token_hex(12)


@dataclass
class Actor:
    """Who sends a request: a service account or an API key, of one organisation or several."""

    name: str
    organizations: dict[str, set[str]]  # to roles

    def may(self, organization: str, *roles: str) -> bool:
        """Whether it has one of the roles there."""
        return bool(self.organizations.get(organization, set()) & {"ORG_OWNER", *roles})


@dataclass
class Project:
    """One group, and what is in it, as the API gives it."""

    id: str
    document: Document
    clusters: dict[str, Cluster] = field(default_factory=dict)
    users: dict[tuple[str, str], Document] = field(default_factory=dict)
    passwords: dict[tuple[str, str], str] = field(default_factory=dict)
    roles: dict[str, Document] = field(default_factory=dict)
    access: dict[str, Document] = field(default_factory=dict)
    services: dict[str, Document] = field(default_factory=dict)
    endpoints: dict[str, dict[str, Document]] = field(default_factory=dict)  # of a service
    regional_mode: bool = False
    containers: dict[str, Document] = field(default_factory=dict)
    peers: dict[str, Document] = field(default_factory=dict)
    alert_configs: dict[str, Document] = field(default_factory=dict)
    alerts: dict[str, Document] = field(default_factory=dict)
    hidden: dict[str, Document] = field(default_factory=dict)  # secrets of notifications, by config


class World:
    """The whole of it."""

    def __init__(self, folder: Path, speed: float, aws: Aws | None) -> None:
        self.folder, self.aws = folder, aws
        self.organizations: dict[str, str] = {}  # id to name
        self.projects: dict[str, Project] = {}
        self.accounts: dict[str, Document] = {}  # service accounts by client id
        self.keys: dict[str, tuple[str, Actor]] = {}  # private key and owner, by public key
        self.speeds: dict[str, float] = {"": speed}
        self.lacking: set[tuple[str, str]] = set()  # regions and the tiers that they do not have
        self.doomed: set[str] = set()  # kinds of which nothing comes: endpoint, snapshot, …
        self.measured: dict[str, float] = {}  # what every process has now
        self._ahead = 0.0
        self._waiting: list[tuple[float, Effect]] = []

    # --- time

    def now(self) -> datetime:
        """The time in here."""
        return datetime.fromtimestamp(time.time() + self._ahead, UTC)

    def stamp(self, moment: datetime | None = None) -> str:
        """As Atlas writes it, to the second."""
        return (moment or self.now()).strftime("%Y-%m-%dT%H:%M:%SZ")

    def over(self, one: Document) -> bool:
        """Whether something temporary has come to its end."""
        until = one.get("deleteAfterDate")
        return until is not None and datetime.fromisoformat(until) <= self.now()

    def check_end(self, one: Document) -> None:
        """Something temporary lives a week at most. Raises AtlasError."""
        until = one.get("deleteAfterDate")
        if until is None:
            return
        left = datetime.fromisoformat(until) - self.now()
        if not timedelta(0) < left <= timedelta(days=7):
            detail = "it has to be in the future, and no later than one week from now."
            raise invalid("deleteAfterDate", detail)

    def later(self, kind: str, effect: Effect) -> None:
        """Have a state of this kind end when it has taken its time."""
        seconds = self.speeds.get(kind, self.speeds[""])
        self._waiting.append((self.now().timestamp() + seconds, effect))
        asyncio.get_running_loop().call_later(seconds + 0.001, self.settle)

    def settle(self, everything: bool = False) -> None:
        """End the states whose time has come."""
        due = [one for one in self._waiting if everything or one[0] <= self.now().timestamp()]
        self._waiting = [one for one in self._waiting if one not in due]
        for _, effect in due:
            if effect() is False:
                self._waiting.append((0.0, effect))  # it is due, and goes on
                asyncio.get_running_loop().call_later(0.02, self.settle)

    @property
    def settled(self) -> bool:
        """Whether nothing goes on."""
        return not self._waiting

    def advance(self, seconds: float | None) -> None:
        """Let time pass at once; None: as long as every state that goes on takes."""
        if seconds is None:
            self.settle(everything=True)
        else:
            self._ahead += seconds
            self.settle()

    # --- what there is

    def add_project(self, name: str, organization: str, **more: Any) -> Project:
        """A new, empty project."""
        document = {
            "id": new_id(),
            "name": name,
            "orgId": organization,
            "created": self.stamp(),
            **more,
        }
        made = Project(document["id"], document)
        self.projects[made.id] = made
        return made


def choice(*seed: str) -> random.Random:
    """Chance that is the same for the same thing."""
    return random.Random(hashlib.sha256("/".join(seed).encode()).digest())


def page(results: list[Document], request: Request) -> Document:
    """The part of a list that was asked for."""
    size = int(request.query_params.get("itemsPerPage", 100))
    first = (int(request.query_params.get("pageNum", 1)) - 1) * size
    found: Document = {"links": [{"href": str(request.url), "rel": "self"}]}
    found["results"] = results[first : first + size]
    if request.query_params.get("includeCount", "true") == "true":
        found["totalCount"] = len(results)
    return found


# --- what handlers ask for


async def _world(request: Request) -> World:
    world: World = request.app.state.world
    return world


async def _actor(request: Request) -> Actor:
    actor: Actor = request.scope["actor"]
    return actor


async def _project(group_id: str, request: Request) -> Project:
    world, actor = await _world(request), await _actor(request)
    found = world.projects.get(group_id)
    if found is None:
        raise AtlasError(404, "GROUP_NOT_FOUND", f"No group with ID {group_id} exists.", group_id)
    organization = found.document["orgId"]
    if organization not in actor.organizations:
        detail = "The current user is not in the group, or the group does not exist."
        raise AtlasError(401, "NOT_IN_GROUP", detail, group_id)
    if request.method != "GET" and not actor.may(organization, "GROUP_OWNER"):
        detail = "Current user is not authorized to perform this action."
        raise AtlasError(403, "USER_UNAUTHORIZED", detail)
    return found


WorldOf = Annotated[World, Depends(_world)]
ActorOf = Annotated[Actor, Depends(_actor)]
ProjectOf = Annotated[Project, Depends(_project)]


async def _cluster(cluster_name: str, project: ProjectOf) -> Cluster:
    found = project.clusters.get(cluster_name)
    if found is None:
        raise missing("CLUSTER_NOT_FOUND", "cluster named", cluster_name, project.id)
    return found


ClusterOf = Annotated["Cluster", Depends(_cluster)]
GROUP = "/api/atlas/v2/groups/{group_id}"
CLUSTER = GROUP + "/clusters/{cluster_name}"
