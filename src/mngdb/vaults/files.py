"""Secrets as files in a folder, one a secret: the layout of Docker secrets."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from mngdb import disk
from mngdb.errors import SecretError
from mngdb.secret import Secret, generate
from mngdb.vaults import LONGEST, usable

#: With the line end that editors add.
_MAX = LONGEST + 2


class FilesVault:
    """A folder of mode 0700 with files of mode 0600."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def where(self, name: str) -> str:
        return str(self.folder / name)

    def changed(self, name: str) -> float | None:
        try:
            return (self.folder / name).stat().st_mtime
        except FileNotFoundError:
            return None

    def get(self, name: str) -> Secret | None:
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
            return usable(str(path), _read(handle, path))
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
            disk.folder(self.folder)
            disk.write(self.folder / name, secret.reveal())
        except OSError as error:
            raise SecretError(
                f"the secret {self.folder / name} cannot be written: {error.strerror}"
            ) from None


def _read(handle: int, path: Path) -> str:
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        raise SecretError(f"the secret file {path} is no file", "put a file in its place")
    if found.st_mode & 0o077:
        raise SecretError(f"the secret file {path} may be read by others", f"chmod 600 {path}")
    if found.st_size > _MAX:
        raise SecretError(f"the secret file {path} is larger than {LONGEST} bytes")
    # what is no UTF-8 is refused with the other characters that do not fit
    return os.read(handle, _MAX + 1).decode(errors="surrogateescape")
