"""`env APP --write FILE`: an app's variables in a .env file, private from its first byte."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from mngdb import disk
from mngdb.errors import UnobservableError, UsageError
from mngdb.ops.context import Context
from mngdb.ops.env_check import line_of, read_text
from mngdb.secret import app_of
from mngdb.vaults.git import repository


class Written(Struct, frozen=True):
    """What was written."""

    ignored: bool | None
    """Whether git ignores the file; None: it is in no repository, or git cannot be asked."""
    hint: str


def write(context: Context, app: str, path: Path, lines: Mapping[str, str]) -> Written:
    """Put the lines, by variable, into a file. Those of a file that is there are replaced where
    they are, and what is not the app's stays. Raises UsageError for a file that cannot be read, and
    for one with the variables of another app; OSError."""
    disk.replaceable(path)
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} is not a directory", "create it, or choose another file")
    before = read_text(path).removeprefix("\ufeff") if path.exists() else ""
    disk.write(path, _merged(context, app, path, before, lines))
    return Written(_ignored(path), f"echo {path.name} >> {path.parent / '.gitignore'}")


def _merged(context: Context, app: str, path: Path, before: str, lines: Mapping[str, str]) -> str:
    from dotenv.parser import parse_stream

    others = context.stack.apps.keys() - {app}
    kept, left = [], dict(lines)
    for binding in parse_stream(io.StringIO(before)):
        name, text = binding.key, binding.original.string
        if binding.error:
            raise UsageError(
                f"{path}:{line_of(binding.original)}: cannot be read: {_why(text)}",
                "correct the line, or write to another file",
            )
        if name is None or name not in lines:
            kept.append(text)
            continue
        if name.endswith("_USER") and (other := app_of(binding.value or "")) in others:
            raise UsageError(
                f"{path} has the variables of {other}: {name} is its login",
                f"write those of {app} to another file, or give them names of their own: "
                f"'apps: {{{app}: {{env: {{prefix: …}}}}}}'",
            )
        if name in left:  # one that stands twice is left once
            export = "export " if text.lstrip().startswith("export ") else ""
            empty = text[: len(text) - len(text.lstrip("\r\n"))]
            kept.append(f"{empty}{export}{left.pop(name)}\n")
    text = "".join(kept)
    if text and not text.endswith("\n"):
        text += "\n"
    return text + "".join(f"{line}\n" for line in left.values())


def _why(text: str) -> str:
    """Why a line is no assignment."""
    quoted = "'" in text or '"' in text
    return "is a quote not closed?" if quoted else "expected NAME=value"


def _ignored(path: Path) -> bool | None:
    try:
        found = repository(path.parent)
        return None if found is None else not found.not_ignored([path])
    except UnobservableError:
        return None
