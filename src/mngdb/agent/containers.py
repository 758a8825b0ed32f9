"""The containers of the stack, looked at again and again. Docker starts again what died."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mngdb.errors import MngdbError
from mngdb.ops.context import Context

if TYPE_CHECKING:
    from mngdb.targets.compose.containers import Health

#: Seconds that the Docker engine has for an answer.
_TIMEOUT = 5.0


class Containers:
    """What the Docker engine says of the stack's servers, as of the last look."""

    def __init__(self, context: Context) -> None:
        self._context = context
        here = [one for one in context.stack.instances.values() if one.target.compose is not None]
        self._units = [instance.unit for instance in here]
        self._asked_root = False
        self.root: Path | None = None
        """Where the engine keeps data, where that is on this machine."""
        self.health: dict[str, Health] = {}
        """By unit; empty until the first look."""

    def __bool__(self) -> bool:
        return bool(self._units)

    def look(self) -> None:
        """Ask the engine. Raises MngdbError when it does not answer; every unit is down then."""
        from mngdb.targets.compose.containers import Health

        project = self._context.compose.project
        try:
            self.health = project.health(self._units, _TIMEOUT)
        except MngdbError:
            gone = Health(up=False, restarts=0)
            last = {unit: self.health.get(unit, gone) for unit in self._units}
            self.health = {unit: replace(found, up=False) for unit, found in last.items()}
            raise
        if not self._asked_root:
            self.root = project.data_root()
            self._asked_root = True
