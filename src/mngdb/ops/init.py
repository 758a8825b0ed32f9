"""Writes a first file, with comments that teach it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mngdb import __version__
from mngdb.errors import MngdbError, UsageError
from mngdb.spec import source
from mngdb.spec.engine_info import ENGINE_INFO, EngineInfo
from mngdb.spec.load import build
from mngdb.spec.names import check_app, check_plain
from mngdb.spec.problems import did_you_mean
from mngdb.spec.target_info import TARGET_INFO
from mngdb.spec.yaml12 import type_of

_HEAD = """\
# What this team's databases are and who uses them (mngdb {version}).
#   mngdb plan     shows what would change          mngdb status   shows what runs
#   mngdb up       makes it so (repeatable)         mngdb config   shows every default
name: {name}
{target}
"""
_APPS = """\
# A snapshot every day, and every write of 24 hours; keep them on another disk, or s3://BUCKET/PREFIX.
# backup: {store: /mnt/backups}

# One line per app creates all that it needs (database, login, secret, rights).
"""


def write(path: Path, name: str, engines: list[str], apps: list[str], target: str) -> None:
    """Write the file. Raises UsageError if it exists or a name cannot be used."""
    unknown = [engine for engine in engines if engine not in ENGINE_INFO]
    if unknown or not engines:
        near = did_you_mean(unknown[0], ENGINE_INFO) if unknown else ""
        raise UsageError(
            f"unknown engine {unknown[0]!r}{near}" if unknown else "name at least one engine",
            f"expected one of: {', '.join(ENGINE_INFO)}",
        )
    apps = list(dict.fromkeys(apps))
    _check_names(name, apps)
    place = TARGET_INFO[target]
    line = f"target: {place.name:<21}  # {place.what}"
    text = _HEAD.format(version=__version__, name=_word(name), target=line) + "\n"
    chosen = [info for info in ENGINE_INFO.values() if info.name in engines]
    text += "\n".join(
        info.example.replace("{pip}", info.example_pip if place.here else "") for info in chosen
    )
    text += "\n" + _APPS + ("apps:\n" if apps else "# apps:\n")
    for app in apps or ["my-app"]:
        rights = ", ".join(f"{info.name}: {_right(info, app)}" for info in chosen)
        text += f"{'' if apps else '# '}  {app}: {{{rights}}}\n"
    build(source.parse(text, str(path), {}), (path,))
    create(path, text)


def create(path: Path, text: str) -> None:
    """Write a file that is not there yet. Raises UsageError, MngdbError."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        raise UsageError(f"{path} exists already", "name another with -f") from None
    except OSError as error:
        raise MngdbError(f"{path} cannot be written: {error.strerror}") from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)


def _right(info: EngineInfo, app: str) -> str:
    return _word(info.example_right.format(app=app, name=app.replace("-", "_")))


def _word(text: str) -> str:
    """A text as YAML takes it: `null` and `true` are names only in quotes."""
    plain = re.fullmatch(r"[\w-]+", text) and type_of(text) == "str"
    return text if plain else f'"{text}"'


def _check_names(name: str, apps: list[str]) -> None:
    # before they become text: a name with a line break would become keys of the file
    for check, option, given in ((check_plain, "--name", [name]), (check_app, "--app", apps)):
        for one in given:
            try:
                check(one)
            except ValueError as error:
                raise UsageError(f"{option}: {error}") from None
