"""An instance of a server that somebody else runs: nothing is started there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from msgspec.structs import replace

from mngdb.engines.protocol import F, S
from mngdb.events import Survey
from mngdb.model import Access, Change, Notice, Outcome, Step
from mngdb.targets.converge import Converger
from mngdb.targets.external.advice import advice

#: The check of what `_unverified` tells.
_VERIFIED = "stack.server-verified"


@dataclass
class ExternalConverger(Converger[S, F]):
    """Works on one instance. `admin` is the administrator's access."""

    admin: Access

    def survey(self) -> Survey:
        with self.connected() as session:
            found = self._look(session)
        steps = (*self._settings(found), *found.steps)
        return Survey(steps, (*self._unverified(), *found.notices))

    @contextmanager
    def connected(self) -> Iterator[S]:
        name = self.asked.instance.name
        with advice(name, admin=True), self.engine.connect(self.admin) as session:
            yield session

    def _up(self, *, restart: bool) -> Outcome[S]:
        with self.connected() as session:
            found = self._converge(session)
        return replace(found, notices=(*self._unverified(), *found.notices))

    def _unverified(self) -> tuple[Notice, ...]:
        """What is at stake on the way there."""
        stake = self.engine.unverified(self.admin)
        hint = f"mngdb check --only {_VERIFIED} shows the remedy"
        return (Notice(self.asked.instance.name, stake, hint),) if stake else ()

    def _settings(self, outcome: Outcome[S]) -> list[Step[S]]:
        """Those that a running server takes, one step each."""
        instance = self.asked.instance

        def step(change: Change) -> Step[S]:
            return Step(
                instance.name,
                instance.engine,
                "change",
                f"setting {change.name}",
                change.text,
                lambda session: self.engine.apply(session, [change]),
            )

        return [step(change) for change in outcome.changes]
