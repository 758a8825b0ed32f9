"""Secrets that a person brings."""

from __future__ import annotations

from mngdb.errors import UsageError
from mngdb.ops.context import Context
from mngdb.spec.alerts import secret_of
from mngdb.vaults import usable


def needed(context: Context) -> list[str]:
    """Names of all the secrets that the stack needs."""
    found = context.secret_names()
    channels = context.stack.source.alerts.channels.items()
    return found + [secret_of(name) for name, channel in channels if channel.needs_secret]


def put(context: Context, name: str, value: str) -> str:
    """Keep a secret that the stack needs; returns where. Raises UsageError, SecretError."""
    known = needed(context)
    if name not in known:
        raise UsageError(f"the stack needs no secret {name!r}", f"it needs: {', '.join(known)}")
    context.claim()
    context.vault.put(name, usable(name, value))
    return context.vault.where(name)
