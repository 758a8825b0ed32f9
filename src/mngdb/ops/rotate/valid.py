"""Which passwords let in while rotations go on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from mngdb.errors import MngdbError
from mngdb.model import DesiredInstance
from mngdb.ops.rotate.note import ADMIN, Entry, Phase
from mngdb.secret import Secret
from mngdb.spec.stack import Instance
from mngdb.vaults import Entry as Kept
from mngdb.vaults import Vault, Version

if TYPE_CHECKING:
    from mngdb.ops.context import Context

#: Seconds for a login that finds out which password is the right one.
_LOGIN = 3.0
#: The phases in which a version of a secret besides the current one lets in.
_PHASES: Mapping[Version, frozenset[Phase]] = {
    "pending": frozenset({"opening", "publishing"}),
    "previous": frozenset({"publishing", "waiting"}),
}


def beside(vault: Vault, instance: Instance, going: Collection[Entry]) -> dict[str, Secret]:
    """App of an instance to the secret beside the current one that lets it in. `going`: every
    rotation of the stack. Raises SecretError."""
    mine = [e for e in going if e.instance == instance.name and e.login in instance.grants]
    if not mine:
        return {}
    # what is pending comes after what was there before
    kept = {**_kept(vault, going, "previous"), **_kept(vault, going, "pending")}
    found = {one.login: kept.get(one.secret) for one in mine}
    return {
        login: secret
        for login, entry in found.items()
        if entry is not None and (secret := entry.usable()) is not None
    }


def settled(
    context: Context, instance: Instance, going: Collection[Entry], secrets: Mapping[str, Secret]
) -> dict[str, Secret]:
    """Of the logins in `secrets` that have one password alone, the one that the server takes, where
    a rotation broke off between the server and the vault. Raises SecretError."""
    due = [
        one
        for one in going
        if one.instance == instance.name
        and one.single
        and one.phase == "publishing"
        and one.login in secrets
    ]
    if not due:
        return {}
    pending = _kept(context.vault, going, "pending")
    found: dict[str, Secret] = {}
    for one in due:
        entry = pending.get(one.secret)
        new = entry.usable() if entry else None
        if new is not None and _takes(context, instance, {**secrets, **found}, one.login, new):
            found[one.login] = new
    return found


def _kept(vault: Vault, going: Collection[Entry], version: Version) -> dict[str, Kept]:
    """What the vault has of a version, for all rotations in one question."""
    return vault.get_many([e.secret for e in going if e.phase in _PHASES[version]], version)


def _takes(
    context: Context, instance: Instance, secrets: Mapping[str, Secret], login: str, new: Secret
) -> bool:
    """Whether the server refuses a login's password and takes the new one."""
    site, engine = context.target(instance).site(instance, find=False), context.engine(instance)
    for secret in (secrets[login], new):
        given = {ADMIN: Secret("unused"), **secrets, login: secret}
        asked = DesiredInstance(context.stack.name, instance, given, site)
        access = context.admin(asked)
        if login != ADMIN:
            access = engine.login(asked, access, login)
        try:
            with context.reach(instance), engine.connect(access, _LOGIN):
                return secret is new
        except MngdbError as error:
            if getattr(error, "kind", "") != "auth":
                return False
    return False
