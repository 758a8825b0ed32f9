"""Services of a stack that are no units: exporters, and what a page is made of. They hang on
servers, and hold none of their data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from mngdb.errors import StepError
from mngdb.facts.doctor import Service
from mngdb.model import Action, Step
from mngdb.run import last_line
from mngdb.spec.stack import Stack
from mngdb.targets.compose import services, web
from mngdb.targets.compose.containers import Project
from mngdb.targets.compose.folder import Folder
from mngdb.targets.compose.ownership import FOLDER, labels
from mngdb.targets.compose.ownership import name as name_of
from mngdb.targets.compose.rendering import Rendering

#: States in which Docker calls a container running all the same.
_NOT_RUNNING: Mapping[Literal["restarting", "halted"], str] = {
    "restarting": "Restarting",
    "halted": "Paused",
}


@dataclass(frozen=True)
class Beside:
    """Looks after them."""

    stack: Stack
    project: Project
    folder: Folder

    @cached_property
    def names(self) -> dict[str, tuple[str, ...]]:
        """Each service to the instances that it is for."""
        here = [one for one in self.stack.instances.values() if one.contained]
        exporters = {f"{i.unit}-exporter": (i.name,) for i in here if i.monitored}
        seen = tuple(i.name for i in self.stack.insight)
        return exporters | dict.fromkeys(web.names(self.stack), seen)

    def services(self) -> list[Service]:
        """How they do."""
        found = self.project.inspected([*self.names])
        return [self._service(name, found.get(name)) for name in self.names]

    def _service(self, name: str, found: Mapping[str, Any] | None) -> Service:
        instances, page = self.names[name], name in web.names(self.stack)
        if found is None:
            return Service(name, "absent", instances, page)
        state = found["State"]
        for kind, holds in _NOT_RUNNING.items():
            if state[holds]:
                return Service(name, kind, instances, page)
        running = self.project.as_running(name, found)
        if running is None:
            return Service(name, "stopped", instances, page)
        health = state.get("Health") or {}
        log = health.get("Log") or []
        said = last_line(log[-1]["Output"]) if log else ""
        status = health.get("Status", "")
        return Service(name, "running", instances, page, status, said, running.uptime())

    # --- changes

    def steps(self, wanted: Rendering) -> list[Step[None]]:
        """What brings them as they should be."""
        found = []
        units = {unit.name for unit in wanted.units.values()}
        for name in wanted.whole.services:
            due = None if name in units else self._due(wanted, name)
            if due is not None:
                found.append(self._step(*due, name, self._starter(wanted, name)))
        data = {note.unit for note in self.project.units()}
        for name in self.project.services() - set(wanted.whole.services) - data:
            detail = "its container: no longer in the file"
            found.append(self._step("stop", detail, name, self._ender(name)))
        wanted_networks = [one["name"] for one in wanted.whole.networks.values()]
        found += map(self._forsaken, self.project.networks(wanted_networks))
        return found

    def _step(
        self, action: Action, detail: str, name: str, run: Callable[[None], None]
    ) -> Step[None]:
        # one that the file asks for no more is nobody's: it stands with the first
        owner = self.names.get(name, tuple(self.stack.instances))[0]
        return Step(owner, self.stack.instances[owner].engine, action, name, detail, run)

    def _forsaken(self, network: str) -> Step[None]:
        def run(_: None) -> None:
            self.project.forsake(network)

        return self._step("drop", "no longer in the file", f"network {network}", run)

    def removal(self, folder: Folder) -> Step[None]:
        """Remove a rendered folder that the stack has left, with its passwords."""

        def run(_: None) -> None:
            every = self.project.owned.listed("container")
            used = [name_of(one) for one in every if labels(one).get(FOLDER) == str(folder.root)]
            if used:
                raise StepError(f"{folder.root} is still in use by {', '.join(used)}", "mngdb up")
            folder.remove()

        detail = f"its files and passwords are in {self.folder.root} now"
        return self._step("drop", detail, f"folder {folder.root}", run)

    def _due(self, wanted: Rendering, name: str) -> tuple[Action, str] | None:
        """What a service needs, and why; None: it runs as it should."""
        project, found = self.project, self.project.container(name)
        if found is None:
            return "create", "its container"
        if project.as_running(name, found) is None:
            return "start", "its container"
        if project.definition(found) != services.definition(wanted.whole.services[name]):
            return "restart", "its container is recreated: it differs from its definition"
        misplaced = project.misplaced(found)
        if misplaced:
            return "restart", f"its container is recreated: {misplaced}"
        files = _read(wanted, name)
        if project.notes.applied(name) == _digest(files):
            return None
        # a file that is not as it should be was not read as it should be
        paths = {self.folder.root / path: text for path, text in files.items()}
        right = all(self.folder.read(path) == text for path, text in paths.items())
        if right and project.read_since(name, [*paths]):
            return None
        return "restart", "its files have changed"

    def _starter(self, wanted: Rendering, name: str) -> Callable[[Any], None]:
        def run(_: None) -> None:
            project, service = self.project, wanted.whole.services[name]
            if "build" not in service:
                project.fetch(service["image"])
            before = project.container(name)
            runs = project.as_running(name, before) is not None
            project.notes.forget(name)
            if before is not None and project.misplaced(before):
                project.discard(name)  # Compose takes it for the one described
            project.up(name)
            same = before and project.definition(before) == services.definition(service)
            if runs and same:
                project.restart(name)
            project.notes.apply(name, _digest(_read(wanted, name)))

        return run

    def _ender(self, name: str) -> Callable[[Any], None]:
        def run(_: None) -> None:
            self.project.notes.forget(name)
            self.project.discard(name)

        return run


def _read(wanted: Rendering, name: str) -> dict[str, str]:
    """What a service reads when it starts: path in the folder to content."""
    whole = wanted.whole
    service = whole.services[name]
    used = [one if isinstance(one, str) else one["source"] for one in service.get("secrets", [])]
    mounted = tuple(one["source"] for one in service.get("volumes", []))
    secrets = {f"secrets/{one}": whole.secrets[one].content for one in used}
    return secrets | {
        path: text for path, text in whole.files.items() if f"./{path}".startswith(mounted)
    }


def _digest(files: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
