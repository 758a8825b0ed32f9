"""Servers that a script starts, as those have to who restore without mngdb."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_TIMEOUT, _LOOK = 120.0, 0.02
Owner = tuple[int, int] | None


def hand_over(folder: Path, owner: Owner) -> None:
    """What root has written becomes the server's account's."""
    if owner is not None:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, *owner)


@dataclass
class Bare:
    """One that is started once. `answers` says whether it lets clients in."""

    argv: Sequence[str]
    folder: Path
    owner: Owner
    answers: Callable[[], bool]
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Start it and wait until it answers. Raises RuntimeError with its log."""
        log = self.folder / "bare.log"
        with log.open("wb") as said:
            self._process = subprocess.Popen(
                self.argv, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
                user=self.owner[0] if self.owner else None,
                group=self.owner[1] if self.owner else None,
                extra_groups=[] if self.owner else None,
            )  # fmt: skip
        deadline = time.monotonic() + _TIMEOUT
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.argv[0]} does not answer: {log.read_text()[-2000:]}")
            time.sleep(_LOOK)

    def stop(self) -> None:
        """At once: nobody needs it any more."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
