"""Where secrets live. A secret's name is INSTANCE_LOGIN: `postgres_admin`, `redis_chat-app`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol, get_args

from msgspec import Struct

from mngdb.errors import SecretError
from mngdb.secret import Secret
from mngdb.spec.file import BACKUP_SECRETS
from mngdb.spec.vault import Vault as VaultSpec
from mngdb.spec.vault import settled

#: While a password is rotated there are two: the one that apps use, and the one that is about to
#: take its place. AWS Secrets Manager calls them AWSCURRENT, AWSPENDING and AWSPREVIOUS.
Version = Literal["current", "pending", "previous"]
VERSIONS: tuple[Version, ...] = get_args(Version)


class Entry(Struct, frozen=True):
    """What a vault has under a name: a secret, or why it must not be used."""

    secret: Secret | None
    """None: there is something, but no secret."""
    problem: SecretError | None = None
    """Besides a `secret`: others may know it."""
    changed: float | None = None
    """When it was written, in seconds since the epoch, where that can be told."""

    def usable(self) -> Secret | None:
        """The secret. Raises SecretError for one that must not be used."""
        if self.problem is not None:
            raise self.problem
        return self.secret


class Vault(Protocol):
    """Keeps secrets by name. One suite, tests/conformance/test_vaults.py, holds for all."""

    @property
    def folder(self) -> Path | None:
        """The directory with one file a secret; None: it is something else."""
        ...

    def get_many(self, names: Iterable[str], version: Version = "current") -> dict[str, Entry]:
        """What there is under these names, asked for at once. A secret that cannot be used is an
        entry that says why, and costs the others nothing. Raises SecretError when nothing can be
        asked."""
        ...

    def put(
        self, secrets: Mapping[str, Secret], version: Literal["current", "pending"] = "current"
    ) -> None:
        """Keep secrets, in place of what that version was: all in one write where the vault can.
        Raises SecretError."""
        ...

    def promote(self, names: Sequence[str]) -> None:
        """Make pending secrets the current ones, and the current ones the previous: all in one
        write where the vault can. A reader finds one or the other as current at any moment;
        interrupted, it can be done again: what has no pending version any more is left as it is.
        Raises SecretError when none of them has one."""
        ...

    def delete(self, names: Sequence[str], versions: Sequence[Version] = VERSIONS) -> None:
        """Forget versions of secrets; one that is not there is no error. Raises SecretError."""
        ...

    @property
    def fresh(self) -> float:
        """Seconds for which an answer is as good as a new one, to whoever asks again and again: the
        agent, and apps by `mngdb.client`. As long after a change, somebody may have the old one."""
        ...

    @property
    def writable(self) -> bool:
        """Whether mngdb writes here: secrets, and what apps read."""
        ...

    @property
    def stands_in(self) -> bool:
        """Whether what it answers is an old copy: somebody may have changed passwords since."""
        ...

    def check_writable(self, names: Sequence[str]) -> None:
        """Raises SecretError where secrets of these names, which are missing, cannot be put."""
        ...

    def publish(self, app: str, settings: Mapping[str, str]) -> None:
        """Put what an app reads, the variables that it needs, in place of what was published for it
        before: a reader finds the one or the other, whole. Raises SecretError."""
        ...

    def published(self, apps: Iterable[str]) -> dict[str, dict[str, str]]:
        """What these apps read now, asked for at once; one for which nothing whole is published is
        left out. Raises SecretError when nothing can be asked."""
        ...

    def unpublish(self, app: str) -> None:
        """Remove what an app reads; nothing there is no error. Raises SecretError."""
        ...

    def documents(self, apps: Iterable[str]) -> list[Path]:
        """Files that hold what these apps read."""
        ...

    def where(self, name: str) -> str:
        """Where a person finds the secret: a path, a variable's name."""
        ...

    def files(self, names: Iterable[str]) -> list[Path]:
        """Files that may hold a version of these secrets."""
        ...

    def exposed(self, names: Iterable[str], apps: Iterable[str]) -> list[str] | None:
        """Who else may read these secrets, and what these apps read, by rules that the vault itself
        keeps: `NAME: WHO`; None: it keeps none. Raises SecretError."""
        ...

    def variables(self, names: Iterable[str]) -> list[str]:
        """Variables of the environment that reading these secrets takes."""
        ...


#: Characters. Larger is no password; Redis and drivers have limits of their own near it.
LONGEST = 4096


def usable(name: str, value: str) -> Secret:
    """A secret as read, without the line end that editors add. Raises SecretError.

    Printable ASCII only: everything else is told apart by drivers, shells and SASLprep.
    """
    value, file = value.removesuffix("\n").removesuffix("\r"), name.rpartition("/")[2]
    hint = "set one line of printable ASCII characters without spaces, or remove it: "
    hint += "'mngdb up' generates a new one"
    if file in BACKUP_SECRETS:
        hint = f"put it back: mngdb secret set {file}; the kit of the backups holds it"
    if not value:
        raise SecretError(f"the secret {name} is empty", hint)
    if len(value) > LONGEST:
        raise SecretError(f"the secret {name} is larger than {LONGEST} characters", hint)
    if not value.isascii() or not value.isprintable() or " " in value:
        raise SecretError(
            f"the secret {name} has characters that are not safe in every URL and shell", hint
        )
    return Secret(value)


def own_folder(state: Path) -> Path:
    """Where the vault `files` is that the file names no directory for."""
    return state / "secrets"


def open_vault(
    spec: VaultSpec,
    stack: str,
    folder: Path,
    state: Path,
    environ: Mapping[str, str],
    warn: Callable[[str], None] = lambda _: None,
) -> Vault:
    """The vault that the file of a stack names, and the environment where the file does not.
    `folder` is the one of the file, `state` the stack's own; `warn` says what a person has to see.
    Raises UsageError for an environment that makes no sense."""
    spec = settled(spec, environ)
    if spec.aws is not None:
        from mngdb.vaults.aws.vault import open_aws

        return open_aws(spec.aws, stack, state, environ, warn)
    if spec.kind == "environ":
        from mngdb.vaults.environ import EnvironVault

        return EnvironVault(environ)
    from mngdb.vaults.files import FilesVault

    path = folder / spec.path if spec.path else own_folder(state)
    return FilesVault(path, named=spec.path is not None, readers=spec.readers)
