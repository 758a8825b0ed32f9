"""Secrets as files in a folder, one a secret: the layout of Docker secrets."""

from __future__ import annotations

import contextlib
import grp
import json
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from mngdb import disk
from mngdb.errors import MngdbError, SecretError, UsageError, of_system
from mngdb.run import Account
from mngdb.secret import Secret
from mngdb.vaults import LONGEST, VERSIONS, Entry, Version, usable

#: With the line end that editors add.
_MAX = LONGEST + 2
#: The folder of what apps read. No secret has this name: theirs have an underscore.
APPS = "apps"


class FilesVault:
    """A folder of mode 0700 with files of mode 0600. The current secrets have the names that Docker
    secrets have; `.NAME.pending` and `.NAME.previous` are the other versions. Where a group reads
    what is published for an app, others may pass through the folder, and list nothing."""

    fresh = 0.0
    writable = True
    stands_in = False

    def __init__(
        self, folder: Path, *, named: bool = False, readers: Mapping[str, str] | None = None
    ) -> None:
        """`named`: a person chose the folder; `readers`: app to the group that reads what is
        published for it."""
        self.folder = folder
        self._named = named
        self._readers = readers or {}
        self._mode = 0o711 if readers else 0o700

    def where(self, name: str) -> str:
        return str(self._path(name, "current"))

    def files(self, names: Iterable[str]) -> list[Path]:
        return [self._path(name, version) for name in names for version in VERSIONS]

    def exposed(self, names: Iterable[str], apps: Iterable[str]) -> None:
        """It keeps no such rules."""

    def variables(self, names: Iterable[str]) -> list[str]:
        return []

    def _path(self, name: str, version: Version) -> Path:
        return self.folder / (name if version == "current" else f".{name}.{version}")

    def get_many(self, names: Iterable[str], version: Version = "current") -> dict[str, Entry]:
        found = {name: _entry(self._path(name, version)) for name in names}
        return {name: entry for name, entry in found.items() if entry is not None}

    def check_writable(self, names: Sequence[str]) -> None:
        """It takes any."""

    def put(
        self, secrets: Mapping[str, Secret], version: Literal["current", "pending"] = "current"
    ) -> None:
        for name, secret in secrets.items():
            self._write(self._path(name, version), secret.reveal())

    def promote(self, names: Sequence[str]) -> None:
        pending = [name for name in names if self._path(name, "pending").exists()]
        if not pending:
            raise SecretError(f"no pending version of {', '.join(names)}")
        for name in pending:
            self._promote(name)

    def _promote(self, name: str) -> None:
        current, pending = self._path(name, "current"), self._path(name, "pending")
        entry = _entry(current)
        if entry is not None and entry.secret is not None:
            # a copy: renamed, the current one would be missing for a moment
            self._write(self._path(name, "previous"), entry.secret.reveal())
        try:
            pending.replace(current)
        except OSError as error:
            text = f"the secret {current}: {error.strerror}"
            raise SecretError(text, of_system(error).hint) from None

    def delete(self, names: Sequence[str], versions: Sequence[Version] = VERSIONS) -> None:
        for path in (self._path(name, version) for name in names for version in versions):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise SecretError(
                    f"the secret {path} cannot be removed: {error.strerror}"
                ) from None

    def documents(self, apps: Iterable[str]) -> list[Path]:
        # a folder for each: a container that has it mounted sees that the file was replaced
        return [self.folder / APPS / app / "settings.json" for app in apps]

    def publish(self, app: str, settings: Mapping[str, str]) -> None:
        [path] = self.documents([app])
        readers = self._readers.get(app)
        group = None if readers is None else _group(readers)
        self._write(path, json.dumps(settings, indent=1) + "\n", group)

    def published(self, apps: Iterable[str]) -> dict[str, dict[str, str]]:
        read = ((app, self._published(app)) for app in apps)
        return {app: settings for app, settings in read if settings is not None}

    def _published(self, app: str) -> dict[str, str] | None:
        """What an app reads; None: nothing whole, or not those read it who should."""
        [path] = self.documents([app])
        readers = self._readers.get(app)
        try:
            found = path.stat()
            mode, group = (0o600, None) if readers is None else (0o640, _group(readers))
        except (OSError, SecretError):
            return None  # to publish it tells why
        same = stat.S_IMODE(found.st_mode) == mode and group in {None, found.st_gid}
        return _document(path) if same else None

    def unpublish(self, app: str) -> None:
        [path] = self.documents([app])
        try:
            with contextlib.suppress(FileNotFoundError):
                disk.remove(path.parent)
        except OSError as error:
            raise SecretError(f"{path.parent} cannot be removed: {error.strerror}") from None

    def _write(self, path: Path, text: str, group: int | None = None) -> None:
        """Write a file; `group`: whose members may read it, and enter its folder."""
        owner = None if group is None else Account("", os.geteuid(), group)
        try:
            # a folder that the file names may be a link
            top = self.folder.resolve() if self._named else self.folder
            if self._named:
                _refuse_shared(top, self._mode)
            disk.folder(top, mode=self._mode)
            inside = path.relative_to(self.folder)
            for below in reversed(inside.parents[:-1]):
                last = owner if below == inside.parent else None
                disk.folder(top / below, mode=0o750 if last else self._mode, owner=last)
            disk.write(path, text, mode=0o640 if owner else 0o600, owner=owner)
        except OSError as error:
            text = f"the secret {path} cannot be written: {error.strerror}"
            raise SecretError(text, of_system(error).hint) from None
        except MngdbError as error:
            raise SecretError(
                f"the secret {path.name} cannot be written: {error.message}", error.hint
            ) from None


