"""What of a Docker engine is the stack's: what carries the stack's id, and what the stack's state
knows without a label. Never by its name, its folder or its age: another clone has the same."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from msgspec.structs import replace

from mngdb.errors import MngdbError, OtherEngineError
from mngdb.identity import record
from mngdb.identity.home import homes
from mngdb.identity.locate import attach
from mngdb.identity.record import Record
from mngdb.targets.compose.docker import Docker
from mngdb.targets.compose.marks import Marks
from mngdb.targets.compose.notes import Known, Notes, Volume
from mngdb.targets.protocol import ALLOW_ENGINE

Kind = Literal["container", "volume", "network"]
#: The labels of everything that a stack makes on an engine.
ID, STACK = "mngdb.id", "mngdb.stack"
#: The labels of a unit's container and volume besides.
UNIT, INSTANCE, ENGINE = "mngdb.unit", "mngdb.instance", "mngdb.engine"
#: Compose's labels of what it made.
PROJECT = "com.docker.compose.project"
FOLDER = f"{PROJECT}.working_dir"
#: Digits of an engine's id that are shown.
_SHOWN = 12


def labels(found: Mapping[str, Any]) -> dict[str, str]:
    """The labels of a container, volume or network, as `inspect` tells it."""
    inner = found.get("Config", found)
    return inner.get("Labels") or {}


def name(found: Mapping[str, Any]) -> str:
    """Its name."""
    return str(found["Name"]).removeprefix("/")


def _unit(told: Mapping[str, str]) -> Volume:
    return Volume(told.get(UNIT, ""), told.get(INSTANCE, ""), told.get(ENGINE, ""))


@dataclass
class Ownership:
    """Tells what is the stack's on one engine. `before` is the folder where the version before has
    rendered the stack."""

    docker: Docker
    stack: str
    id: str
    notes: Notes
    environ: Mapping[str, str]
    before: Path
    marks: Marks
    _recognized: bool = False
    _older: Known | None = field(default=None, repr=False)

    # --- the engine

    def recognize(self, allow: Collection[str] = ()) -> None:
        """Raise OtherEngineError where the engine is not the one that the stack was made on:
        nothing may be made or removed there."""
        known = None if self._recognized else self.notes.known()
        if known is not None and known.engine and not self._runs(known):
            found = self.docker.engine_id()
            if found != known.engine and not self._there(known) and ALLOW_ENGINE not in allow:
                raise OtherEngineError(
                    f"the Docker engine is not the one that the stack {self.stack!r} was created "
                    f"on: its id is {found[:_SHOWN]} ({self.docker.where}), expected "
                    f"{known.engine[:_SHOWN]} ({known.where})",
                    "restore DOCKER_HOST or the context; if that engine was replaced or "
                    f"reinstalled: mngdb up --allow {ALLOW_ENGINE}",
                )
        self._recognized = True

    def _runs(self, known: Known) -> bool:
        """Whether a container of the stack is on the engine."""
        return any(map(self.marks.has_container, known.volumes.values()))

    def _there(self, known: Known) -> bool:
        """Whether a volume of the stack is on the engine, whose id may change when it is
        updated."""
        marked = {named: kept for named, kept in known.volumes.items() if kept.mark}
        found = self.docker.inspected("volume", [*marked])
        return any(self.marks.fits(one, marked[name(one)]) for one in found)

    def settle(self) -> None:
        """Keep which engine it is, and what the version before has made there. Before anything
        is made."""
        known, found = self.known(), self.docker.engine_id()
        if known.engine not in ("", found) and not self._there(known):
            known = Known(folders=known.folders)  # it was replaced
        self.notes.keep(replace(known, engine=found, where=self.docker.where))

    # --- what is ours

    def owns(self, kind: Kind, found: Mapping[str, Any]) -> bool:
        """Whether a container, volume or network is the stack's."""
        if labels(found).get(ID) == self.id:
            return True
        known, named = self.known(), name(found)
        if kind == "volume":
            kept = known.volumes.get(named)
            return kept is not None and self.marks.fits(found, kept)
        return bool(found["Id"] == getattr(known, f"{kind}s").get(named))

    def known(self) -> Known:
        """What is the stack's without a label."""
        found = self.notes.known()
        return self._adopted() if found is None else found

    def listed(self, kind: Kind) -> list[dict[str, Any]]:
        """Everything of a kind that is the stack's."""
        self.recognize()
        found = {name(one): one for one in self.docker.listed(kind, f"{ID}={self.id}")}
        more = [one for one in getattr(self.known(), f"{kind}s") if one not in found]
        for one in self.docker.inspected(kind, more):
            if self.owns(kind, one):
                found[name(one)] = one
        return [*found.values()]

    def unit(self, found: Mapping[str, Any]) -> Volume | None:
        """What the unit of a container or volume is; None: it is no unit's."""
        told = labels(found)
        if UNIT in told:
            return _unit(told)
        kept = self.known().volumes.get(name(found))
        return kept if kept and kept.unit else None

    def owner(self, found: Mapping[str, Any]) -> str:
        """Whose something is that is not the stack's, for people."""
        told = labels(found)
        other = self.other(told.get(ID, ""))
        if other is not None:
            return f"the stack {other[1].name} in {other[1].project}"
        if ID in told:
            return f"another stack {told.get(STACK, '')} (id {told[ID][:8]})"
        if PROJECT in told:
            where = f" in {told[FOLDER]}" if FOLDER in told else ""
            return f"the Compose project {told[PROJECT]}{where}"
        return "another owner"

    def other(self, wanted: str) -> tuple[Path, Record] | None:
        """The stack of this machine that has an id."""
        every = (one for home in homes(self.environ) for one in record.records(home))
        return next((one for one in every if wanted and one[1].id == wanted), None)

    # --- names that are taken

    def require(self, kind: Kind, found: Mapping[str, Any]) -> None:
        """Raise MngdbError for what has a name of ours and is not."""
        if self.owns(kind, found):
            return
        named = name(found)
        raise MngdbError(
            f"the name {named} is taken by a {kind} of {self.owner(found)}",
            # RedisInsight is called so in every stack
            f"give the stack another name, or remove that {kind}"
            if named.startswith(f"{self.stack}-")
            else f"an engine can have only one {named}: remove it from this file, or remove that "
            f"{kind}",
        )

    def require_volumes(self, units: Mapping[str, str], allow: Collection[str]) -> None:
        """Raise MngdbError for volumes of `units` (volume to unit) that are not known to be the
        stack's, and that `allow` does not name. What another stack of this machine has is never
        taken over."""
        strange = []
        for one in self.docker.inspected("volume", [*units]):
            if self.owns("volume", one):
                continue
            other = self.other(labels(one).get(ID, ""))
            if other is not None:
                raise MngdbError(
                    f"the name {name(one)} is taken by a volume of {self.owner(one)}",
                    "give this stack another 'name'; to use that volume's data here: "
                    f"{attach(other[0])}",
                )
            if units[name(one)] not in allow:
                strange.append(one)
        if strange:
            named = " ".join(f"--allow {units[name(one)]}" for one in strange)
            volumes = ", ".join(map(name, strange))
            whose = ", ".join(dict.fromkeys(map(self.origin, strange)))
            raise MngdbError(
                f"not known to belong to the stack {self.stack!r}: {volumes} ({whose})",
                f"give this stack another 'name', or take the data over: mngdb up {named}",
            )

    def origin(self, volume: Mapping[str, Any]) -> str:
        """Where a volume that is not the stack's came from, for people."""
        if ID in labels(volume) or PROJECT in labels(volume):
            return f"made by {self.owner(volume)}"
        return "created by hand, restored, or copied from another machine"

    def replaced(self, volume: Mapping[str, Any]) -> bool:
        """Whether a volume is another one than what was seen last under its name."""
        kept = self.known().volumes.get(name(volume))
        return kept is not None and not self.marks.fits(volume, kept)

    # --- what the version before has made

    def _adopted(self) -> Known:
        """What the version before has made: it knew its Compose project by folder and name. A copy
        of the project's folder has the place of the original in its notes, and gets nothing."""
        if self._older is None:
            self._older = self._look_before()
        return self._older

    def _look_before(self) -> Known:
        place = self.notes.place()
        if place is None or place.folder is None:
            return Known()
        mine = Path(os.path.realpath(place.folder))
        if mine != self.before and (mine / "docker-compose.yml").exists():
            return Known()
        project = place.project or self.stack
        made = f"{PROJECT}={project}"

        taken = self._taken()

        def unlabelled(kind: Kind) -> list[dict[str, Any]]:
            every = self.docker.listed(kind, made)
            return [one for one in every if ID not in labels(one) and name(one) not in taken]

        containers = [
            one
            for one in unlabelled("container")
            if os.path.realpath(labels(one).get(FOLDER, "")) == str(mine)
        ]
        volumes = {name(one): _unit(labels(one)) for one in unlabelled("volume")}
        return Known(
            volumes=volumes,
            containers={name(one): one["Id"] for one in containers},
            networks={name(one): one["Id"] for one in unlabelled("network")},
        )

    def _taken(self) -> set[str]:
        """Names that another stack of this machine has in its notes: the project of the version
        before that it was, and that this one is a copy of."""
        found = set()
        for home in homes(self.environ):
            for state, other in record.records(home):
                known = Notes(state).known() if other.id != self.id else None
                if known is not None:
                    found |= {*known.volumes, *known.networks}
        return found

    def require_names(self, kind: Kind, names: Sequence[str]) -> None:
        """Raise MngdbError when one of these names is somebody else's."""
        for one in self.docker.inspected(kind, names):
            self.require(kind, one)
