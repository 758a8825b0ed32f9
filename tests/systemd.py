"""What systemd and cron make of what we give them.

Debian's systemd-analyze: the machine's, else unpacked and never installed.

`python -m tests.systemd` fetches it, as any user.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.debian import alone, apt, cache

_PACKAGES = ("systemd", "libsystemd-shared")


def analyze() -> list[str]:
    """The command line that begins a call of systemd-analyze."""
    here = shutil.which("systemd-analyze")
    if here:
        return [here]
    root = cache() / "systemd"
    program = root / "usr/bin/systemd-analyze"
    with alone("systemd"):
        if not program.exists():
            _fetch(root)
    libraries = next(iter(root.glob("usr/lib/*/systemd")))
    return ["env", f"LD_LIBRARY_PATH={libraries}", str(program)]


def _fetch(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    run = lambda *argv: subprocess.run(argv, cwd=root, check=True, capture_output=True)  # noqa: E731
    run(*apt("apt-get"), "download", *_PACKAGES)
    for deb in sorted(root.glob("*.deb"), reverse=True):  # the program last
        run("dpkg", "-x", str(deb), str(root))


def install() -> None:
    """Install systemd where it is missing, never as process 1. Needs root."""
    if Path("/lib/systemd/systemd").exists():
        return
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (("update",), ("install", "-y", "--no-install-recommends", "systemd")):
        subprocess.run(["apt-get", "-qq", *words], env=env, check=True, stdout=subprocess.DEVNULL)


def words(line: str) -> list[str]:
    """A line of a unit as systemd takes it apart: no shell, two kinds of escapes."""
    return [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(line)]


def run(unit: str, key: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run what a unit has under `key` as systemd does: no shell, nothing of our environment, in
    another folder; `more` is for subprocess."""
    lines = re.findall(r"^Environment=(.*)$", unit, re.M)
    env = dict(word.split("=", 1) for line in lines for word in words(line))
    (command,) = re.findall(rf"^{key}=(.*)$", unit, re.M)
    return subprocess.run(
        words(command), env=env, cwd="/", text=True, capture_output=True, check=False, **more
    )


def cron(line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of a crontab as cron does: a shell with hardly any environment, and % that are
    escaped."""
    command = line.removeprefix("@reboot ").replace(r"\%", "%")
    env = {"PATH": "/usr/bin:/bin", "SHELL": "/bin/sh", "HOME": "/"}
    return subprocess.run(
        ["/bin/sh", "-c", command], env=env, cwd="/", text=True, capture_output=True, check=False
    )


def verify(unit: Path, kind: str, runtime: Path) -> subprocess.CompletedProcess[str]:
    """What systemd itself says of a unit; `runtime` is a folder for a user's manager."""
    scope = ["--user"] if kind == "user" else []
    return subprocess.run(
        [*analyze(), "verify", "--man=no", *scope, str(unit)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(runtime)},
        text=True,
        capture_output=True,
        check=False,
    )


if __name__ == "__main__":
    print(*analyze())
    if os.geteuid() == 0:
        install()
