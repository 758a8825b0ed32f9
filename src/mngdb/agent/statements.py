"""Keeps what the statements of a server have cost so far, again and again, for `slow --since`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mngdb.agent.jobs import Troubles
from mngdb.errors import MngdbError
from mngdb.ops.context import Context
from mngdb.ops.history import History
from mngdb.spec.agent import MONITOR
from mngdb.spec.stack import Instance

#: Seconds that a server may take to answer.
_PATIENCE = 10.0


class Statements:
    """The snapshots of those servers that tell only sums."""

    def __init__(self, context: Context, instances: Sequence[Instance], folder: Path) -> None:
        self._context = context
        self._instances = [one for one in instances if context.engine(one).statements]
        self._history = History(folder)
        self._troubles = Troubles()

    def keep(self) -> None:
        """A round. A server that is down is told once, and left out."""
        for instance in self._instances:
            wrong = ""
            try:
                self._keep(instance)
            except MngdbError as error:
                wrong = f"its statements are not recorded: {error.message}"
            self._troubles.tell(instance.name, wrong, "its statements are recorded again")

    def _keep(self, instance: Instance) -> None:
        context, engine = self._context, self._context.engine(instance)
        asked = context.as_login(instance, MONITOR)
        access = context.login(asked, MONITOR)
        with context.reach(instance), engine.connect(access, _PATIENCE) as session:
            if engine.statements:
                self._history.keep(instance.name, engine.statements(session, asked))
