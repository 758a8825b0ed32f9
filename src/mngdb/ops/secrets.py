"""Secrets that a person brings."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from mngdb.errors import SecretError, UsageError
from mngdb.ops.backup import keys, place
from mngdb.ops.backup.sources import KEY, MAC
from mngdb.ops.context import Context
from mngdb.ops.rotate.note import entries
from mngdb.ops.unusable import check_printable
from mngdb.secret import Secret
from mngdb.spec.problems import did_you_mean
from mngdb.spec.stack import secret_name
from mngdb.vaults import usable


class Put(Struct, frozen=True):
    """Where a secret is kept now, and whether `up` sets it on a server. Of one of the backups:
    where the one of before is (None: there was none), and what is wrong with it, in words."""

    where: str
    of_server: bool = False
    before: Path | None = None
    warning: str = ""


def put(context: Context, name: str, value: str) -> Put:
    """Keep a secret that the stack needs. Raises UsageError, SecretError, OSError."""
    known = context.known_secrets()
    if name not in known:
        raise UsageError(
            f"this stack does not use the secret {name!r}{did_you_mean(name, known)}",
            f"secrets in use: {', '.join(known)}",
        )
    refuse_rotated(context, [name])
    secret = usable(name, value)
    check_printable(context, name, secret)
    context.claim()
    where = context.vault.where(name)
    if name not in {KEY, MAC}:
        context.vault.put({name: secret})
        return Put(where, name in context.login_secrets() and not _adopted(context, name))
    kept = _spared(context, name, secret)
    context.vault.put({name: secret})
    if name == MAC:
        keys.accept_signer(context, secret)
    return Put(where, False, kept, keys.fits_none(context, name))


def _adopted(context: Context, name: str) -> bool:
    """Whether it is a login's of an adopted server, where `up` changes no password of others."""
    every = context.stack.instances.values()
    return any(name == secret_name(i, app) for i in every if i.adopt for app in i.grants)


def refuse_rotated(context: Context, names: Iterable[str]) -> None:
    """Raises UsageError for secrets of which a rotation has two: it would go on with a third."""
    going = entries(context.stack.state)
    for name in names:
        if name in going:
            raise UsageError(
                f"the secret {name} is being rotated",
                "'mngdb rotate --status' shows how far it is; --abort goes back",
            )


def _spared(context: Context, name: str, new: Secret) -> Path | None:
    """What is encrypted for the key of before, or signed with it, needs that alone: it is kept."""
    from mngdb.stores.sealing import recipient
    from mngdb.stores.signing import Signer

    (recipient if name == KEY else Signer)(new)  # or it is none
    with contextlib.suppress(UsageError, SecretError):  # it never was one
        before = context.vault.get(name)
        if before is not None and before != new:
            return (place.keep_key if name == KEY else place.keep_signer)(context, before)
    return None
