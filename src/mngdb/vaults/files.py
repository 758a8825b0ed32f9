"""Secrets as files in a folder, one a secret: the layout of Docker secrets."""

from __future__ import annotations

import os
from pathlib import Path

from mngdb import disk
from mngdb.errors import SecretError
from mngdb.secret import Secret, generate
from mngdb.vaults import usable


class FilesVault:
    """A folder of mode 0700 with files of mode 0600."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def where(self, name: str) -> str:
        return str(self.folder / name)

    def get(self, name: str) -> Secret | None:
        path = self.folder / name
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SecretError(
                f"the secret file {path} cannot be read: {error.strerror}",
                "run mngdb as its owner",
            ) from None
        with os.fdopen(handle, encoding="utf-8", errors="surrogateescape", newline="") as file:
            if os.fstat(handle).st_mode & 0o077:
                raise SecretError(
                    f"the secret file {path} may be read by others", f"chmod 600 {path}"
                )
            try:
                return usable(str(path), file.read(4096))
            except OSError as error:
                raise SecretError(f"the secret file {path}: {error.strerror}") from None

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
