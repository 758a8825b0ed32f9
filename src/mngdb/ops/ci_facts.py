"""Whether the apps' secrets are registered as variables of the project's CI."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from mngdb.errors import MngdbError, UnobservableError
from mngdb.ops.ci import secrets_of
from mngdb.ops.context import Context
from mngdb.ops.env_check import PLACEHOLDER
from mngdb.ops.variables import variables
from mngdb.run import run
from mngdb.secret import Secret

#: Seconds for the service's answer.
_TIMEOUT = 20.0
_MOST = 1 << 20


def lacking(context: Context) -> tuple[str, ...] | None:
    """Secrets that the CI's files do not use by name, and those that are not registered there;
    None: the project has no such files. Raises UnobservableError where the service cannot be asked
    and nothing else is wrong."""
    files = list(_files(context.stack.folder))
    if not files:
        return None
    text = "\n".join(path.read_text(errors="replace")[:_MOST] for path in files)
    used: set[str] = set()
    missing: list[str] = []
    for app in context.stack.apps:
        names = secrets_of(variables(context, app, Secret(PLACEHOLDER)))
        # a client reads some of them: the URL, or the password
        there = {name for name in names if re.search(rf"\b{re.escape(name)}\b", text)}
        used |= there
        if names and not there:
            missing.append(f"{' or '.join(names[:3])} of {app} is not in the CI's files")
    if missing or not used:
        return tuple(missing)
    registered = _registered(context.stack.folder, files)
    return tuple(f"{name} is not registered" for name in sorted(used - registered))


def _files(folder: Path) -> Iterator[Path]:
    """Those of the repository that the folder is in."""
    for top in (folder, *folder.parents):
        yield from sorted(top.glob(".github/workflows/*.y*ml"))
        if (top / ".gitlab-ci.yml").is_file():
            yield top / ".gitlab-ci.yml"
        if (top / ".git").exists():
            return
        if top == Path.home():
            return


def _registered(folder: Path, files: list[Path]) -> set[str]:
    """Names of the variables that the services know. Raises UnobservableError."""
    found: set[str] = set()
    if any(path.parent.name == "workflows" for path in files):
        found |= _names(folder, "gh", "secret", "list", "--json", "name", key="name")
    if any(path.name == ".gitlab-ci.yml" for path in files):
        found |= _names(folder, "glab", "variable", "list", "--output", "json", key="key")
    return found


def _names(folder: Path, *argv: str, key: str) -> set[str]:
    program = argv[0]
    if shutil.which(program) is None:
        raise UnobservableError(f"{program} is not installed, so nobody tells what is registered")
    try:
        done = run(argv, timeout=_TIMEOUT, cwd=folder)
        return {str(one[key]) for one in json.loads(done.stdout)}
    except (MngdbError, ValueError, KeyError, TypeError) as error:
        said = error.message if isinstance(error, MngdbError) else "its answer is not a list"
        raise UnobservableError(f"{program}: {said}") from None
