"""Secrets between the file's vault and another: compared, and copied, without showing one."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from pydantic import ValidationError

from mngdb import disk
from mngdb.errors import SecretError, UsageError
from mngdb.lock import lock
from mngdb.model import Step
from mngdb.ops import audit
from mngdb.ops.context import Context
from mngdb.ops.publish import VAULT
from mngdb.ops.secrets import refuse_rotated
from mngdb.secret import Secret
from mngdb.spec.vault import Vault as VaultSpec
from mngdb.spec.vault import settled
from mngdb.vaults import Vault, open_vault
from mngdb.vaults.aws import memory

State = Literal["same", "differs", "only in the file's vault", "only there"]


#: Where they are copied from.
_IN = {"push": "in the vault of the file", "pull": "in {}"}


class Compared(Struct, frozen=True):
    """A secret of the stack in two vaults."""

    name: str
    state: State


class Other(Struct, frozen=True):
    """Another vault, and what a person calls it."""

    text: str
    vault: Vault


def other(context: Context, text: str) -> Other:
    """The vault that `files:FOLDER`, `aws:NAME` or `environ` names; in AWS in the file's region, or
    that of the environment. Raises UsageError, also for the file's own."""
    kind, _, place = text.partition(":")
    own = settled(context.stack.source.vault, context.environ)
    try:
        if kind == "files" and place:
            spec = VaultSpec(kind="files", path=str(disk.expanded(place).absolute()))
        elif kind == "aws" and place:
            same = own.aws.model_dump(include={"region", "endpoint"}) if own.aws else {}
            spec = VaultSpec.model_validate({"aws": {"name": place, **same}})
        elif text == "environ":
            spec = VaultSpec(kind="environ")
        else:
            raise UsageError(f"{text!r} is not a vault", "use aws:NAME, files:FOLDER or environ")
    except ValidationError as error:
        why = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise UsageError(f"{text!r} is not a vault: {why}") from None
    # it keeps no state of its own: what this machine knows is of the file's vault
    nowhere = context.stack.state / "nowhere"
    found = open_vault(spec, context.stack.name, context.stack.folder, nowhere, context.environ)
    name = context.known_secrets()[0]
    if found.where(name) == context.vault.where(name):
        raise UsageError(f"{text} is the vault of the file itself", "name another one")
    return Other(text, found)


def compare(context: Context, there: Other) -> list[Compared]:
    """The stack's secrets in both vaults. Raises SecretError for one that cannot be used."""
    context.vault.trust()
    ours, theirs = _values(context.vault, context), _values(there.vault, context)
    return [
        Compared(name, _state(ours.get(name), theirs.get(name)))
        for name in context.known_secrets()
        if name in ours or name in theirs
    ]


def push(context: Context, there: Other, *, overwrite: bool = False) -> list[Compared]:
    """Copy the stack's secrets to another vault, in one write where that can. Returns what was
    copied, by how it was before. Raises UsageError where there are none, and where others would be
    lost, unless `overwrite`; SecretError."""
    return _copy(context, context.vault, there.vault, there.text, "push", overwrite)


def pull(context: Context, there: Other, *, overwrite: bool = False) -> list[Compared]:
    """Copy secrets from another vault to the file's. As `push`."""
    context.vault.trust()
    done = _copy(context, there.vault, context.vault, there.text, "pull", overwrite)
    kind, _, name = there.text.partition(":")
    if kind == "aws":
        memory.left(context.stack.state, name)
    return done


def _copy(
    context: Context, source: Vault, target: Vault, text: str, verb: str, overwrite: bool
) -> list[Compared]:
    given = _values(source, context)
    if not given:
        raise UsageError(
            f"there are no secrets of this stack {_IN[verb].format(text)}",
            "run 'mngdb up'" if verb == "push" else "check the name, the region and the account",
        )
    known = _values(target, context)
    changed = [Compared(n, _state(known.get(n), s)) for n, s in given.items() if known.get(n) != s]
    lost = [one.name for one in changed if one.state == "differs"]
    if lost and not overwrite:
        raise UsageError(
            f"other secrets are there already: {', '.join(lost)}", "--overwrite replaces them"
        )
    if not changed:
        return []
    names = [one.name for one in changed]
    target.check_writable(names)
    context.claim()
    with lock(context.stack.state / "lock", f"secrets {verb}"):
        if target is context.vault:
            refuse_rotated(context, names)
        target.put({name: given[name] for name in names})
        step: Step[None] = Step(VAULT, VAULT, "change", text, ", ".join(names), lambda _: None)
        audit.note(context.stack.state, f"secrets {verb}", step)
    return changed


def _values(vault: Vault, context: Context) -> dict[str, Secret]:
    found = {}
    for name, entry in vault.get_many(context.known_secrets()).items():
        secret = entry.usable()
        if secret is None:
            raise SecretError(f"the secret {name} cannot be used ({vault.where(name)})")
        found[name] = secret
    return found


def _state(ours: Secret | None, theirs: Secret | None) -> State:
    if ours is None:
        return "only there"
    if theirs is None:
        return "only in the file's vault"
    return "same" if ours == theirs else "differs"
