"""The containers of the stack, looked at again and again. Docker starts again what died."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mngdb.errors import MngdbError
from mngdb.ops.context import Context
from mngdb.spec.stack import Member
from mngdb.targets.protocol import Health

#: Seconds that the Docker engine has for an answer.
_TIMEOUT = 5.0


class Containers:
    """What the Docker engine says of the stack's servers, as of the last look."""

    def __init__(self, context: Context) -> None:
        every = context.stack.members.values()
        found = [(one.name, context.target(one.instance).supervisor) for one in every]
        self._units = [unit for unit, supervisor in found if supervisor is not None]
        self._supervisor = next((one for _, one in found if one is not None), None)
        self._asked_root = False
        self.root: Path | None = None
        """Where the engine keeps data, where that is on this machine."""
        self.health: dict[str, Health] = {}
        """By unit, as long as the engine answers; empty until the first look."""
        self.lost = ""
        """Why the engine did not answer the last look; empty: it did."""

    def __bool__(self) -> bool:
        return bool(self._units)

    def why(self, member: Member) -> Callable[[], str]:
        """Tells, asked again and again, why the way to a server is closed; empty: it is not."""
        here = member.name in self._units
        return lambda: self.lost if here else ""

    def look(self) -> None:
        """Ask the engine. Raises MngdbError when it does not answer; whether a unit runs is then
        unknown."""
        supervisor = self._supervisor
        if supervisor is None:
            return
        try:
            self.health, self.lost = dict(supervisor.health(self._units, _TIMEOUT)), ""
        except MngdbError as error:
            self.lost = error.message
            raise
        if not self._asked_root:
            self.root = supervisor.data_root()
            self._asked_root = True
