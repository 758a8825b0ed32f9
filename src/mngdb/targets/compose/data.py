"""What data the units have: their volumes, against what was there the last time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from mngdb.errors import UnreachableError
from mngdb.identity import holdings
from mngdb.identity.holdings import Holding
from mngdb.model import Notice, Unit
from mngdb.spec.engine_info import Image
from mngdb.targets.compose.containers import Project
from mngdb.targets.compose.notes import Volume
from mngdb.targets.compose.ownership import ID, labels


class Data(Struct):
    """The volumes of one stack's units. `allow` are units that the command names: a volume of
    theirs is taken as it is."""

    project: Project
    state: Path
    allow: Collection[str] = ()

    @property
    def noted(self) -> Path:
        """Where it is noted which units have data: apart from those of this machine."""
        return self.state / "compose"

    def left(self, unit: str) -> Literal["stopped", "missing", "absent"]:
        """What there is of a unit that does not run."""
        if self.missing(unit):
            return "missing"
        return "stopped" if self.project.volume(unit) is not None else "absent"

    def missing(self, unit: str) -> str:
        """What is missing of the data that was there, for people; empty: nothing is."""
        held, volume, owned = self._held(unit), self.project.volume(unit), self.project.owned
        named = f"the volume {unit}-data"
        if held is None or (volume is not None and unit in self.allow):
            return ""
        if volume is None:
            return held.told(f"{named} does not exist")
        if owned.replaced(volume):
            return held.told(f"{named} is a different volume now, or its contents were replaced")
        if not owned.owns("volume", volume):
            return held.told(f"{named} is not known to belong to this stack")
        return ""

    def _held(self, unit: str) -> Holding | None:
        found = holdings.read(self.noted, unit)
        if found is None and (noted := self.project.notes.noted(f"{unit}.seen")) is not None:
            # the version before noted no more than which server it saw there
            at = datetime.fromtimestamp(noted, UTC).isoformat(timespec="seconds")
            found = Holding(at, at)
        return found

    def strange(self, units: Iterable[str]) -> list[Notice]:
        """The volumes of `units`, and of earlier ones, that are not known to be the stack's. What
        another stack has made is that one's alone."""
        docker, owned = self.project.docker, self.project.owned
        names = {*(f"{unit}-data" for unit in units), *owned.known().volumes}
        try:
            found = docker.inspected("volume", sorted(names))
        except UnreachableError as error:
            # servers of this machine are none of the engine's business
            told = f"could not check for remaining volumes: {error.message}"
            return [Notice("", told, "run 'docker volume ls' once it answers")]
        return [
            Notice(
                "",
                f"the volume {one['Name']} is not known to belong to this stack "
                f"({owned.origin(one)}): it is kept, with its data",
                f"to remove it: docker volume rm {one['Name']}",
            )
            for one in found
            if ID not in labels(one) and not owned.owns("volume", one)
        ]

    def forget(self, unit: str) -> None:
        """Data that is missing is not waited for any longer."""
        holdings.forget(self.noted, unit)
        for name in (unit, f"{unit}.conf", f"{unit}.seen"):
            self.project.notes.forget(name)
        self.project.notes.keep_volume(f"{unit}-data", None)

    def seen(self, unit: Unit, image: str, place: Image) -> None:
        """Note that the unit runs, and on which volume. It is marked the first time."""
        holdings.seen(self.noted, unit.name)
        container = self.project.container(unit.name)
        if container is None:
            return
        notes, name = self.project.notes, f"{unit.name}-data"
        kept = self.project.owned.known().volumes.get(name)
        if kept is not None and kept.mark and kept.container == container["Id"]:
            return
        mark = kept.mark if kept is not None else ""
        if not mark:
            mark = self.project.owned.marks.new(self.project.owned.id)
            self.project.owned.marks.write(unit.name, place.data, mark)
        running = replace(_noted(unit), mark=mark, container=container["Id"])
        notes.keep_volume(name, replace(running, image=image, user=place.user))

    def take(self, units: Mapping[str, Unit]) -> None:
        """Note the volumes that the command names as the stack's, as they are."""
        for unit in units.values():
            if unit.name in self.allow and self.project.volume(unit.name) is not None:
                self.project.notes.keep_volume(f"{unit.name}-data", _noted(unit))


def _noted(unit: Unit) -> Volume:
    return Volume(unit.name, unit.instance, unit.engine)
