"""Whether this machine starts a stack again when it boots: by a unit of systemd, or by cron."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct

from mngdb.errors import MngdbError
from mngdb.identity import record
from mngdb.run import run
from mngdb.spec.stack import Stack

Kind = Literal["system", "user"]
#: sd_booted(3): there is this folder where systemd is process 1.
_BOOTED = Path("/run/systemd/system")
#: systemd.unit(5): where an administrator's units are.
_SYSTEM = Path("/etc/systemd/system")
#: What a unit that starts at boot is wanted by.
WANTED_BY: dict[Kind, str] = {"system": "multi-user.target", "user": "default.target"}
#: The lines of a unit that say whose it is; systemd ignores names that begin so.
STACK, PROJECT = "X-Mngdb-Stack", "X-Mngdb-Project"
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


class Owner(Struct, frozen=True):
    """Whose an installed unit is: a stack's id, empty in a unit that was written before it had one
    or by the version before; and the project's folder, empty in a unit that we did not write."""

    stack: str
    project: str


def owner(path: Path) -> Owner | None:
    """Whose an installed unit is; None: there is no such unit."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return None
    lines = dict(re.findall(rf"^({STACK}|{PROJECT})=(.*)$", text, re.MULTILINE))
    return Owner(lines.get(STACK, ""), lines.get(PROJECT, "").replace("%%", "%"))


def identity(stack: Stack) -> str:
    """The stack's id; empty: it has none yet."""
    try:
        return record.read(stack.state).id
    except (MngdbError, OSError):
        return ""


def starts(path: Path, stack: Stack) -> bool:
    """Whether an installed unit starts what is in the stack's folder."""
    found = owner(path)
    return found is not None and _leads_to(found, stack)


def owned(path: Path, stack: Stack) -> bool:
    """Whether an installed unit is this stack's, also where the project was moved since. One that
    has no id goes with its name when its project is gone."""
    found = owner(path)
    if found is None or not found.project:
        return False
    mine = found.stack == identity(stack) if found.stack else not there(found, stack)
    return mine or _leads_to(found, stack)


def there(found: Owner, stack: Stack) -> bool:
    """Whether a unit's project still has a file that is called like the stack's."""
    return any((Path(found.project) / file.name).exists() for file in stack.files)


def _leads_to(found: Owner, stack: Stack) -> bool:
    return bool(found.project) and os.path.realpath(found.project) == str(stack.folder)


def needed(stack: Stack) -> bool:
    """Whether the stack has a process that nobody else starts: Docker starts its containers."""
    here = any(one.here for one in stack.instances.values())
    return here or stack.agent is not None


def comes_back(stack: Stack, *, cron: bool = True) -> str:
    """What starts the stack when the machine boots, in words; empty: nothing. `cron`: look at the
    crontabs, too."""
    name = unit(stack)
    for kind in ("system", "user"):
        where = folder(kind)
        link = where / f"{WANTED_BY[kind]}.wants" / name
        if link.is_symlink() and starts(where / name, stack):
            return f"{name} is enabled"
    lines = _crontabs() if cron else iter(())
    files = {str(one) for path in stack.files for one in (path.resolve(), path.absolute())}
    for line in lines:
        if line.startswith("@reboot") and "mngdb" in line and any(one in line for one in files):
            return "a crontab has its @reboot line"
    return ""


def lost(stack: Stack) -> str:
    """An installed unit of the stack's that no longer starts it, in words; empty: there is none."""
    name = unit(stack)
    for kind in ("system", "user"):
        path = folder(kind) / name
        found = owner(path)
        if found is not None and owned(path, stack) and not starts(path, stack):
            return f"{name} starts it in {found.project}, where it no longer is"
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
