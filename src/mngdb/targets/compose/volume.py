"""The data in a unit's volume, looked at through an image."""

from __future__ import annotations

import base64
import json
import shlex

from mngdb.model import Unit
from mngdb.release import HEAD, Release
from mngdb.spec.engine_info import Image
from mngdb.targets.compose.containers import Project
from mngdb.targets.process import written

_SEEN = "{}.seen"


def fits(
    project: Project,
    place: Image,
    image: str,
    unit: Unit,
    running: Release | None,
    program: Release,
) -> None:
    """Whether the data can be read by `program`, which `image` has. Raises MngdbError."""
    if unit.data is None:
        return
    container = project.container(unit.name)
    seen_image, seen = _seen(project, unit)
    made_of = container["Config"]["Image"] if container else ""
    if made_of == image or project.volume(unit.name) is None:
        return
    # by an image that is there: the other one may have to be fetched
    by = made_of or seen_image or image
    # the tag of an image may say less than its server, or something else
    noted = None if seen_image == image else seen
    heads = [] if running else _heads(project, place, by, unit, unit.data.heads)
    where = f"in the volume {unit.name}-data"
    written.judge(unit, heads, running or noted, program, where)


def saw(project: Project, unit: Unit, running: Release) -> None:
    """Note which server was on the volume, and its image."""
    if _seen(project, unit)[1] == running:
        return
    container = project.container(unit.name)
    image = container["Config"]["Image"] if container else ""
    project.notes.apply(_SEEN.format(unit.name), json.dumps([image, written.render(running)]))


def _seen(project: Project, unit: Unit) -> tuple[str, Release | None]:
    try:
        image, text = json.loads(project.notes.applied(_SEEN.format(unit.name)) or "")
        return str(image), written.parse(text)
    except (ValueError, TypeError, RecursionError):
        return "", None


def _heads(
    project: Project, place: Image, image: str, unit: Unit, patterns: tuple[str, ...]
) -> list[bytes]:
    """The beginnings of the files in the volume that tell; none where the image is not there."""
    if not patterns:
        return []
    mount = ("--volume", f"{unit.name}-data:{place.data}:ro")
    names = " ".join(f"{shlex.quote(place.data)}/{pattern}" for pattern in patterns)
    script = f'for f in {names}; do [ -f "$f" ] && head -c {HEAD} "$f" | base64 -w 0 && echo; done'
    done = project.once(image, place.user, ["sh", "-c", script], mount)
    return [base64.b64decode(line) for line in done.stdout.split()]
