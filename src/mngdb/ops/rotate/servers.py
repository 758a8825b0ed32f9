"""What a rotation changes on servers, and whether the new password lets in."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from msgspec.structs import replace

from mngdb import stopping
from mngdb.errors import MngdbError, StepError
from mngdb.events import Done, Progress
from mngdb.model import DesiredInstance
from mngdb.ops import audit
from mngdb.ops.context import Context
from mngdb.ops.rotate import sessions
from mngdb.ops.rotate.note import ADMIN, Entry
from mngdb.secret import SECOND, Secret, generate
from mngdb.spec.agent import MONITOR
from mngdb.spec.stack import Instance
from mngdb.targets.converge import Converger

#: Logins that are tried at the same time.
_THREADS = 8
#: Seconds that a provider takes, at most, until every node knows a login that he was told of.
_SPREAD = 120.0
#: Kinds of errors of a server that nobody gets into for now.
_AWAY = {"down", "starting", "stopping"}


class Servers:
    """The servers of a stack. Methods return what was refused."""

    def __init__(self, context: Context, on_event: Callable[[object], None]) -> None:
        self.context, self.on_event = context, on_event

    def tell(self, instance: Instance, text: str) -> None:
        """Say what is done to one."""
        self.on_event(Progress(instance.unit, text))

    def converge(self, instance: Instance, apps: Sequence[Entry]) -> dict[str, MngdbError]:
        """Bring both logins of these apps to what is asked, by the vault's names."""
        names = [name for one in apps for name in (one.login, one.login + SECOND)]
        asked = self.context.asked(instance, only=[one.login for one in apps])
        refused = self._converger(asked).logins(names)
        return {one.secret: refused[one.login] for one in apps if one.login in refused}

    def tried(self, instance: Instance, apps: Sequence[Entry]) -> dict[str, MngdbError]:
        """Log in by the new passwords: what does not let in here is not published. Where the old
        one has leaked it is, on a server of ours: whoever knows that can refuse us the login for as
        long as they are in."""
        context, engine = self.context, self.context.engine(instance)
        found = context.vault.get_many([one.secret for one in apps], "pending")
        new = {one.login: found[one.secret].usable() or generate() for one in apps}
        asked = context.asked(instance, only=new)
        asked = replace(asked, secrets={**asked.secrets, **new})
        at = context.admin(asked)
        end = time.monotonic() + _SPREAD

        def log_in(one: Entry) -> MngdbError | None:
            while True:
                try:
                    with engine.connect(engine.login(asked, at, one.login), sessions.LOGIN):
                        return None
                except MngdbError as error:
                    kind = getattr(error, "kind", "down")
                    if one.now and instance.managed and kind not in _AWAY:
                        self.tell(instance, f"{one.login} could not be tried: {error.message}")
                        return None
                    if not instance.hosted or time.monotonic() > end:
                        return error
                stopping.sleep(1.0)

        with context.reach(instance), ThreadPoolExecutor(_THREADS) as pool:
            answers = zip(apps, pool.map(log_in, apps), strict=True)
            return {one.secret: error for one, error in answers if error is not None}

    def change(self, instance: Instance, new: Mapping[str, Secret]) -> dict[str, StepError]:
        """Give the administrator and the monitor these passwords, whichever they have; by
        login."""
        asked = self.context.asked(instance, only=new)
        admin = new.get(ADMIN)
        if admin is not None and asked.secrets[ADMIN] != admin:
            self._converger(asked).change_admin(admin)
        asked = replace(asked, secrets={**asked.secrets, **new})
        return self._converger(asked).logins(new.keys() - {ADMIN})

    def hang_up(self, instance: Instance, new: Mapping[str, Secret]) -> None:
        """What old passwords of the administrator and the monitor opened ends, before anybody
        knows the new ones. Where the server does not allow that, people are told."""
        asked = self.context.asked(instance, only=new)
        asked = replace(asked, secrets={**asked.secrets, **new})
        try:
            sessions.end_others(self.context, asked, new.keys())
        except MngdbError as error:
            text = f"sessions of the old password of {', '.join(new)} go on: {error.message}"
            self.tell(instance, text)

    def rewritten(self, instance: Instance, due: Sequence[Entry]) -> dict[str, MngdbError]:
        """Files that say by which login an app comes, of servers in containers."""
        if instance.contained:
            only = [one.login for one in due]
            self._converger(self.context.asked(instance, only=only)).logins(())
        return {}

    def write_secrets(self, changed: Sequence[Entry]) -> None:
        """Files that containers read, and what runs beside servers by the monitor's password."""
        context = self.context
        names = {one.name for one in context.stack.instances.values() if one.contained}
        if not names:
            return
        asked = context.all_asked(only=names)
        for servers in context.servers():
            servers.write_secrets(context.there(asked, servers))
        due = {one.instance for one in changed if one.login == MONITOR}
        for sidecars in context.sidecars() if due else ():
            for step in sidecars.steps():
                if step.instance in due and step.action == "restart":
                    step.run(None)

    def _converger(self, asked: DesiredInstance) -> Converger[Any, Any]:
        state = self.context.stack.state

        def tell(event: object) -> None:
            if isinstance(event, Done):
                audit.note(state, "rotate", event.step, event.error)

        return self.context.target(asked.instance).converger(asked, tell)
