"""Secrets as files in a folder, one a secret: the layout of Docker secrets."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from mngdb import disk
from mngdb.errors import MngdbError, SecretError
from mngdb.secret import Secret, generate
from mngdb.vaults import LONGEST, usable

#: With the line end that editors add.
_MAX = LONGEST + 2


class FilesVault:
    """A folder of mode 0700 with files of mode 0600."""

    def __init__(self, folder: Path, *, named: bool = False) -> None:
        """`named`: a person chose the folder."""
        self.folder = folder
        self._named = named

    def where(self, name: str) -> str:
        return str(self.folder / name)

    def changed(self, name: str) -> float | None:
        try:
            return (self.folder / name).stat().st_mtime
        except FileNotFoundError:
            return None

    def get(self, name: str) -> Secret | None:
        return self.read(name)

    def read(self, name: str, *, private: bool = True) -> Secret | None:
        """As `get`; without `private` also a secret that others may read."""
        path = self.folder / name
        try:
            # without O_NONBLOCK a pipe in the file's place would stop us for ever
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SecretError(
                f"the secret file {path} cannot be read: {error.strerror}",
                "run mngdb as its owner",
            ) from None
        try:
            return usable(str(path), _read(handle, path, private))
        except OSError as error:
            raise SecretError(f"the secret file {path}: {error.strerror}") from None
        finally:
            os.close(handle)

    def check(self, names: Sequence[str]) -> None:
        """It makes any."""

    def make(self, name: str) -> Secret:
        secret = generate()
        self.put(name, secret)
        return secret

    def put(self, name: str, secret: Secret) -> None:
        try:
            # a folder that the file names may be a link
            disk.folder(self.folder.resolve() if self._named else self.folder)
            disk.write(self.folder / name, secret.reveal())
        except OSError as error:
            raise SecretError(
                f"the secret {self.folder / name} cannot be written: {error.strerror}"
            ) from None
        except MngdbError as error:
            raise SecretError(
                f"the secret {name} cannot be written: {error.message}", error.hint
            ) from None


def _read(handle: int, path: Path, private: bool) -> str:
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        raise SecretError(
            f"the secret file {path} is not a regular file", "put a file in its place"
        )
    # a link (Kubernetes makes them) counts as much as what it leads to: who put it there chose it
    for uid in {found.st_uid, path.lstat().st_uid} - {0, os.geteuid()}:
        whole = path.parent.stat().st_uid == uid
        raise SecretError(
            f"the secret file {path} belongs to another user (user id {uid}), who knows it",
            "run mngdb as that user"
            if whole
            else "find out who put it there; remove it, and 'mngdb up' makes a new one",
        )
    if private and found.st_mode & 0o077:
        raise SecretError(f"the secret file {path} may be read by others", f"chmod 600 {path}")
    if found.st_size > _MAX:
        raise SecretError(f"the secret file {path} is larger than {LONGEST} bytes")
    # what is no UTF-8 is refused with the other characters that do not fit
    return os.read(handle, _MAX + 1).decode(errors="surrogateescape")
