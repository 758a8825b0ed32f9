"""Fills in `facts.secrets` as far as a vault tells, and judges nothing."""

from __future__ import annotations

import datetime as dt
import os
import stat
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mngdb import disk
from mngdb.errors import SecretError, UnobservableError
from mngdb.secret import Secret
from mngdb.vaults import Vault
from mngdb.vaults.files import FilesVault

_DAY = 86_400.0


@dataclass
class Kept:
    """What a vault has of the secrets that a stack needs."""

    secrets: dict[str, Secret] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unusable: list[str] = field(default_factory=list)
    ages: dict[str, float] = field(default_factory=dict)


def kept(vault: Vault, names: Iterable[str]) -> Kept:
    """Every secret that is needed; also one that others may read is read, to look for it."""
    found = Kept()
    for name in names:
        try:
            if isinstance(vault, FilesVault):
                secret = vault.read(name, private=False)
            else:
                secret = vault.get(name)
        except SecretError as error:
            found.unusable.append(error.message)
            continue
        if secret is None:
            found.missing.append(name)
            continue
        found.secrets[name] = secret
        changed = vault.changed(name)
        if changed is not None:
            found.ages[name] = (time.time() - changed) / _DAY
    return found


def open_to_others(paths: Iterable[Path], uids: Collection[int] = ()) -> Iterator[str]:
    """Those of the files or folders that others than their owner may get into, or that are neither
    ours nor of the accounts `uids`."""
    for path in paths:
        try:
            found = path.stat()
        except FileNotFoundError:
            continue
        if found.st_mode & 0o077:
            yield f"{path} ({stat.S_IMODE(found.st_mode):o})"
        elif found.st_uid not in {os.geteuid(), 0, *uids}:
            yield f"{path} (of user id {found.st_uid})"


def strangers(folder: Path, known: Iterable[str]) -> list[str]:
    """Files of a vault's folder that no secret of the stack is kept in."""
    if not folder.is_dir():
        return []
    names = set(known)
    return sorted(path.name for path in folder.iterdir() if path.name not in names)


def days_left(files: Iterable[Path]) -> Mapping[str, float]:
    """Certificate to days that it still holds. Raises UnobservableError for a file that is none."""
    from cryptography import x509

    now = dt.datetime.now(dt.UTC)
    found = {}
    for path in files:
        try:
            certificate = x509.load_pem_x509_certificate(disk.read_given(path, disk.NOTE_MAX))
        except ValueError:
            raise UnobservableError(f"{path} is no certificate") from None
        found[str(path)] = (certificate.not_valid_after_utc - now).total_seconds() / _DAY
    return found
