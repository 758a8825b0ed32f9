"""Files for other tools: written where a person says, or shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mngdb import disk
from mngdb.errors import UsageError


def write(folder: Path, files: Mapping[str, str], *, mode: int = 0o644) -> list[str]:
    """Write `files` (path below `folder` to content), which hold no secret, each whole or not at
    all. Returns the paths that were not so before. Raises UsageError, OSError."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is not a directory", "name a directory with --output")
    for name in files:
        _inside(folder, name)
    changed = []
    for name, content in files.items():
        path = folder / name
        if path.is_file() and path.read_text(encoding="utf-8", errors="replace") == content:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        disk.write(path, content, mode=mode, durable=False)
        changed.append(name)
    return changed


def _inside(folder: Path, name: str) -> None:
    """Raise UsageError where a link below `folder` would lead elsewhere, or something that is not
    a file stands in a file's place."""
    path = folder / name
    if not path.parent.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{path.parent} points outside of {folder}", "remove the link")
    disk.replaceable(path)
