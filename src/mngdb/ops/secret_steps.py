"""The steps that make secrets which the vault does not have yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mngdb.model import Step
from mngdb.ops import publish
from mngdb.ops.context import Context
from mngdb.spec.web import CLIENT_SECRET


def secret_steps(context: Context, names: Sequence[str]) -> list[Step[None]]:
    """The steps that make missing secrets. The first makes all of them: in one write where the
    vault can."""
    return [
        _secret_step(context, name, lambda _: context.make_secrets(names))
        if name == names[0]
        else _secret_step(context, name, lambda _: None)
        for name in names
    ]


def _secret_step(context: Context, name: str, run: Callable[[None], None]) -> Step[None]:
    every = context.stack.instances.values()
    owners = [i for i in every if name.startswith(f"{i.name}_")] or context.stack.insight
    owner = (owners[0].name, owners[0].engine) if owners else (publish.VAULT, publish.VAULT)
    login = name.removeprefix(f"{owner[0]}_")
    app = login if login in context.stack.apps else ""
    more = "; set it on the realm's client, too" if name == CLIENT_SECRET else ""
    detail = f"40 random characters in {context.place(name) or 'the vault'}{more}"
    return Step(*owner, "create", f"secret {name}", detail, run, app=app, kind="secret")
