"""What was changed, when and by whom: a line of JSON for each step, without secrets."""

from __future__ import annotations

import getpass
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from mngdb.model import Step


def note(state: Path, command: str, step: Step, error: str = "") -> None:
    """Append a line to the stack's audit log. One write, so lines of several workers stay whole."""
    line = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "user": os.environ.get("SUDO_USER") or getpass.getuser(),
        "command": command,
        **step.as_json(),
        "result": f"failed: {error}" if error else "done",
    }
    handle = os.open(state / "audit.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, (json.dumps(line, ensure_ascii=False) + "\n").encode())
    finally:
        os.close(handle)