def _group(name: str) -> int:
    """The number of a group. Raises SecretError where there is none of that name."""
    if name.isdecimal():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise SecretError(
            f"there is no group {name}, which the file names as a reader",
            "groupadd, or another one under vault: {files: {readers: …}}",
        ) from None


def _refuse_shared(folder: Path, mode: int) -> None:
    """Raises SecretError for a folder that others may enter, and that is not of secrets alone: to
    give it the vault's mode would shut them out of /tmp."""
    if not folder.is_dir() or stat.S_IMODE(folder.stat().st_mode) in {0o700, mode}:
        return
    for path in folder.iterdir():
        found = path.lstat().st_mode
        private = stat.S_ISREG(found) and not found & 0o077
        if not private and path.name != APPS:
            raise SecretError(
                f"others may enter {folder}, and it holds more than secrets ({path.name})",
                f"use a folder of its own; if it is one: chmod 700 {folder}",
            )


def _document(path: Path) -> dict[str, str] | None:
    """What an app reads; None: nothing, or nothing of ours that is whole."""
    try:
        found = json.loads(disk.read_own(path) or "")
    except (OSError, UsageError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    return {name: str(value) for name, value in found.items()}


def _entry(path: Path) -> Entry | None:
    try:
        # without O_NONBLOCK a pipe in the file's place would stop us for ever
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        text = f"the secret file {path} cannot be read: {error.strerror}"
        return Entry(None, SecretError(text, "run mngdb as its owner"))
    changed = None
    try:
        found = os.fstat(handle)
        changed = found.st_mtime
        _check_file(found, path)
        # what is no UTF-8 is refused with the other characters that do not fit
        text = os.read(handle, _MAX + 1).decode(errors="surrogateescape")
        return Entry(usable(str(path), text), _exposed(found, path), changed)
    except SecretError as error:
        return Entry(None, error, changed)
    except OSError as error:
        return Entry(None, SecretError(f"the secret file {path}: {error.strerror}"), changed)
    finally:
        os.close(handle)


def _exposed(found: os.stat_result, path: Path) -> SecretError | None:
    if not found.st_mode & 0o077:
        return None
    return SecretError(f"the secret file {path} is readable by others", f"chmod 600 {path}")


def _check_file(found: os.stat_result, path: Path) -> None:
    """Raises SecretError for what no secret is taken from, OSError."""
    if not stat.S_ISREG(found.st_mode):
        raise SecretError(f"the secret file {path} is not a regular file", "replace it with a file")
    # a link (Kubernetes makes them) counts as much as what it leads to: who put it there chose it
    for uid in {found.st_uid, path.lstat().st_uid} - {0, os.geteuid()}:
        whole = path.parent.stat().st_uid == uid
        raise SecretError(
            f"the secret file {path} belongs to another user (user id {uid}), who can read it",
            "run mngdb as that user"
            if whole
            else "find out who put it there; remove it, and 'mngdb up' generates a new one",
        )
    if found.st_size > _MAX:
        raise SecretError(f"the secret file {path} is larger than {LONGEST} bytes")
