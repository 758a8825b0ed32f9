"""Writes a first file, with comments that teach it."""

from __future__ import annotations

import os
from pathlib import Path

from mngdb import __version__
from mngdb.errors import MngdbError, UsageError
from mngdb.spec import source
from mngdb.spec.file import ENGINES
from mngdb.spec.load import build
from mngdb.spec.names import check_app, check_plain
from mngdb.spec.yaml12 import type_of

_HEAD = """\
# What this team's databases are and who uses them (mngdb {version}).
#   mngdb plan     shows what would change          mngdb status   shows what runs
#   mngdb up       makes it so, again and again     mngdb config   shows every default
name: {name}
{target}
"""
_TARGETS = {
    "local": "target: local                  # processes on this machine, on loopback only",
    "compose": "target: compose                # containers of a Docker engine, no port published",
}
_ENGINES = {
    "postgres": "postgres:\n  version: 17\n",
    "redis": (
        "redis:\n  version: 8\n  # eviction: noeviction     # for queues: never throw a key away\n"
    ),
    "mongodb": (
        "mongodb:\n{outdated}"
        "  # databases:\n"
        "  #   shop:\n"
        "  #     indexes:\n"
        "  #       users: [{keys: {email: 1}, unique: true}]\n"
    ),
}
_OUTDATED = (
    "  outdated: true       # pip's is 6.0, without fixes since July 2025; newer: 'binaries:'\n"
)
_APPS = """\
# One line an app: everything that it needs follows (database, login, secret, rights).
"""


def write(path: Path, name: str, engines: list[str], apps: list[str], target: str) -> None:
    """Write the file. Raises UsageError if it exists or a name cannot be used."""
    unknown = [engine for engine in engines if engine not in ENGINES]
    if unknown or not engines:
        raise UsageError(
            f"unknown engine {unknown[0]!r}" if unknown else "name at least one engine",
            f"known are: {', '.join(ENGINES)}",
        )
    apps = list(dict.fromkeys(apps))
    _check_names(name, apps)
    text = _HEAD.format(version=__version__, name=_word(name), target=_TARGETS[target]) + "\n"
    text += "\n".join(_ENGINES[engine] for engine in ENGINES if engine in engines)
    text = text.replace("{outdated}", _OUTDATED if target == "local" else "")
    text += "\n" + _APPS + ("apps:\n" if apps else "# apps:\n")
    for app in apps or ["my-app"]:
        rights = ", ".join(f"{e}: {_right(e, app)}" for e in ENGINES if e in engines)
        text += f"{'' if apps else '# '}  {app}: {{{rights}}}\n"
    build(source.parse(text, str(path), {}), (path,))
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        raise UsageError(f"{path} exists already", "name another with -f") from None
    except OSError as error:
        raise MngdbError(f"{path} cannot be written: {error.strerror}") from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)


def _right(engine: str, app: str) -> str:
    return f'"{app}:*"' if engine == "redis" else _word(app.replace("-", "_"))


def _word(text: str) -> str:
    """A name as YAML takes it: `null` and `true` are names only in quotes."""
    return text if type_of(text) == "str" else f'"{text}"'


def _check_names(name: str, apps: list[str]) -> None:
    # before they become text: a name with a line break would become keys of the file
    for check, option, given in ((check_plain, "--name", [name]), (check_app, "--app", apps)):
        for one in given:
            try:
                check(one)
            except ValueError as error:
                raise UsageError(f"{option}: {error}") from None
