"""Secrets that a person brings."""

from __future__ import annotations

import contextlib
from pathlib import Path

from mngdb.errors import UsageError
from mngdb.ops.backup import place
from mngdb.ops.backup.sources import KEY, MAC
from mngdb.ops.context import Context
from mngdb.secret import Secret
from mngdb.vaults import usable


def put(context: Context, name: str, value: str) -> tuple[str, Path | None]:
    """Keep a secret that the stack needs. Returns where, and where the private key of the backups
    is kept that it replaces. Raises UsageError, SecretError, OSError."""
    known = context.known_secrets()
    if name not in known:
        raise UsageError(
            f"this stack does not use the secret {name!r}", f"secrets in use: {', '.join(known)}"
        )
    secret = usable(name, value)
    context.check_printable(name, secret)
    context.claim()
    kept = _spared(context, name, secret) if name in {KEY, MAC} else None
    context.vault.put(name, secret)
    return context.vault.where(name), kept


def _spared(context: Context, name: str, new: Secret) -> Path | None:
    """What is encrypted for the key of before, or signed with it, needs that alone: it is kept."""
    from mngdb.stores.sealing import recipient
    from mngdb.stores.signing import Signer

    (recipient if name == KEY else Signer)(new)  # or it is none
    before = context.vault.get(name)
    if before is None or before == new:
        return None
    with contextlib.suppress(UsageError):  # it never was one
        return (place.keep_key if name == KEY else place.keep_signer)(context, before)
    return None
