"""What containers have read of their files, and were made of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from mngdb.model import Unit
from mngdb.spec.stack import Instance, Stack
from mngdb.spec.units import format_size, parse_size
from mngdb.targets.compose import certificates, services
from mngdb.targets.compose.containers import Project
from mngdb.targets.compose.folder import Folder
from mngdb.targets.compose.rendering import Rendering


class Reading(Struct, frozen=True):
    """Compares the rendered folder with what the containers know of it."""

    project: Project
    folder: Folder

    def stale_files(self, unit: Unit, user: int) -> list[str]:
        """The unit's files that the server is not known to have read as its account
        `user` should."""
        conf = self.folder.conf(unit.name)
        files = {file.name: file.content for file in unit.files}
        differing = [*self.folder.differing(conf, files, user).values()]
        if differing or self.project.notes.applied(unit.name) == _digest(unit):
            return differing
        # `docker compose up` and `restart` tell us nothing, but when they were
        if self.project.read_since(unit.name, [conf / file.name for file in unit.files]):
            return []
        return [file.name for file in unit.files]

    def made_otherwise(
        self, unit: Unit, found: Mapping[str, Any], wanted: Rendering, described: str
    ) -> list[str]:
        """Why the container that was `found` has to be made anew; `described` is the text that
        it was made from."""
        said = []
        misplaced = self.project.misplaced(found)
        if misplaced:
            said.append(misplaced)
        if self.project.definition(found) != services.definition(wanted.whole.services[unit.name]):
            differences = wanted.differences(described, unit.name)
            said.append(f"its container is recreated: {differences}")
        limit = found["HostConfig"]["Memory"]
        due = parse_size(wanted.whole.services[unit.name]["mem_limit"])
        if limit != due:
            said.append(f"its memory limit is {format_size(limit)}, not {format_size(due)}")
        noted, conf = self.project.notes.applied(f"{unit.name}.conf"), self.folder.conf(unit.name)
        moved = noted is not None and noted != _identity(conf) and not misplaced
        files = [conf / file.name for file in unit.files]
        if moved and not self.project.read_since(unit.name, files):
            # it still sees the one that is gone
            said.append("the folder that it mounts was removed")
        return said

    def certificate(self, stack: Stack, instance: Instance) -> list[str]:
        """Why a server has to start anew for its certificate."""
        said = []
        if certificates.due(stack, self.folder, instance):
            said.append("a new certificate")
        elif instance.tls and not self.project.read_since(
            instance.unit, [certificates.bundle(self.folder, instance)]
        ):
            said.append("its certificate was renewed after it started")
        return said

    def confirm(self, unit: Unit) -> None:
        """Note that the running server has read the files as they are now, and from where."""
        self.project.notes.apply(unit.name, _digest(unit))
        self.project.notes.apply(f"{unit.name}.conf", _identity(self.folder.conf(unit.name)))


def _identity(folder: Path) -> str:
    """Which folder it is: another one of the same name is another one."""
    try:
        found = folder.stat()
    except FileNotFoundError:
        return ""
    return f"{found.st_dev}:{found.st_ino}"


def _digest(unit: Unit) -> str:
    content = "\0".join(f"{file.name}\0{file.content}" for file in unit.files)
    return hashlib.sha256(("\0".join(unit.argv) + "\0" + content).encode()).hexdigest()
