"""Where a stack's backups are, and the keys that they are encrypted with."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from mngdb import disk
from mngdb.errors import MngdbError, UsageError
from mngdb.model import Notice, Program
from mngdb.ops.backup.sources import KEY, MAC, Source, origins
from mngdb.ops.context import Context
from mngdb.secret import Secret
from mngdb.spec.file import Backup
from mngdb.spec.stack import Instance
from mngdb.spec.target import Target
from mngdb.spec.target_info import TARGET_INFO
from mngdb.stores import StoreError

if TYPE_CHECKING:
    from mngdb.stores import Store
    from mngdb.stores.catalog import Catalog
    from mngdb.stores.manifest import Manifest
    from mngdb.stores.sealing import Opener

_FOLDER = "backups"
#: In the stack's own folder: by what the store's directory is known again.
_MARK = "store.json"
#: In the stack's own folder: one folder for each server of restored data.
RESTORED = "restored"
_LOOPBACK = "127.0.0.1"
#: The target whose servers are processes of this machine.
HERE = next(info.name for info in TARGET_INFO.values() if info.here)
#: Seconds that another command may take to make the key.
_PATIENCE = 30.0


def wanted(context: Context) -> Backup:
    """What the file says, or the defaults."""
    return context.stack.backup or Backup()


def default(context: Context) -> Path:
    """The directory of those who name none: beside the stacks, so that it is neither in a project
    nor goes with a stack."""
    return context.stack.state.parent.parent / _FOLDER


def source(context: Context) -> Source:
    """Where the stack's own backups are."""
    stack, asked = context.located.record.id, wanted(context).store
    if asked is None:
        return Source(stack, str(default(context)))
    if asked.url.startswith("s3://"):
        return Source(stack, asked.url, asked.endpoint, asked.region)
    return Source(stack, str((context.stack.folder / disk.expanded(asked.url)).resolve()))


def directory(context: Context) -> Path | None:
    """The store's directory, which may not be there; None: it is a bucket."""
    url = source(context).url
    return None if url.startswith("s3://") else Path(url)


def store(context: Context) -> Store:
    """The store. Nothing is asked or made yet. Raises SecretError, UsageError."""
    return source(context).opened(context.vault.get, _mark(context))


def catalog(context: Context) -> Catalog:
    """The stack's own snapshots, to which it writes."""
    unsigned = context.unsigned
    return source(context).catalog(context.vault.get, _mark(context), unsigned=unsigned)


def mark(context: Context) -> None:
    """Know the store's directory again, so that nothing is written to an empty mount point in its
    place. Raises StoreError, OSError."""
    from mngdb.stores.directory import DirectoryStore

    root = directory(context)
    if root is not None and _mark(context) is None:
        text = json.dumps({"url": source(context).url, "mark": DirectoryStore(root).marked()})
        disk.write(context.stack.state / _MARK, text + "\n")


def _mark(context: Context) -> str | None:
    """What tells the store's directory from another one; None: nothing was written there yet."""
    found = disk.noted(context.stack.state / _MARK, dict[str, str], {})
    return found.get("mark") if found.get("url") == source(context).url else None


def catalogs(context: Context, instance: str) -> list[Catalog]:
    """Those that an instance can be restored from: of the stack that this one was set up after, and
    its own, unless the instance is still empty."""
    read, pending = inherited(context), origins(context.stack.state).pending
    return read if instance in pending else [*read, catalog(context)]


def inherited(context: Context) -> list[Catalog]:
    """Those of the stack that this one was set up after, which it only reads."""
    get, unsigned = context.vault.get, context.unsigned
    every = origins(context.stack.state).sources
    return [one.catalog(get, unsigned=unsigned) for one in every]


def departed(context: Context) -> list[str]:
    """Instances that have snapshots, and that the file does not have: they were renamed, or left.
    Stores that do not answer count for nothing."""
    found: set[str] = set()
    for one in (*inherited(context), catalog(context)):
        with contextlib.suppress(StoreError):  # `reachable` tells of it
            found |= set(one.instances())
    return sorted(found - set(context.stack.instances))


def catalog_of(context: Context, manifest: Manifest) -> Catalog:
    """The one that has a snapshot."""
    every = catalogs(context, manifest.instance)
    return next(one for one in every if one.stack == manifest.stack)


def manifest(context: Context, instance: str, snapshot: str) -> Manifest:
    """The manifest of a snapshot. Raises UsageError for one that there is not, UnreadableError,
    StoreError."""
    *others, last = catalogs(context, instance)
    for one in others:
        with contextlib.suppress(UsageError, StoreError):
            return one.manifest(instance, snapshot)
    return last.manifest(instance, snapshot)


