"""What was changed, when and by whom: a line of JSON for each step, without secrets."""

from __future__ import annotations

import errno
import json
import os
import pwd
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Never

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
    """Append a step to the stack's audit log. Raises OSError."""
    result = f"failed: {error}" if error else "done"
    _append(state, {"command": command, **step.as_json(), "result": result})


def asked(state: Path, words: Sequence[str]) -> None:
    """Append what a member is about to do, with its arguments: what cannot be noted does not begin.
    Raises OSError."""
    _append(state, {"command": words[0], "detail": shlex.join(words), "result": "asked"})


def _append(state: Path, said: Mapping[str, Any]) -> None:
    """One write, so lines of several workers stay whole."""
    line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **_who(), **said}
    data = (json.dumps(line, ensure_ascii=False) + "\n").encode()
    path = state / "audit.log"
    handle = disk.own(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        written = os.write(handle, data)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        os.close(handle)
    if written < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
