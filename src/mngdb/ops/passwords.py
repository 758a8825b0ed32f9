"""Passwords that others gave the logins of an adopted server: they stay as they are."""

from __future__ import annotations

from collections.abc import Mapping

from mngdb.errors import MngdbError
from mngdb.model import DesiredInstance
from mngdb.ops.context import Context, secret_name


def kept(context: Context, asked: Mapping[str, DesiredInstance]) -> frozenset[str]:
    """The vault's names of secrets that it does not have and that nobody makes: of logins that are
    there. Where a server cannot be asked it is none of them, and its own error is told later."""
    found: set[str] = set()
    for one in asked.values():
        if not one.unknown:
            continue
        try:
            context.need_admin(one.instance)
            there = context.target(one.instance).converger(one, lambda _: None).kept()
        except MngdbError:
            there = one.unknown
        found |= {secret_name(one.instance, app) for app in there & one.unknown}
    return frozenset(found)
