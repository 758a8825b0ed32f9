"""Whether this machine starts a stack again when it boots: by a unit of systemd, or by cron."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from mngdb.errors import MngdbError
from mngdb.run import run
from mngdb.spec.stack import Stack

Kind = Literal["system", "user"]
#: sd_booted(3): there is this folder where systemd is process 1.
_BOOTED = Path("/run/systemd/system")
#: systemd.unit(5): where an administrator's units are.
_SYSTEM = Path("/etc/systemd/system")
#: What a unit that starts at boot is wanted by.
WANTED_BY: dict[Kind, str] = {"system": "multi-user.target", "user": "default.target"}
#: The line of a unit that says whose it is; systemd ignores names that begin so.
PROJECT = "X-Mngdb-Project"
_CRONTABS = ("/etc/crontab", "/etc/cron.d/*")


def booted() -> bool:
    """Whether systemd runs this machine."""
    return _BOOTED.is_dir()


def ours() -> Kind:
    """Where our own units are: root's are the system's."""
    return "system" if os.geteuid() == 0 else "user"


def folder(kind: Kind) -> Path:
    """Where units are installed."""
    if kind == "system":
        return _SYSTEM
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "systemd" / "user"


def unit(stack: Stack) -> str:
    """The name of a stack's unit."""
    return f"mngdb-{stack.name}.service"


def project(path: Path) -> str | None:
    """The project's folder that an installed unit starts; None: there is no such unit."""
    try:
        found = re.search(rf"^{PROJECT}=(.*)$", path.read_text(), re.MULTILINE)
    except OSError:
        return None
    return found[1] if found else ""


def needed(stack: Stack) -> bool:
    """Whether the stack has a process that nobody else starts: Docker starts its containers."""
    here = any(one.target.local for one in stack.instances.values())
    return here or stack.agent is not None


def comes_back(stack: Stack, *, cron: bool = True) -> str:
    """What starts the stack when the machine boots, in words; empty: nothing. `cron`: look at the
    crontabs, too."""
    name = unit(stack)
    for kind in ("system", "user"):
        where = folder(kind)
        link = where / f"{WANTED_BY[kind]}.wants" / name
        if link.is_symlink() and project(where / name) == str(stack.folder):
            return f"{name} is enabled"
    lines = _crontabs() if cron else iter(())
    files = {str(one) for path in stack.files for one in (path.resolve(), path.absolute())}
    for line in lines:
        if line.startswith("@reboot") and "mngdb" in line and any(one in line for one in files):
            return "a crontab has its @reboot line"
    return ""


def can() -> bool:
    """Whether there is anything here that could: a container has neither."""
    return booted() or shutil.which("crontab") is not None


def _crontabs() -> Iterator[str]:
    for pattern in _CRONTABS:
        for path in Path("/").glob(pattern.lstrip("/")):
            try:
                yield from path.read_text(errors="replace").splitlines()
            except OSError:
                continue  # not ours to read
    if shutil.which("crontab"):
        try:
            yield from run(["crontab", "-l"], timeout=10, check=False).stdout.splitlines()
        except MngdbError:
            return
