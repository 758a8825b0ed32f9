"""A mark in each volume, by which it is known again: Docker gives a volume no identity but its
name, its labels cannot be changed, and its CreatedAt is the last change of its folder."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from mngdb.errors import StepError
from mngdb.run import last_line
from mngdb.targets.compose.docker import Docker
from mngdb.targets.compose.notes import Volume

_FILE = ".mngdb-id"
_WRITE = """\
cd "$1" && printf %s "$2" >"$3.new" && { sync "$3.new" 2>/dev/null || sync; } && mv "$3.new" "$3"
"""
#: The exit code of `docker run` when nothing ran.
_NOT_RUN = 125


class Marks(Struct):
    """The marks on one engine, each read once."""

    docker: Docker
    _read: dict[str, str | None] = field(default_factory=dict)

    def fits(self, volume: Mapping[str, Any], kept: Volume) -> bool:
        """Whether a volume is the one that was noted. One without a mark, or without an image to
        look at it with, passes: its engine is known."""
        if not kept.mark or (kept.container and self._holds(kept.container)):
            return True
        name = volume["Name"]
        if name not in self._read:
            self._read[name] = self._look(name, kept)
        return self._read[name] in (None, kept.mark)

    def has_container(self, kept: Volume) -> bool:
        """Whether the container that was noted is still there."""
        return bool(kept.container) and self._holds(kept.container)

    def _holds(self, container: str) -> bool:
        # an id is given once, and a volume goes after its last container
        return bool(self.docker.inspected("container", [container]))

    def _look(self, name: str, kept: Volume) -> str | None:
        safe = ("--network", "none", "--read-only", "--cap-drop", "ALL", "--user", str(kept.user))
        done = self.docker.ask(
            *("run", "--rm", "--pull", "never", *safe, "--volume", f"{name}:/v:ro"),
            *("--entrypoint", "cat", kept.image, f"/v/{_FILE}"),
            check=False,
        )
        return None if done.returncode == _NOT_RUN else done.stdout

    def write(self, container: str, folder: str, mark: str) -> None:
        """Mark the volume that a running container has at `folder`. Raises StepError."""
        words = ("sh", "-c", _WRITE, "sh", folder, mark, _FILE)
        done = self.docker.ask("exec", container, *words, check=False)
        if done.returncode != 0:
            raise StepError(f"{container}: its volume cannot be marked: {last_line(done.stderr)}")

    @staticmethod
    def new(identity: str) -> str:
        """A mark of a stack's own."""
        return f"{identity}-{secrets.token_hex(8)}"
