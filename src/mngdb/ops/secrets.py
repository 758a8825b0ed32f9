"""Secrets that a person brings."""

from __future__ import annotations

from mngdb.errors import UsageError
from mngdb.ops.context import Context
from mngdb.vaults import usable


def put(context: Context, name: str, value: str) -> str:
    """Keep a secret that the stack needs; returns where. Raises UsageError, SecretError."""
    known = context.known_secrets()
    if name not in known:
        raise UsageError(
            f"this stack does not use the secret {name!r}", f"secrets in use: {', '.join(known)}"
        )
    secret = usable(name, value)
    context.check_printable(name, secret)
    context.claim()
    context.vault.put(name, secret)
    return context.vault.where(name)
