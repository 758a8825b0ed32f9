"""The data in a unit's volume, looked at through an image."""

from __future__ import annotations

from mngdb.container import Place
from mngdb.errors import MngdbError
from mngdb.model import Unit
from mngdb.targets.compose.containers import Project


def fits(project: Project, place: Place, image: str, unit: Unit) -> None:
    """Whether the data is of the version that `image` takes. Raises MngdbError."""
    if unit.data_version is None:
        return
    container = project.container(unit.name)
    made_of = container["Config"]["Image"] if container else ""
    if made_of == image or not project.volume(unit.name):
        return
    name, wanted = unit.data_version
    # by the image that is there: the other one may have to be fetched
    found = _read(project, place, made_of or image, unit, name)
    if found and found != wanted:
        raise MngdbError(
            f"{unit.name}: the data in the volume {unit.name}-data is of version {found}, "
            f"the image {image} is {wanted}",
            "run the version that wrote it, or bring the data over by dump and restore",
        )


def _read(project: Project, place: Place, image: str, unit: Unit, file: str) -> str:
    """The content of a file in the volume; empty: there is none."""
    mount = ("--volume", f"{unit.name}-data:{place.data}:ro")
    done = project.once(image, place.user, ["cat", f"{place.data}/{file}"], mount)
    return done.stdout.strip() if done.returncode == 0 else ""
