"""Where a stack is rendered, and the folders where it was rendered before."""

from __future__ import annotations

import shlex
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from mngdb.model import Notice
from mngdb.spec.compose import Compose
from mngdb.spec.stack import Stack
from mngdb.targets.compose.containers import Project
from mngdb.targets.compose.folder import Folder


def rendered(stack: Stack) -> Path:
    """The folder where the file names none."""
    return stack.state / "rendered"


class Places(Struct, frozen=True):
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
        paths += [Path(path) for path in self.project.notes.rendered().own]
        paths.append(rendered(self.stack))
        found = [Folder(path, self.stack.name, owned.id) for path in dict.fromkeys(paths)]
        # without an id only where the version before had it: its notes may be a copy, and name the
        # folder of the original
        marked = [one for one in found if owned.id in one.described()]
        before = Folder(owned.before, self.stack.name, owned.id)
        more = [before] if place is not None and before.ours() and before not in marked else []
        return [one for one in (*marked, *more) if one.root != self.folder.root]

    def own(self, folder: Path) -> bool:
        """Whether the stack's containers read, or may read, their files in a folder."""
        return folder.resolve() in {one.root.resolve() for one in (self.folder, *self.older())}

    def wrote(self, folder: Path) -> None:
        """Note that `render` writes a folder."""
        found = self.project.notes.rendered()
        if str(folder) in (*found.own, *found.given):
            return
        if folder == self.folder.root:
            found = replace(found, own=(*found.own, str(folder)))
        else:
            found = replace(found, given=(*found.given, str(folder)))
        self.project.notes.keep_rendered(found)

    def given(self) -> list[Notice]:
        """The folders that `render` has written elsewhere: they are whoever's who asked for it."""
        identity = self.project.owned.id
        paths = [Path(path) for path in self.project.notes.rendered().given]
        return [
            Notice(
                "",
                f"the folder {path}, which 'render compose --output' wrote, is kept: it holds "
                "the passwords",
                f"to remove it: rm -r {shlex.quote(str(path))}",
            )
            for path in paths
            if not self.own(path)
            and identity in Folder(path, self.stack.name, identity).described()
        ]

    def keep(self) -> None:
        """Note where the stack is rendered from now on, and which folders it has left."""
        notes, folder = self.project.notes, self.folder.root
        left = tuple(str(one.root) for one in self.older())
        notes.keep(replace(self.project.owned.known(), folders=left))
        given = None if folder == rendered(self.stack) else str(folder)
        host = self.project.docker.host
        notes.remember(Compose(folder=given, project=self.project.name, docker_host=host))
