"""One instance, from what is asked to what is: the same steps for `plan` and for `up`."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic

from mngdb.engines.protocol import Engine, F, S
from mngdb.errors import ConnectError, MngdbError, StepError
from mngdb.host import Host, State
from mngdb.model import Asked, Change, Outcome, Remark, Step
from mngdb.ops.context import Context
from mngdb.ops.events import Done, Survey
from mngdb.ops.unit import ManagedUnit, data_missing

#: Rounds of looking and changing before we say that it does not converge.
_ROUNDS = 3
#: Seconds that `plan` waits for a running server.
_PLAN_TIMEOUT = 10.0

#: The check of what `_way` tells.
_WAY = "stack.server-verified"
_LATER = "what is in it is compared when it runs as the file says"


@dataclass
class Converger(Generic[S, F]):
    """Works on one instance. `emit` takes Progress and Done."""

    context: Context
    asked: Asked
    emit: Callable[[object], None]
    engine: Engine[S, F] = field(init=False)
    unit: ManagedUnit[S, F] | None = field(init=False, default=None)
    _host: Host = field(init=False)
    fresh: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.engine = self.context.engine(self.asked.instance)
        self.name = self.asked.instance.unit
        if self.asked.managed:
            self._host = self.context.host(self.asked.instance)
            self.unit = ManagedUnit(self._host, self.engine, self.asked, self.emit)

    # --- looking

    def survey(self) -> Survey:
        """The steps that `up` would take now. Changes nothing."""
        with self.context.reach(self.asked.instance):
            return self._survey()

    def _survey(self) -> Survey:
        if self.unit is None:
            with self.engine.connect(self.context.admin(self.asked)) as session:
                found = self._look(session)
            steps = (*self._foreign(found.changes), *found.steps)
            return Survey(steps, (*self._way(), *found.remarks))
        unit, state = self.unit, self._state()
        later = (Remark(self.asked.instance.name, _LATER, "mngdb up"),)
        if state == "running":
            try:
                with unit.session(_PLAN_TIMEOUT, unit.moved()) as session:
                    found = self._look(session)
            except ConnectError as error:
                return Survey((unit.regain(error),), later)
            return Survey((*unit.file_steps(found), *found.steps), found.remarks)
        self._host.preflight(unit.unit, self.asked.instance)
        if state != "absent":
            return Survey((unit.start(),), later)
        found = self._blank()
        return Survey((unit.create(), unit.start(), *found.steps), found.remarks)

    def _state(self) -> State:
        """What there is of the unit. Raises MngdbError where its data is missing, and the command
        does not say that it may begin without."""
        state = self._host.state(self.name)
        lost = state == "running" and self._host.missing(self.name)
        if lost or (state == "missing" and self.name not in self.asked.allow):
            raise data_missing(self._host, self.name)
        return state

    def _blank(self) -> Outcome:
        return self.engine.reconcile(self.asked, self.engine.blank(self.asked))

    def _look(self, session: S) -> Outcome:
        return self.engine.reconcile(self.asked, self.engine.observe(session, self.asked))

    # --- changing

    def up(self, *, restart: bool = False) -> Survey:
        """Make it so, with `restart` by a start anew. Returns the destructive steps that nobody
        allowed, and the remarks."""
        begun = time.monotonic()
        with self.context.reach(self.asked.instance):
            if self.unit is None:
                found = self._external()
            elif restart and self._host.state(self.name) == "running":
                found = self._anew(self.unit)
            else:
                found = self._managed(self.unit)
        left = tuple(step.bare() for step in found.steps)
        known = self.engine.unmarked(self.asked)
        remarks = (*self._way(), *found.remarks)
        kept = {step.object for step in left if step.destructive} & self.asked.known
        return Survey(left, remarks, time.monotonic() - begun, known | kept)

    def _way(self) -> tuple[Remark, ...]:
        """What is at stake on the way to a server of somebody else."""
        stake = "" if self.unit else self.engine.unverified(self.context.admin(self.asked))
        hint = f"mngdb check --only {_WAY} says what helps"
        return (Remark(self.asked.instance.name, stake, hint),) if stake else ()

    def _external(self) -> Outcome:
        with self.engine.connect(self.context.admin(self.asked)) as session:
            return self._converge(session)

    def _anew(self, unit: ManagedUnit[S, F]) -> Outcome:
        """Nobody is asked before: one that hangs is restarted, too."""
        self._host.fits(unit.unit, self.asked.instance)
        self._host.verify(unit.unit)
        self._do(unit.restart("asked for"), None)
        with unit.session() as session:
            return self._started(session, unit)

    def _managed(self, unit: ManagedUnit[S, F]) -> Outcome:
        state = self._state()
        if state == "missing":
            self._host.forget(self.name)
            state = self._host.state(self.name)
        if state != "running":
            # the driver is imported while the server is made and starts
            threading.Thread(target=self._warm, daemon=True).start()
            if state == "absent":
                self.fresh = True
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

    def _started(self, session: S, unit: ManagedUnit[S, F], *, again: bool = True) -> Outcome:
        """Go on with a server that was started with the files as they are now."""
        seen = self._look(session)
        if again and any(not change.hot for change in seen.changes):
            # something lay over our files when it started (PostgreSQL: ALTER SYSTEM)
            hot = tuple(change for change in seen.changes if change.hot)
            said = ", ".join(f"{c.name} {c.found} → {c.wanted}" for c in seen.changes)
            self._do(unit.restart(said, hot), session)
            with unit.session() as fresh:
                return self._started(fresh, unit, again=False)
        if seen.changes and all(change.hot for change in seen.changes):
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

    def _running(self, session: S, unit: ManagedUnit[S, F]) -> Outcome:
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

    def _tell(self, seen: Outcome) -> None:
        """Steps of the plan that the rendered files have done already are said, not done twice."""
        left = {(step.action, step.object) for step in seen.steps}
        for step in self._blank().steps:
            if (step.action, step.object) not in left:
                self.emit(Done(step.bare(), fresh=self.fresh))

    def _converge(self, session: S, seen: Outcome | None = None) -> Outcome:
        """Look and change until nothing is left but what nobody allowed."""
        for _ in range(_ROUNDS):
            outcome = seen or self._look(session)
            seen = None
            if self.unit is not None and outcome.changes:
                self._unsettled(outcome.changes)
            todo = [*self._foreign(outcome.changes), *filter(self.may, outcome.steps)]
            if not todo:
                return outcome
            self._do_all(todo, session)
        left = self._look(session)
        names = ", ".join(f"{s.action} {s.object} ({s.detail})" for s in left.steps if self.may(s))
        if not names:
            return left
        raise StepError(
            f"{self.name} is not as asked after {_ROUNDS} rounds; what remains: {names}",
            "something else may be changing this server",
        )

    def _unsettled(self, changes: tuple[Change, ...]) -> None:
        texts = ", ".join(f"{c.name} is {c.found}, asked for {c.wanted}" for c in changes)
        raise StepError(
            f"{self.name} did not take its settings: {texts}",
            f"mngdb logs {self.asked.instance.name}",
        )

    def may(self, step: Step) -> bool:
        """Whether the command may take the step: nobody destroys by accident."""
        allow = self.asked.allow
        if not step.destructive or step.object in allow:
            return True
        # --prune is for logins: what is remembered by name is an index
        return "*" in allow and step.action == "drop" and step.object not in self.asked.known

    def _do(self, step: Step, on: S | None) -> None:
        try:
            step.run(on)
        except MngdbError as error:
            self.emit(Done(step.bare(), error.message, self.fresh))
            raise
        self.emit(Done(step.bare(), fresh=self.fresh))

    def _do_all(self, steps: list[Step], session: S) -> None:
        """Every step, also after one that the server refused. Raises the refusals, told as one."""
        refused: list[StepError] = []
        for step in steps:
            try:
                self._do(step, session)
            except StepError as error:
                refused.append(error)
            except ConnectError as error:
                if error.kind == "database":  # the others are not at fault
                    refused.append(StepError(error.message, error.hint))
                    continue
                if not refused:
                    raise
                break  # what was refused first is the cause
        if refused:
            texts = dict.fromkeys(error.message for error in refused)
            raise StepError("; ".join(texts), refused[0].hint)

    def _foreign(self, changes: tuple[Change, ...]) -> tuple[Step, ...]:
        """Hot settings of a server that somebody else runs, one step each."""

        instance = self.asked.instance

        def step(change: Change) -> Step:
            return Step(
                instance.name,
                instance.engine,
                "change",
                f"setting {change.name}",
                f"{change.found} → {change.wanted}",
                lambda session: self.engine.apply(session, [change]),
            )

        return tuple(step(change) for change in changes)
