"""What is looked at of a stack's secrets, for the checks `secrets.*`. A value never leaves its
Secret."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from mngdb.findings import Seen
from mngdb.secret import Secret


class Git(Struct, frozen=True):
    """The repository that the stack's file lies in."""

    open: tuple[str, ...]
    """What should be ignored, and is not."""
    tracked: tuple[str, ...]
    """Of that, what is in the repository now."""
    committed: Seen[tuple[str, ...]]
    """Files of secrets that a commit of any branch added, under their names."""
    values: Seen[tuple[str, ...]]
    """`NAME in FILE`: secrets that stand in an object of the repository, old ones included."""


class Dotenv(Struct, frozen=True):
    """A .env file beside the stack's file."""

    name: str
    mode: int


class SecretsFacts(Struct, frozen=True):
    """A stack's secrets: those that there are, and the places where they should not be."""

    vault: str
    """Its kind, as the file names it."""
    secrets: Mapping[str, Secret]
    """By name, those that can be used."""
    missing: tuple[str, ...]
    unusable: tuple[str, ...]
    """Why each of the others cannot: in the vault's own words, which hold no value."""
    ages: Mapping[str, float]
    """Name to days since the last change, where that can be told."""
    open_folders: tuple[str, ...]
    """Folders of secrets that others may enter, or that are not ours."""
    open_files: tuple[str, ...]
    """Files of secrets that others may read, or that are not ours."""
    unused: tuple[str, ...]
    """Files of secrets that nobody of the file has."""
    git: Seen[Git | None]
    """None: no repository."""
    beside: Seen[tuple[str, ...]]
    """`NAME in FILE`: secrets in the stack's files and the compose, CI and script files by them."""
    arguments: Seen[tuple[str, ...]]
    """`NAME in PROGRAM (pid N)`."""
    environments: Seen[tuple[str, ...]]
    logs: Seen[tuple[str, ...]]
    dotenv: tuple[Dotenv, ...]
    keys: tuple[str, ...] | None
    """Private keys of TLS that others may read; None: no TLS."""
    certificates: Seen[Mapping[str, float]]
    """File to days that it still holds."""
    programs: int
    """Processes that could be looked into."""
    exposed: Seen[tuple[str, ...] | None] = Seen()
    """`NAME: WHO` that may read it by rules of the vault's own; None: it has none."""
    rotated: float | None = None
    """Days after which the file has secrets rotated, and one to do it; None: it does not say."""
    late: Mapping[str, float] = {}
    """Name to hours since the beginning of a rotation that should be over by now."""
    unsearched: tuple[str, ...] = ()
    """Secrets that are short or a common word, and so are not searched for in texts."""
    unavoidable: tuple[str, ...] = ()
    """As `environments`, of containers' programs that take a secret from nowhere else."""
