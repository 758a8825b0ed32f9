"""What was changed, when and by whom: a line of JSON for each step, without secrets."""

from __future__ import annotations

import json
import os
import pwd
from datetime import UTC, datetime
from pathlib import Path
from typing import Never

from mngdb import disk
from mngdb.model import Step

#: For whom this process works, and in which role, where a member of the team called it.
_for: dict[str, str] = {}
#: What /proc/self/loginuid holds for a process that no login led to.
_NO_LOGIN = (1 << 32) - 1


def on_behalf(member: str, role: str) -> None:
    """Have every line of this process name the member of the team who called it. Whoever runs it is
    the owner of the log; who the member is, sudo has told."""
    _for.update(member=member, role=role)


def _who() -> dict[str, str | int]:
    """Who changes it: the account that we run as, and who stands behind it. The kernel says so; the
    environment counts for root alone, who could write anything into the log anyway."""
    uid = os.getuid()
    found: dict[str, str | int] = {"user": _name(uid), "uid": uid, **_for}
    sudo = os.environ.get("SUDO_UID", "")
    if uid == 0 and sudo.isascii() and sudo.isdigit() and _name(int(sudo)) != sudo:
        found["sudo_user"] = _name(int(sudo))
    try:
        login = int(Path("/proc/self/loginuid").read_text())
    except (OSError, ValueError):
        return found  # a kernel without auditing
    return found if login == _NO_LOGIN else found | {"login": _name(login)}


def _name(uid: int) -> str:
    """An account's name; its number where it has none, as in containers."""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid)


def note(state: Path, command: str, step: Step[Never], error: str = "") -> None:
    """Append a line to the stack's audit log. One write, so lines of several workers stay whole."""
    line = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        **_who(),
        "command": command,
        **step.as_json(),
        "result": f"failed: {error}" if error else "done",
    }
    handle = disk.own(state / "audit.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(handle, (json.dumps(line, ensure_ascii=False) + "\n").encode())
    finally:
        os.close(handle)
