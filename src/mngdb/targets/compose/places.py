"""Where a stack is rendered, and the folders where it was rendered before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mngdb.spec.compose import Compose
from mngdb.spec.stack import Stack
from mngdb.targets.compose.containers import Project
from mngdb.targets.compose.folder import Folder


def rendered(stack: Stack) -> Path:
    """The folder where the file names none."""
    return stack.state / "rendered"


@dataclass(frozen=True)
class Places:
    """The rendered folders of one stack; `folder` is the one of now."""

    stack: Stack
    project: Project
    folder: Folder

    def older(self) -> list[Folder]:
        """Folders where the stack was rendered before, and that it has left."""
        owned, known = self.project.owned, self.project.notes.known()
        place = self.project.notes.place()
        paths = [Path(path) for path in known.folders] if known else []
        if place is not None and place.folder:
            paths.append(Path(place.folder))
        paths.append(rendered(self.stack))
        found = [Folder(path, self.stack.name, owned.id) for path in dict.fromkeys(paths)]
        # without an id only where the version before had it: its notes may be a copy, and name the
        # folder of the original
        marked = [one for one in found if owned.id in one.described()]
        before = Folder(owned.before, self.stack.name, owned.id)
        more = [before] if place is not None and before.ours() and before not in marked else []
        return [one for one in (*marked, *more) if one.root != self.folder.root]

    def keep(self) -> None:
        """Note where the stack is rendered from now on, and which folders it has left."""
        notes, folder = self.project.notes, self.folder.root
        left = tuple(str(one.root) for one in self.older())
        notes.keep(replace(self.project.owned.known(), folders=left))
        given = None if folder == rendered(self.stack) else str(folder)
        host = self.project.docker.host
        notes.remember(Compose(folder=given, project=self.project.name, docker_host=host))
