"""What mngdb keeps of a stack's containers, in STATE/compose: where the project is, what each
container has read, and what of an engine is the stack's.

project.json    the folder, the Compose project's name and the engine's address
engine.json     the engine's own id, and the volumes that were seen there
NAME.applied    the digest of the files that a container has read; secrets: of those written
rendered.json   the folders that `render compose` has written
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct, field, to_builtins
from msgspec.structs import replace

from mngdb import disk
from mngdb.errors import MngdbError
from mngdb.spec.compose import Compose


def made(state: Path) -> bool:
    """Whether anything of a stack was ever made on an engine: to render it makes nothing there."""
    return any(path.name != "rendered.json" for path in (state / "compose").glob("*"))


class Volume(Struct, frozen=True):
    """A volume as it was seen last. Its labels may say nothing: it was restored, or taken over."""

    unit: str = ""
    instance: str = ""
    engine: str = ""
    """The unit's; empty: the volume of something beside the units."""
    mark: str = ""
    """What is in it by which it is known again; empty: it was not marked yet."""
    container: str = ""
    """The id of the container that was on it last."""
    image: str = ""
    user: int = 0
    """What to look at the mark with."""


class Rendered(Struct, frozen=True):
    """The folders that `render compose` has written, with passwords."""

    own: tuple[str, ...] = ()
    """Where the file had the stack."""
    given: tuple[str, ...] = ()
    """Where the command line said."""


class Known(Struct, frozen=True):
    """What of an engine is the stack's, labels apart."""

    engine: str = ""
    """The engine's own id; empty: nothing was made on any yet."""
    where: str = ""
    """How that engine was reached, for people."""
    volumes: Mapping[str, Volume] = field(default_factory=dict)
    networks: Mapping[str, str] = field(default_factory=dict)
    """Those that the version before has made, by name: the engine's id of each."""
    containers: Mapping[str, str] = field(default_factory=dict)
    """The same of containers."""
    folders: tuple[str, ...] = ()
    """Folders that were rendered earlier and are still there, with passwords."""


def left(state: Path) -> Compose | None:
    """Where an earlier command has put the project; None: there was none. Raises MngdbError."""
    path = state / "compose" / "project.json"
    try:
        text = disk.read_own(path)
        return None if text is None else Compose.model_validate_json(text)
    except ValueError:
        raise MngdbError(f"{path} is damaged", "write 'target: compose' into the file") from None


class Notes(Struct, frozen=True):
    """The notes of the stack whose state is in `state`."""

    state: Path

    def _path(self, name: str) -> Path:
        return self.state / "compose" / name

    def _keep(self, name: str, text: str, *, durable: bool = True) -> None:
        disk.folder(self.state / "compose")
        disk.write(self._path(name), text, durable=durable)

    @property
    def lock(self) -> Path:
        """Held by whoever runs Compose."""
        return disk.folder(self.state / "compose") / "lock"

    # --- where it is

    def place(self) -> Compose | None:
        """As `left`."""
        return left(self.state)

    def remember(self, place: Compose) -> None:
        """Keep where the project is, also when the file no longer says so."""
        note = place.model_dump_json(include={"folder", "project", "docker_host"})
        if disk.read_own(self._path("project.json")) != note:
            self._keep("project.json", note)

    def known(self) -> Known | None:
        """What of an engine is the stack's; None: nothing was noted. Raises MngdbError."""
        path = self._path("engine.json")
        text = disk.read_own(path)
        if text is None:
            return None
        try:
            found = json.loads(text)
            volumes = {str(name): Volume(**one) for name, one in found.pop("volumes").items()}
            return Known(**{**found, "volumes": volumes, "folders": tuple(found["folders"])})
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise MngdbError(
                f"{path} is damaged",
                "restore it from a backup, or remove it if this is the engine that the stack was "
                "created on",
            ) from None

    def keep(self, known: Known) -> None:
        """Keep what of an engine is the stack's."""
        text = json.dumps(to_builtins(known), indent=1) + "\n"
        if disk.read_own(self._path("engine.json")) != text:
            self._keep("engine.json", text)

    def keep_volume(self, name: str, volume: Volume | None) -> None:
        """Keep one volume as it is now; None: it is not the stack's any more."""
        disk.folder(self.state / "compose")
        with disk.alone(self._path("engine.lock")):  # units are brought up side by side
            known = self.known() or Known()
            volumes = {one: kept for one, kept in known.volumes.items() if one != name}
            self.keep(replace(known, volumes=volumes | ({name: volume} if volume else {})))

    def rendered(self) -> Rendered:
        """The folders that `render compose` has written. Raises MngdbError."""
        path = self._path("rendered.json")
        text = disk.read_own(path)
        try:
            return Rendered(**{k: tuple(v) for k, v in json.loads(text or "{}").items()})
        except (ValueError, TypeError, AttributeError, RecursionError):
            raise MngdbError(f"{path} is damaged", "remove it") from None

    def keep_rendered(self, rendered: Rendered) -> None:
        """Keep them."""
        self._keep("rendered.json", json.dumps(to_builtins(rendered)) + "\n")

    # --- what containers have read

    def applied(self, name: str) -> str | None:
        """The digest of what a container is known to have read."""
        return disk.read_own(self._path(f"{name}.applied"))

    def noted(self, name: str) -> float | None:
        """When `apply` was called last, in seconds since the epoch."""
        try:
            return self._path(f"{name}.applied").stat().st_mtime
        except FileNotFoundError:
            return None

    def apply(self, name: str, digest: str) -> None:
        """Note what a container has read."""
        self._keep(f"{name}.applied", digest, durable=False)

    def forget(self, name: str) -> None:
        """A container that is starting has not read anything yet."""
        self._path(f"{name}.applied").unlink(missing_ok=True)
