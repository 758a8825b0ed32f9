"""What opens a provider's interface, made anew before it ends."""

from __future__ import annotations

from mngdb.errors import MngdbError
from mngdb.events import Progress
from mngdb.ops.context import Context
from mngdb.ops.rotate.going import OnEvent
from mngdb.secret import Secret


def due(context: Context) -> bool:
    """Whether something ends soon, by what is noted."""
    every = (context.target(one).hosted for one in context.stack.instances.values())
    return any(one.ending() for one in every if one is not None)


def renew(context: Context, on_event: OnEvent) -> dict[str, MngdbError]:
    """Renew what ends soon. Returns by instance why that was not possible."""
    vault, failed = context.vault, dict[str, MngdbError]()

    def keep(name: str, secret: Secret) -> None:
        vault.put({name: secret}, "pending")
        vault.promote([name])
        on_event(Progress("rotation", f"{name} is new; the one before is good for some days"))

    for name, instance in context.stack.instances.items():
        hosted = context.target(instance).hosted
        if hosted is None or not hosted.ending() or not vault.writable:
            continue
        try:
            hosted.renew(context.asked(instance, invent=True, find=False), keep)
        except MngdbError as error:
            failed[name] = error
    return failed
