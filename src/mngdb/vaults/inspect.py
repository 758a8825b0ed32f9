"""Fills in `facts.secrets` as far as a vault tells, and judges nothing."""

from __future__ import annotations

import datetime as dt
import os
import stat
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct, field

from mngdb import disk
from mngdb.errors import UnobservableError
from mngdb.secret import Secret
from mngdb.vaults import Vault

_DAY = 86_400.0


class Kept(Struct):
    """What a vault has of the secrets that a stack needs."""

    secrets: dict[str, Secret] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unusable: list[str] = field(default_factory=list)
    ages: dict[str, float] = field(default_factory=dict)


def kept(vault: Vault, names: Sequence[str]) -> Kept:
    """Every secret that is needed; also one that others may read, to look for it."""
    found, entries = Kept(), vault.get_many(names)
    for name in names:
        entry = entries.get(name)
        if entry is None:
            found.missing.append(name)
        elif entry.secret is not None:
            found.secrets[name] = entry.secret
            if entry.changed is not None:
                found.ages[name] = (time.time() - entry.changed) / _DAY
        elif entry.problem is not None:
            found.unusable.append(entry.problem.message)
    return found


def open_to_others(
    paths: Iterable[Path], uids: Collection[int] = (), shared: Mapping[Path, int] | None = None
) -> Iterator[str]:
    """Those of the files or folders that others than their owner may get into, or that are neither
    ours nor of the accounts `uids`. `shared`: bits of the mode that others have as the file
    says."""
    for path in paths:
        try:
            found = path.stat()
        except FileNotFoundError:
            continue
        if found.st_mode & 0o077 & ~(shared or {}).get(path, 0):
            yield f"{path} ({stat.S_IMODE(found.st_mode):o})"
        elif found.st_uid not in {os.geteuid(), 0, *uids}:
            yield f"{path} (of user id {found.st_uid})"


def strangers(folder: Path, known: Iterable[Path]) -> list[str]:
    """What is in a vault's folder, and in those of its folders that the stack has, besides the
    stack's own files."""
    known = set(known)
    folders = {folder, *(path.parent for path in known), *(path.parent.parent for path in known)}
    inside = [one for one in folders if one.is_relative_to(folder) and one.is_dir()]
    there = {path for one in inside for path in one.iterdir()}
    return sorted(map(str, there - known - folders))


def days_left(files: Iterable[Path]) -> Mapping[str, float]:
    """Certificate to days that it still holds. Raises UnobservableError for a file that is none."""
    from cryptography import x509

    now = dt.datetime.now(dt.UTC)
    found = {}
    for path in files:
        try:
            certificate = x509.load_pem_x509_certificate(disk.read_given(path, disk.NOTE_MAX))
        except ValueError:
            raise UnobservableError(f"{path} is not a certificate") from None
        found[str(path)] = (certificate.not_valid_after_utc - now).total_seconds() / _DAY
    return found
