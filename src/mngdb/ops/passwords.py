"""Passwords that others gave the logins of an adopted server: they stay as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mngdb.errors import MngdbError, UsageError
from mngdb.model import DesiredInstance
from mngdb.ops.context import Context
from mngdb.ops.rotate.work import Login
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.spec.stack import secret_name
from mngdb.words import named


def kept(context: Context, asked: Mapping[str, DesiredInstance]) -> frozenset[str]:
    """The vault's names of secrets that it does not have and that nobody makes: of logins that are
    there. Where a server cannot be asked it is none of them, and its own error is told later."""
    found: set[str] = set()
    for one in asked.values():
        if not (one.unknown and one.instance.adopt):
            continue
        try:
            there = _of_others(context, one)
        except MngdbError:
            there = one.unknown
        found |= {secret_name(one.instance, app) for app in there & one.unknown}
    return frozenset(found)


def ours(context: Context, logins: Iterable[Login]) -> list[Login]:
    """Those whose passwords mngdb set, and may set again. Raises ConnectError where an adopted
    server cannot be asked."""
    logins = [*logins]
    others = {
        one.name: _of_others(context, context.asked(one, invent=True))
        for one in {
            one.instance.name: one.instance for one in logins if one.instance.adopt
        }.values()
    }
    return [one for one in logins if one.name not in others.get(one.instance.name, ())]


def refuse_others(context: Context, logins: Sequence[Login]) -> None:
    """Raises UsageError where one is to be rotated that others made."""
    mine = ours(context, logins)
    for one in logins:
        if one not in mine:
            name = ENGINE_INFO[one.instance.engine].login + one.name
            raise UsageError(
                f"{one.instance.name}: others made the login {one.name}, so its password is not "
                "rotated",
                f"mngdb up --allow {named(name)} takes it over and sets a new one",
            )


def _of_others(context: Context, asked: DesiredInstance) -> frozenset[str]:
    context.need_admin(asked.instance)
    return context.target(asked.instance).converger(asked, lambda _: None).kept()
