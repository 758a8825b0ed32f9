"""What a container says, as its Docker engine keeps it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator

from msgspec import Struct

from mngdb import log
from mngdb.targets.compose.docker import Docker

#: Lines that are read back: the engine gives a hundred thousand in a second.
_BACK = 20_000


class ContainerLog(Struct, frozen=True):
    """The log of one container (`targets.log.Log`)."""

    docker: Docker
    unit: str
    require: Callable[[str], None]
    """Raises MngdbError where there is no such container of ours."""

    def lost(self) -> str:
        """The engine reads what it keeps."""
        return ""

    def last(self, count: int) -> list[str]:
        """The last lines that the container said. Raises MngdbError when there is none: what it
        said went with it."""
        self.require(self.unit)
        if count == 0:
            return []
        done = self.docker.look("logs", "--tail", str(count), self.unit)
        return [*done.stdout.splitlines(), *done.stderr.splitlines()][-count:]

    def back(self) -> Iterator[bytes]:
        """Its last lines. Raises as `last`."""
        lines = self.last(_BACK)
        yield "\n".join([*lines, ""]).encode()
        if len(lines) == _BACK:
            yield b""

    def since(self, mark: str) -> tuple[bytes, str]:
        """What the container said since then. Raises as `last`."""
        self.require(self.unit)
        now = f"{time.time():.6f}"
        span = ("--since", mark, "--until", now) if mark else ()
        done = self.docker.look("logs", *span, "--tail", str(_BACK), self.unit)
        return f"{done.stdout}{done.stderr}".encode(), now

    def follow(self, count: int) -> Iterator[str]:
        """The last lines that it said, and others as they come. Raises as `last`."""
        self.require(self.unit)
        log.say(__name__, f"docker logs --follow {self.unit}")
        with subprocess.Popen(
            ["docker", "logs", "--follow", "--tail", str(count), self.unit],  # noqa: S607 - as `ask`
            env=self.docker.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            try:
                assert process.stdout is not None  # noqa: S101 - asked for
                for line in process.stdout:
                    yield line.rstrip("\n")
            finally:
                process.terminate()
