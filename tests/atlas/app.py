"""The resources together, and what tests ask for."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from tests.atlas import (
    access_list,
    advisor,
    alerts,
    backups,
    clusters,
    organization,
    peering,
    private_link,
    schedule,
    users,
)
from tests.atlas.aws import Aws
from tests.atlas.certificates import Certificates
from tests.atlas.contract import Contract
from tests.atlas.errors import AtlasError
from tests.atlas.faults import Faults
from tests.atlas.gate import Gate
from tests.atlas.login import Logins
from tests.atlas.mongod import Mongod
from tests.atlas.world import Actor, Document, Project, World, new_id

_RESOURCES = (
    *(
        organization,
        clusters,
        schedule,
        backups,
        users,
        access_list,
        private_link,
        peering,
        alerts,
        advisor,
    ),
)


class Atlas:
    """Everything: `application` is what the server runs, `server` what is behind a cluster."""

    def __init__(
        self,
        settings: Document,
        certificates: Certificates,
        server: type[Mongod] = Mongod,
        contract: type[Contract] = Contract,
    ) -> None:
        aws = Aws(settings["aws"]) if settings["aws"] else None
        self.world = World(Path(settings["folder"]), settings["speed"], aws)
        self.logins = Logins(self.world)
        self.faults = Faults()
        inner = FastAPI(openapi_url=None)
        inner.state.world, inner.state.logins = self.world, self.logins
        inner.state.ports, inner.state.certificates = settings["ports"], certificates
        inner.state.server = server
        inner.add_exception_handler(AtlasError, _refuse)
        for resource in _RESOURCES:
            inner.include_router(resource.router)
        self.application = Gate(
            inner, self.world, self.logins, self.faults, self._control, contract()
        )

    def close(self) -> None:
        """End every server."""
        for project in self.world.projects.values():
            for cluster in project.clusters.values():
                cluster.remove()

    # --- what tests ask for

    def _control(self, asked: Document) -> Any:
        return getattr(self, f"do_{asked.pop('do')}")(**asked)

    def do_organization(self, name: str) -> str:
        """A new organisation; its id."""
        found = new_id()
        self.world.organizations[found] = name
        return found

    def do_account(self, organizations: list[str], roles: list[str], name: str) -> list[str]:
        """A service account: client id and secret."""
        return list(self.logins.add_account({one: set(roles) for one in organizations}, name))

    def do_key(self, organizations: list[str], roles: list[str], private: str, public: str) -> None:
        """An API key."""
        actor = Actor(public, {one: set(roles) for one in organizations})
        self.world.keys[public] = (private, actor)

    def do_log(self, since: int) -> Document:
        """Requests, and violations of the contract."""
        gate = self.application
        return {"requests": gate.log[since:], "violations": gate.violations}

    def do_speed(self, seconds: float | None, kinds: dict[str, float]) -> None:
        """How long states take."""
        if seconds is not None:
            self.world.speeds = {"": seconds}
        self.world.speeds |= kinds

    def do_advance(self, seconds: float | None) -> None:
        """Let time pass."""
        self.world.advance(seconds)

    def do_now(self) -> float:
        """The time in here, in seconds since 1970."""
        return self.world.now().timestamp()

    def do_fail(self, **fault: Any) -> None:
        """One more fault."""
        self.faults.add(**fault)

    def do_heal(self) -> None:
        """No faults any more."""
        self.faults.clear()
        self.world.lacking.clear()
        self.world.doomed.clear()

    def do_disorder(self, seed: int) -> None:
        """Any order, and unknown fields."""
        self.faults.disorder(seed)

    def do_limit(self, requests: int | None, tokens: int | None) -> None:
        """Requests of one operation, and tokens, in a minute."""
        if requests is not None:
            self.application.limit = requests
        if tokens is not None:
            self.logins.tokens_a_minute = tokens

    def do_lack(self, region: str, tier: str) -> None:
        """A region without a tier."""
        self.world.lacking.add((region, tier))

    def do_doom(self, kinds: list[str]) -> None:
        """What begins of these kinds ends as failed."""
        self.world.doomed |= set(kinds)

    def do_expire(self, tokens: bool, client: str) -> None:
        """End tokens, or the secrets of a service account."""
        if tokens:
            self.logins.expire()
        for one in self.world.accounts.get(client, {}).get("secrets", ()):
            one["until"] = self.world.now()

    def do_measure(self, **values: float) -> None:
        """What every process measures."""
        self.world.measured |= values

    def do_raise(self, project: str, config: str, more: Document) -> Document:
        """An alert."""
        return alerts.raise_alert(self.world, self._project(project), config, **more)

    def do_accept(self, project: str, peer: str) -> None:
        """The other network's owner accepts."""
        peering.accept(self.world, self._project(project), peer)

    def do_scheduled(self, project: str, cluster: str) -> Document:
        """A snapshot by the schedule."""
        found = self._project(project).clusters[cluster]
        return backups.take(self.world, found, "scheduled", 7)

    def do_ends(self, client: str, days: float) -> None:
        """A service account's secrets end in so many days."""
        for one in self.world.accounts[client]["secrets"]:
            one["until"] = self.world.now() + timedelta(days=days)

    def do_clusters(self) -> list[str]:
        """Names of the clusters of all projects, but for those that are being deleted."""
        every = (
            one for project in self.world.projects.values() for one in project.clusters.values()
        )
        return [one.name for one in every if one.document["stateName"] != "DELETING"]

    def do_hidden(self, project: str) -> Document:
        """What notifications were given, with their secrets, by alert configuration."""
        return self._project(project).hidden

    def _project(self, name: str) -> Project:
        return next(
            one for one in self.world.projects.values() if name in (one.id, one.document["name"])
        )


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AtlasError)
    return JSONResponse(error.document, error.status)
