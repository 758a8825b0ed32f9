"""Debian's sudo, for members of a stack's team. `python -m tests.sudo` installs it, as root."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path


def install() -> None:
    """Install it where it is missing."""
    if shutil.which("visudo") is not None:
        return
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (("update",), ("install", "-y", "--no-install-recommends", "sudo")):
        subprocess.run(["apt-get", "-qq", *words], env=env, check=True, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def rule(text: str) -> Iterator[None]:
    """A rule that sudo itself finds sound, while it is needed."""
    path = Path(f"/etc/sudoers.d/mngdb-test-{os.getpid()}")
    path.write_text(text)
    path.chmod(0o440)
    try:
        subprocess.run(["visudo", "-c", "-f", str(path)], check=True, capture_output=True)
        yield
    finally:
        path.unlink()


if __name__ == "__main__":
    install()
