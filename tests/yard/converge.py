"""An instance in a yard: its server first, then what is in it."""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass

from mngdb.engines.protocol import F, S
from mngdb.errors import StepError
from mngdb.events import Done, Survey
from mngdb.model import Action, Outcome, Step
from mngdb.targets.converge import Converger
from tests.yard.servers import YardServers

#: Seconds for a server that starts.
_TIMEOUT = 60.0


@dataclass
class YardConverger(Converger[S, F]):
    """Works on one instance."""

    servers: YardServers
    initial: tuple[Step[S], ...] = ()

    def __post_init__(self) -> None:
        self.initial = self._initial()

    def survey(self) -> Survey:
        if self.servers.process(self.name) is None:
            return Survey((self._start(), *self.initial))
        with self.engine.bootstrap(self.asked, time.monotonic() + _TIMEOUT) as session:
            found = self._look(session)
        return Survey((*self._settings(found), *found.steps), found.notices)

    def connected(self) -> AbstractContextManager[S]:
        return self.engine.bootstrap(self.asked, time.monotonic() + _TIMEOUT)

    def logins(self, names: Collection[str]) -> dict[str, StepError]:
        refused = super().logins(names)
        unit = self.engine.render(self.asked)
        if set(self.servers.stale(unit)) <= unit.login_files:
            self.servers.write(unit)
        return refused

    def _up(self, *, restart: bool) -> Outcome[S]:
        begun = self.servers.process(self.name) is None
        if begun:
            self._do(self._start(), None)
        elif restart:
            self._do(self._restart("asked for"), None)
        with self.engine.bootstrap(self.asked, time.monotonic() + _TIMEOUT) as session:
            found = self._look(session)
            steps = self._settings(found)
            if begun:
                self._tell(found)
            if not any(step.restart for step in steps):
                return self._converge(session, found)
            self._do(steps[0], session)
        with self.engine.bootstrap(self.asked, time.monotonic() + _TIMEOUT) as session:
            return self._converge(session)

    def _initial(self) -> tuple[Step[S], ...]:
        """What a server needs that was made by this very command."""
        if self.servers.state(self.name) != "absent":
            return ()
        return self.engine.reconcile(self.asked, self.engine.initial(self.asked)).steps

    def _tell(self, seen: Outcome[S]) -> None:
        """Steps of the plan that the server's files have done are said, not done twice."""
        left = {(step.action, step.object) for step in seen.steps}
        for step in self.initial:
            if (step.action, step.object) not in left:
                self.emit(Done(step))

    def _settings(self, outcome: Outcome[S]) -> list[Step[S]]:
        """A restart where a file or a setting needs one, else a reload where one differs."""
        unit, changes = self.engine.render(self.asked), outcome.changes
        stale = self.servers.stale(unit)
        said = ", ".join([*stale, *(f"{c.name} {c.found} → {c.wanted}" for c in changes)])
        if set(stale) & unit.cold_files or not all(change.reloadable for change in changes):
            return [self._restart(said)]
        if not said:
            return []

        def run(session: S) -> None:
            self.servers.write(unit)
            self.engine.apply(session, changes)

        return [self._step("reload", said, run)]

    def _start(self) -> Step[S | None]:
        unit = self.engine.render(self.asked)
        return self._step(
            "start", self.servers.place(self.name), lambda _: self.servers.start(unit)
        )

    def _restart(self, why: str) -> Step[S | None]:
        unit = self.engine.render(self.asked)

        def run(_: object) -> None:
            if not self.servers.stop(self.name, self.engine.stop_signal):
                raise StepError(f"{self.name} ended before it was stopped")
            self.servers.start(unit)

        return self._step("restart", why, run)

    def _step(self, action: Action, detail: str, run: object) -> Step[S | None]:
        instance = self.asked.instance
        restart = action == "restart"
        return Step(instance.name, instance.engine, action, self.name, detail, run, restart)  # type: ignore[arg-type]
