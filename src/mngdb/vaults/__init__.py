"""Where secrets live. A secret's name is INSTANCE_LOGIN: `postgres_admin`, `redis_chat-app`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from mngdb.errors import SecretError
from mngdb.secret import Secret
from mngdb.spec.file import Vault as VaultSpec


class Vault(Protocol):
    """Keeps secrets by name."""

    def get(self, name: str) -> Secret | None:
        """The secret, or None if there is none. Raises SecretError if it cannot be used."""
        ...

    def make(self, name: str) -> Secret:
        """A new random secret, kept before it is returned. Raises SecretError."""
        ...

    def check(self, names: Sequence[str]) -> None:
        """Raises SecretError where it cannot make secrets of these names."""
        ...

    def put(self, name: str, secret: Secret) -> None:
        """Keep a secret that a person gives. Raises SecretError."""
        ...

    def changed(self, name: str) -> float | None:
        """When the secret was changed last, in seconds since the epoch, where that can be told."""
        ...

    def where(self, name: str) -> str:
        """Where a person finds the secret: a path, a variable's name."""
        ...


#: Characters. Larger is no password; Redis and drivers have limits of their own near it.
LONGEST = 4096


def usable(name: str, value: str) -> Secret:
    """A secret as read, without the line end that editors add. Raises SecretError.

    Printable ASCII only: everything else is told apart by drivers, shells and SASLprep.
    """
    value = value.removesuffix("\n").removesuffix("\r")
    if not value:
        raise SecretError(
            f"the secret {name} is empty", "write one into it, or remove it to have one made"
        )
    if len(value) > LONGEST:
        raise SecretError(f"the secret {name} is larger than {LONGEST} characters")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise SecretError(
            f"the secret {name} has characters that do not fit into every URL and shell",
            "use one line of printable ASCII characters without spaces",
        )
    return Secret(value)


def open_vault(spec: VaultSpec, folder: Path, state: Path, environ: dict[str, str]) -> Vault:
    """The vault that the file names. `folder` is the one of the file, `state` the stack's own."""
    if spec.kind == "environ":
        from mngdb.vaults.environ import EnvironVault

        return EnvironVault(environ)
    from mngdb.vaults.files import FilesVault

    path = folder / spec.path if spec.path else state / "secrets"
    return FilesVault(path, named=spec.path is not None)