def recipients(context: Context) -> Sequence[str]:
    """Public keys that the next snapshot is encrypted for: the file's, or the vault's; none where
    that has no key. Raises SecretError, UsageError."""
    from mngdb.stores.sealing import recipient

    key = None if wanted(context).recipients else context.vault.get(KEY)
    return [recipient(key)] if key is not None else wanted(context).recipients


def opener(context: Context, manifest: Manifest) -> Opener:
    """Decrypts a snapshot with the vault's key. Raises SecretError, and UsageError where that is
    missing or another one."""
    found = opener_here(context, manifest)
    if found is None:
        fits = f"does not fit snapshot {manifest.id}" if has_key(context) else "is missing"
        raise UsageError(
            f"the private key of the backups {fits} ({context.vault.where(KEY)})",
            f"mngdb secret set {KEY}, with the private key of {' or '.join(manifest.recipients)}; "
            "a kit of that time holds it",
        )
    return found


def opener_here(context: Context, manifest: Manifest) -> Opener | None:
    """The same; None where the key is missing or another one."""
    from mngdb.stores.sealing import Opener, recipient

    key = context.vault.get(KEY)
    if key is None or recipient(key) not in manifest.recipients:
        return None
    return Opener([key])


def has_key(context: Context) -> bool:
    """Whether there is a private key here."""
    return context.vault.get(KEY) is not None


def spare_key(context: Context) -> Notice | None:
    """Before a stack is removed with its vault: keep the private key without which nobody could
    read its backups, beside the stacks, and the secret that tells them from those of others. None:
    there is no key of mngdb's own. Raises OSError."""
    if context.vault.folder is None:
        return None  # it stays, and may be out of reach
    key, mac = context.vault.get(KEY), context.vault.get(MAC)
    if mac is not None:
        keep_signer(context, mac)
    if key is None:
        return None
    path = keep_key(context, key)
    return Notice("", f"its backups stay in {source(context).address}, their private key in {path}")


def keep_key(context: Context, key: Secret) -> Path:
    """Keep a private key beside the stacks, where neither a vault nor a stack goes with it. Raises
    UsageError, OSError."""
    from mngdb.stores.sealing import recipient

    return _kept(context, recipient(key)[-8:], key)


def keep_signer(context: Context, secret: Secret) -> Path:
    """The same for the secret that signs. Raises UsageError, OSError."""
    from mngdb.stores.signing import Signer

    return _kept(context, f"{MAC}-{Signer(secret).fingerprint}", secret)


def _kept(context: Context, name: str, secret: Secret) -> Path:
    folder = default(context).parent / "backup-keys"
    disk.folder(folder)
    path = folder / f"{context.stack.name}-{context.located.record.id}-{name}"
    disk.write(path, secret.reveal() + "\n")
    return path


def home(context: Context, given: Instance, version: str) -> Instance:
    """An instance as a process of this machine. The file does not say which version a server
    elsewhere has: this one's program is of the same major version where there is one, else of the
    version that the file asks for, which may read the data of `version`, too."""
    major = version.partition(".")[0]
    spec = given.spec.model_copy(update={"bind": [_LOOPBACK], "version": major})
    found = replace(given, target=Target.model_validate(HERE), spec=spec, tls=False)
    try:
        context.target(found).site(found)
    except MngdbError:
        asked = spec.model_copy(update={"version": given.spec.version})
        return replace(found, spec=asked)
    return found


def program(context: Context, instance: Instance, version: str) -> Program:
    """The server's program with which an instance is restored, whose server is of this version.
    Raises UsageError, MngdbError where there is none."""
    there = context.target(instance).disposable is None
    lives = home(context, instance, version) if there else instance
    site = context.target(lives).site(lives)
    assert site is not None  # noqa: S101 — for mypy
    return site.program


def concerns(context: Context) -> list[tuple[str, str]]:
    """What may take the store away together with the data, and what to do about it."""
    root, data = directory(context), context.stack.state
    every = context.stack.instances.values()
    if root is None or all(context.target(one).backups is not None for one in every):
        return []  # a bucket, or nothing is written there
    found = []
    if root.is_relative_to(context.stack.folder.resolve()):
        found.append((f"{root} is in the project: 'git clean' removes it", "name another store"))
    if _disk(root) == _disk(data):
        text = f"{root} is on the disk that has the data: one fault takes both"
        found.append((text, "name another disk, or s3://BUCKET/PREFIX"))
    if disk.nearest(root) == root and root.stat().st_mode & 0o077:
        found.append((f"{root} can be read by other accounts", f"chmod 700 {root}"))
    return found


def _disk(path: Path) -> int:
    """The device of a directory, or of the one that it would be made in."""
    return disk.nearest(path).stat().st_dev
