"""One instance, from what is asked to what is: the same steps for `plan` and for `up`."""

from __future__ import annotations

import shlex
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic

from mngdb import stopping
from mngdb.engines.protocol import Engine, F, S, T
from mngdb.errors import ConnectError, MngdbError, OvertakenError, StepError
from mngdb.events import Done, Survey
from mngdb.model import DesiredInstance, Outcome, Step
from mngdb.secret import Secret, app_of
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.targets.additive import additive, logins_kept, sparing
from mngdb.words import COSTS

#: Rounds of looking and changing before we say that it does not converge.
_ROUNDS = 3


@dataclass
class Converger(ABC, Generic[S, F]):
    """Works on one instance. `emit` takes Progress and Done."""

    engine: Engine[S, F, object]
    asked: DesiredInstance
    emit: Callable[[object], None]

    @property
    def name(self) -> str:
        """The unit's name, for people."""
        return self.asked.instance.unit

    @property
    def fresh(self) -> bool:
        """Whether the server was made by this very command."""
        return False

    @abstractmethod
    def survey(self) -> Survey:
        """The steps that `up` would take now. Changes nothing."""

    @abstractmethod
    def _up(self, *, restart: bool) -> Outcome[S]:
        """Make it so. Returns what is left."""

    @abstractmethod
    def _settings(self, outcome: Outcome[S]) -> list[Step[S]]:
        """Steps for settings that are not as wanted. Raises StepError where there should be none
        by now."""

    def up(self, *, restart: bool = False) -> Survey:
        """Make it so, with `restart` by a start anew. Returns the destructive steps that nobody
        allowed, and the remarks."""
        begun = time.monotonic()
        found = self._up(restart=restart)
        left = found.steps
        known = self.engine.unmarked(self.asked)
        kept = {step.object for step in left if step.destructive} & self.asked.known
        return Survey(left, found.notices, time.monotonic() - begun, known | kept)

    @abstractmethod
    def connected(self) -> AbstractContextManager[S]:
        """The administrator's session on a server that runs. Raises ConnectError."""

    def logins(self, names: Collection[str]) -> dict[str, StepError]:
        """Bring these logins alone to what is asked; no other step is taken, nothing is restarted.
        Returns by app (or `monitor`) what was refused, also where that takes a consent that the
        command does not give: it costs nobody else anything. Raises ConnectError."""
        refused: dict[str, StepError] = {}
        if not names:
            return refused
        prefix = ENGINE_INFO[self.asked.instance.engine].login
        wanted = {prefix + name: app_of(name) for name in names}
        with self.connected() as session:
            # one look: a rotation logs in by what was made
            found = self.engine.observe(session, self.asked, logins=True)
            for step in self.engine.reconcile(self.asked, found).steps:
                if step.object not in wanted:
                    continue
                try:
                    self._permit(step)
                    self._do_all([step], session)
                except StepError as error:
                    refused.setdefault(wanted[step.object], error)
        return refused

    def _permit(self, step: Step[Any]) -> None:
        """Raises StepError for a step that takes a consent which the command does not give."""
        if not self.may(step):
            allow = f"mngdb up --allow {shlex.quote(step.object)}"
            raise StepError(f"{step.object}: {step.detail}", allow)

    def change_admin(self, secret: Secret) -> None:
        """Give the administrator another password in place of the one that it has. Raises
        StepError, ConnectError."""
        with self.connected() as session:
            self.engine.change_password(session, secret)

    def kept(self) -> frozenset[str]:
        """The logins of the file that others made on an adopted server: their passwords stay, so
        that no secret is made for them. Raises ConnectError."""
        with self.connected() as session:
            found = self.engine.observe(session, self.asked, logins=True)
        return logins_kept(self.asked, self.engine.reconcile(self.asked, found))

    def _look(self, session: S) -> Outcome[S]:
        found = self.engine.reconcile(self.asked, self.engine.observe(session, self.asked))
        return sparing(self.asked, additive(self.asked, found))

    def _converge(self, session: S, seen: Outcome[S] | None = None) -> Outcome[S]:
        """Look and change until nothing is left but what nobody allowed."""
        for _ in range(_ROUNDS):
            outcome = seen or self._look(session)
            seen = None
            todo = [*self._settings(outcome), *filter(self.may, outcome.steps)]
            if not todo:
                return outcome
            self._do_all(todo, session)
        left = self._look(session)
        names = ", ".join(f"{s.action} {s.object} ({s.detail})" for s in left.steps if self.may(s))
        if not names:
            return left
        raise StepError(
            f"{self.name} still differs from the file after {_ROUNDS} rounds; remaining: {names}",
            "something else may be changing this server",
        )

    def may(self, step: Step[Any]) -> bool:
        """Whether the command may take the step: nobody destroys by accident."""
        allow = self.asked.allow
        if step.costs and COSTS not in allow:
            return False
        if not step.destructive or step.object in allow:
            return True
        # --prune is for logins: what is remembered by name is an index
        return "*" in allow and step.action == "drop" and step.object not in self.asked.known

    def _do(self, step: Step[T], on: T) -> None:
        stopping.check()
        try:
            step.run(on)
        except OvertakenError:
            raise
        except MngdbError as error:
            self.emit(Done(step, error.message, self.fresh))
            raise
        self.emit(Done(step, fresh=self.fresh))

    def _do_all(self, steps: list[Step[S]], session: S) -> None:
        """Every step, also after one that the server refused. Raises the refusals, told as one."""
        refused: list[StepError] = []
        for step in steps:
            try:
                self._do(step, session)
            except OvertakenError:
                continue  # the next round sees what is there
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
            raise StepError.together(refused)
