"""An instance whose server we start: its unit first, then what is in it."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from msgspec.structs import replace

from mngdb.engines.protocol import F, S
from mngdb.errors import ConnectError, MngdbError, StepError
from mngdb.events import Done, Survey
from mngdb.model import Notice, Outcome, Step
from mngdb.targets.additive import sparing
from mngdb.targets.converge import Converger
from mngdb.targets.process.runner import Runner
from mngdb.targets.process.unit import ManagedUnit, data_missing
from mngdb.targets.protocol import State

#: Seconds that `plan` waits for a running server.
_PLAN_TIMEOUT = 10.0
#: The same of one that listens where earlier files said.
_ELSEWHERE = 3.0
_LATER = "its contents are compared once it runs with the settings of the file"


@dataclass
class ProcessConverger(Converger[S, F]):
    """Works on one instance in a place of `runner`."""

    runner: Runner
    unit: ManagedUnit[S, F] = field(init=False)
    _made: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.unit = ManagedUnit(self.runner, self.engine, self.asked, self.emit)

    @property
    def fresh(self) -> bool:
        return self._made

    # --- looking

    def survey(self) -> Survey:
        with self.runner.reach(self.asked.instance):
            return self._survey()

    def _survey(self) -> Survey:
        unit, state = self.unit, self._state()
        later = (Notice(self.asked.instance.name, _LATER, "mngdb up"),)
        if state == "running":
            try:
                with unit.session(_PLAN_TIMEOUT, unit.moved()) as session:
                    found = self._look(session)
            except ConnectError as error:
                regain = unit.regain(error)
                seen = self._elsewhere() if regain.restart else None
                if seen is None:
                    return Survey((regain,), later)
                return Survey((regain, *seen.steps), seen.notices)
            return Survey((*unit.file_steps(found), *found.steps), found.notices)
        self.runner.preflight(unit.unit, self.asked.instance)
        if state != "absent":
            return Survey((unit.start(),), later)
        found = self._initial()
        return Survey((unit.create(), unit.start(), *found.steps), found.notices)

    def _elsewhere(self) -> Outcome[S] | None:
        """What differs on a server that still listens where earlier files said; None: it cannot be
        asked there."""
        site = self.asked.site
        if site is None:
            return None
        for host, port in self.runner.listeners(self.name):
            there = replace(self.asked, site=replace(site, host=host, port=port))
            with (
                contextlib.suppress(MngdbError),
                self.engine.connect(self.engine.admin(there), _ELSEWHERE) as session,
            ):
                return self._look(session)
        return None

    def _state(self) -> State:
        """What there is of the unit. Raises MngdbError where its data is missing, and the command
        does not say that it may begin without."""
        state = self.runner.state(self.name)
        lost = state == "running" and self.runner.missing(self.name)
        if lost or (state == "missing" and self.name not in self.asked.allow):
            raise data_missing(self.runner, self.asked.instance)
        return state

    def _initial(self) -> Outcome[S]:
        found = self.engine.reconcile(self.asked, self.engine.initial(self.asked))
        return sparing(self.asked, found)

    # --- changing

    @contextlib.contextmanager
    def connected(self) -> Iterator[S]:
        unit = self.unit
        with (
            self.runner.reach(self.asked.instance),
            unit.session(_PLAN_TIMEOUT, unit.moved()) as session,
        ):
            yield session

    def logins(self, names: Collection[str]) -> dict[str, StepError]:
        refused = super().logins(names)
        self.unit.write_logins()
        return refused

    def _up(self, *, restart: bool) -> Outcome[S]:
        with self.runner.reach(self.asked.instance):
            if restart and self.runner.state(self.name) == "running":
                return self._anew()
            return self._managed()

    def _anew(self) -> Outcome[S]:
        """Nobody is asked before: one that hangs is restarted, too."""
        unit = self.unit
        self.runner.fits(unit.unit, self.asked.instance)
        self.runner.verify(unit.unit)
        self._do(unit.restart("requested"), None)
        with unit.session() as session:
            return self._started(session, unit)

    def _managed(self) -> Outcome[S]:
        unit = self.unit
        state = self._state()
        if state == "missing":
            self.runner.forget(self.name)
            state = self.runner.state(self.name)
        if state != "running":
            # the driver is imported while the server is made and starts
            threading.Thread(target=self._warm, daemon=True).start()
            if state == "absent":
                self._made = True
                self._do(unit.create(), None)
            self._do(unit.start(), None)
        try:
            with unit.session(moved=unit.moved() if state == "running" else None) as session:
                if state == "running":
                    return self._running(session, unit)
                return self._started(session, unit)
        except ConnectError as error:
            regain = unit.regain(error)
        self._do(regain, None)
        with unit.session() as session:
            return self._started(session, unit)

    def _warm(self) -> None:
        # the servers that start meanwhile come first; this is the thread's own priority
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        with contextlib.suppress(ImportError):  # the session that needs it says so
            self.engine.warm()

    def _started(self, session: S, unit: ManagedUnit[S, F], *, again: bool = True) -> Outcome[S]:
        """Go on with a server that was started with the files as they are now."""
        seen = self._look(session)
        if again and any(not change.reloadable for change in seen.changes):
            # something lay over our files when it started (PostgreSQL: ALTER SYSTEM)
            reloadable = tuple(change for change in seen.changes if change.reloadable)
            said = ", ".join(f"{c.name} {c.text}" for c in seen.changes)
            self._do(unit.restart(said, reloadable), session)
            with unit.session() as fresh:
                return self._started(fresh, unit, again=False)
        if seen.changes and all(change.reloadable for change in seen.changes):
            # what would lose data at a start waits until the server runs (Redis: appendonly)
            self.engine.apply(session, seen.changes)
            seen = self._look(session)
        unit.confirm()
        unit.saw(seen)
        if self.fresh:
            self._tell(seen)
        found = self._converge(session, seen)
        unit.settle()
        return found

    def _running(self, session: S, unit: ManagedUnit[S, F]) -> Outcome[S]:
        outcome = self._look(session)
        steps = unit.file_steps(outcome)
        unit.saw(outcome)
        if not steps:
            unit.confirm()  # it may be the first time that it answers
            return self._converge(session, outcome)
        for step in steps:
            self._do(step, session)
        if any(step.restart for step in steps):
            with unit.session() as again:
                return self._started(again, unit)
        unit.confirm()
        return self._converge(session)

    def _tell(self, seen: Outcome[S]) -> None:
        """Steps of the plan that the rendered files have done already are said, not done twice."""
        left = {(step.action, step.object) for step in seen.steps}
        for step in self._initial().steps:
            if (step.action, step.object) not in left:
                self.emit(Done(step, fresh=self.fresh))

    def _settings(self, outcome: Outcome[S]) -> list[Step[S]]:
        changes = outcome.changes
        if not changes:
            return []
        texts = ", ".join(f"{c.name} is {c.found}, not {c.wanted}" for c in changes)
        raise StepError(
            f"{self.name} did not apply its settings: {texts}",
            f"mngdb logs {self.asked.instance.name}",
        )
