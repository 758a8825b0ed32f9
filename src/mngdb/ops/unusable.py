"""Secrets that are in the vault and cannot be used. An app's costs its app alone: `plan` and `up`
leave what the app has on that server as it is, and do everything else."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from mngdb.dotenv import quoted
from mngdb.errors import SecretError
from mngdb.secret import Secret
from mngdb.spec.agent import MONITOR
from mngdb.spec.stack import Instance, secret_name

if TYPE_CHECKING:
    from mngdb.ops.context import Context


def among(context: Context, names: Iterable[str]) -> dict[str, SecretError]:
    """Those of the vault's names, with the reason. Raises SecretError where the vault cannot be
    asked."""
    found = {}
    for name, entry in context.vault.get_many(names).items():
        try:
            check_printable(context, name, entry.usable())
        except SecretError as error:
            found[name] = error
    return found


def of_apps(context: Context, only: Collection[str] | None = None) -> dict[str, SecretError]:
    """The same of all apps, on all instances or on `only` some. Raises SecretError likewise."""
    every = context.stack.instances.values()
    chosen = [one for one in every if only is None or one.name in only]
    return among(context, [secret_name(one, app) for one in chosen for app in one.grants])


def logins(context: Context, instance: Instance, *, missing: bool = False) -> frozenset[str]:
    """The apps of an instance, and the monitor, of which nothing is changed since their secrets
    cannot be used, or are `missing`. Raises SecretError likewise."""
    spared = [*instance.grants, *([MONITOR] if instance.monitored else [])]
    names = {login: secret_name(instance, login) for login in spared}
    found = {*among(context, names.values())}
    if missing:
        found |= {*names.values()} - context.vault.get_many(names.values()).keys()
    return frozenset(login for login, name in names.items() if name in found)


def check_printable(context: Context, name: str, secret: Secret | None) -> None:
    """Raises SecretError for an app's secret that `env` could not print for it."""
    if secret and name in context.app_secrets and quoted(secret.reveal()) is None:
        raise SecretError(
            f"the secret {name} ({context.vault.where(name)}) cannot be printed by 'mngdb env': "
            "shells and dotenv readers take its quotes differently",
            "use one without single quotes",
        )
