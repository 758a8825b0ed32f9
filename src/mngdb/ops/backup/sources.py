"""The backups that a stack reads: its own, and those of the stack that it was set up after.

A stack that was set up from a kit has an identity of its own. It writes to its own part of a store
and reads that of the other one, which may still be alive and go on writing there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from mngdb import disk
from mngdb.errors import SecretError, UsageError
from mngdb.secret import Secret
from mngdb.spec.file import BACKUP_SECRETS

if TYPE_CHECKING:
    from mngdb.stores import Store
    from mngdb.stores.catalog import Catalog

KEY, MAC, BUCKET_ID, BUCKET_SECRET = BACKUP_SECRETS
#: In the stack's own folder, where it was set up from a kit.
_FILE = "origins.json"
Secrets = Callable[[str], Secret | None]


class Source(Struct, frozen=True):
    """The backups of a stack, by its id: `url` is a directory's full path, or s3://BUCKET/PREFIX
    with its `endpoint` and `region`."""

    stack: str
    url: str
    endpoint: str | None = None
    region: str | None = None

    @property
    def address(self) -> str:
        """Where that is, for people, and by what it is told from another store."""
        return f"{self.url} at {self.endpoint}" if self.endpoint else self.url

    def opened(self, secret: Secrets, mark: str | None = None) -> Store:
        """The store, with the login that `secret` gives by its names; of a directory, the one that
        has this `mark`. Nothing is asked or made yet. Raises SecretError, UsageError."""
        if self.url.startswith("s3://"):
            return _bucket(self, secret)
        from mngdb.stores.directory import DirectoryStore

        return DirectoryStore(Path(self.url), mark)

    def catalog(
        self, secret: Secrets, mark: str | None = None, *, unsigned: bool = False
    ) -> Catalog:
        """The snapshots there that are signed with the stack's secret, or all. Raises as
        `opened`."""
        from mngdb.stores.catalog import Catalog
        from mngdb.stores.signing import Signer

        given = secret(MAC)
        signer = Signer(given) if given is not None else None
        return Catalog(self.opened(secret, mark), self.stack, signer, unsigned=unsigned)


def _bucket(asked: Source, get: Secrets) -> Store:
    from mngdb.stores.s3 import BucketStore

    bucket, _, prefix = asked.url.removeprefix("s3://").partition("/")
    options = {"endpoint": asked.endpoint, "region": asked.region}
    login = {name: get(name) for name in (BUCKET_ID, BUCKET_SECRET)}
    missing = [name for name, secret in login.items() if secret is None]
    if len(missing) == 1:
        raise SecretError(
            f"the login of {asked.address} is incomplete: the vault has no {missing[0]}",
            f"mngdb secret set {missing[0]}",
        )
    names = ("access_key_id", "secret_access_key")
    options |= dict(zip(names, map(_shown, login.values()), strict=True))
    return BucketStore(bucket, prefix, {k: v for k, v in options.items() if v is not None})


def _shown(secret: Secret | None) -> str | None:
    return secret.reveal() if secret else None


class Origins(Struct, frozen=True):
    """What a stack was set up after. `pending` are instances whose data has not been restored: they
    are empty, so that their own backups say nothing."""

    sources: tuple[Source, ...] = ()
    pending: tuple[str, ...] = ()


def origins(state: Path) -> Origins:
    """Those of a stack; none for one that began empty. Raises UsageError, OSError."""
    try:
        return disk.read_note(state / _FILE, Origins) or Origins()
    except ValueError:
        raise UsageError(
            f"{state / _FILE} is damaged", "set the stack up from its kit again, in another folder"
        ) from None


def keep(state: Path, found: Origins) -> None:
    """Keep them. Raises OSError."""
    disk.write(state / _FILE, msgspec.json.encode(found).decode() + "\n")


def settle(state: Path, instance: str) -> None:
    """Say that an instance has its data. Raises UsageError, OSError."""
    if instance not in origins(state).pending:
        return
    with disk.alone(state / "origins.lock"):  # several instances may get theirs at once
        found = origins(state)
        left = tuple(one for one in found.pending if one != instance)
        keep(state, replace(found, pending=left))
