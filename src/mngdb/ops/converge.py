"""One instance, from what is asked to what is: the same steps for `plan` and for `up`."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from mngdb.errors import ConnectError, MngdbError, StepError
from mngdb.model import Action, Asked, Change, Engine, Outcome, Remark, Step, Unit
from mngdb.ops.context import Context
from mngdb.targets.local.logs import Started

#: Seconds that a server may take until it answers (it may have to recover after a crash).
START_TIMEOUT = 120.0
#: Seconds to look for a running server where the file says, when it was started otherwise.
_MOVED_TIMEOUT = 1.0
#: Rounds of looking and changing before we say that it does not converge.
_ROUNDS = 3

_LATER = "what is in it is compared when it runs as the file says"


@dataclass(frozen=True)
class Progress:
    """An event: what a unit is doing, for people."""

    unit: str
    text: str


@dataclass(frozen=True)
class Done:
    """An event: a step was done (or, with `error`, was tried)."""

    step: Step
    error: str = ""
    fresh: bool = False
    """Whether the unit was made by this very command."""


@dataclass(frozen=True)
class Survey:
    """What `plan` shows of one instance, and what `up` could not do."""

    steps: tuple[Step, ...] = ()
    remarks: tuple[Remark, ...] = ()
    seconds: float = 0.0
    unmarked: frozenset[str] = frozenset()
    """Objects for `Context.record`."""


@dataclass
class Converger:
    """Works on one instance. `emit` takes Progress and Done."""

    context: Context
    asked: Asked
    emit: Callable[[object], None]
    engine: Engine = field(init=False)
    child: Started | None = field(init=False, default=None)
    fresh: bool = field(init=False, default=False)
    syncing: Future[None] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.engine = self.context.engine(self.asked.instance)
        self.name = self.asked.instance.unit

    # --- looking

    def survey(self) -> Survey:
        """The steps that `up` would take now. Changes nothing."""
        if not self.asked.managed:
            with self.session() as session:
                return self._survey((), self._look(session))
        unit = self.engine.render(self.asked)
        state = self.context.host.state(unit.name)
        if state == "running":
            try:
                with self.session(10.0, self._moved_timeout(unit)) as session:
                    outcome = self._look(session)
            except ConnectError as error:
                later = Remark(self.asked.instance.name, _LATER, "mngdb up")
                return self._survey((self._regain(unit, error),), Outcome(remarks=(later,)))
            return self._survey(self._file_steps(unit, outcome.changes), outcome)
        self.context.host.preflight(unit, self.asked.instance)
        if state == "absent":
            steps = (self._create(unit), self._start(unit))
            return self._survey(steps, self.engine.reconcile(self.asked, self._blank()))
        later = Remark(self.asked.instance.name, _LATER, "mngdb up")
        return self._survey((self._start(unit),), Outcome(remarks=(later,)))

    def _blank(self) -> Any:
        return self.engine.blank(self.asked)

    def _look(self, session: Any) -> Outcome:
        return self.engine.reconcile(self.asked, self.engine.observe(session, self.asked))

    def _survey(self, first: tuple[Step, ...], outcome: Outcome) -> Survey:
        changes = () if self.asked.managed else self._foreign(outcome.changes)
        return Survey((*first, *changes, *outcome.steps), outcome.remarks)

    # --- changing

    def up(self) -> Survey:
        """Make it so. Returns the destructive steps that nobody allowed, and the remarks."""
        begun = time.monotonic()
        found = self._managed() if self.asked.managed else self._external()
        if self.syncing is not None:
            self.syncing.result()
        left = tuple(step.bare() for step in found.steps)
        known = self.engine.unmarked(self.asked)
        kept = {step.object for step in left if step.destructive} & self.asked.known
        return Survey(left, found.remarks, time.monotonic() - begun, known | kept)

    def _external(self) -> Outcome:
        with self.session() as session:
            return self._converge(session, None)

    def _managed(self) -> Outcome:
        host, unit = self.context.host, self.engine.render(self.asked)
        state = host.state(unit.name)
        if state != "running":
            # the driver is imported while the server is made and starts
            threading.Thread(target=self._warm, daemon=True).start()
            if state == "absent":
                self.fresh = True
                self._do(self._create(unit), host)
            self._do(self._start(unit), host)
        moved = self._moved_timeout(unit) if state == "running" else START_TIMEOUT
        try:
            with self.session(moved=moved) as session:
                if state == "running":
                    return self._running(session, unit)
                return self._started(session, unit)
        except ConnectError as error:
            regain = self._regain(unit, error)
        self._do(regain, host)
        with self.session() as session:
            return self._started(session, unit)

    def _warm(self) -> None:
        with contextlib.suppress(ImportError):  # the session that needs it says so
            self.engine.warm()

    def _started(self, session: Any, unit: Unit, *, again: bool = True) -> Outcome:
        """Go on with a server that was started with the files as they are now."""
        seen = self._look(session)
        if again and any(not change.hot for change in seen.changes):
            # something lay over our files when it started (PostgreSQL: ALTER SYSTEM)
            hot = tuple(change for change in seen.changes if change.hot)
            said = ", ".join(f"{c.name} {c.found} → {c.wanted}" for c in seen.changes)
            self._do(self._restart(unit, said, hot), session)
            with self.session() as fresh:
                return self._started(fresh, unit, again=False)
        if seen.changes and all(change.hot for change in seen.changes):
            # what would lose data at a start waits until the server runs (Redis: appendonly)
            self.engine.apply(session, seen.changes)
            seen = self._look(session)
        self.context.host.confirm(unit)
        if self.fresh:
            self._tell(seen)
        return self._converge(session, unit, seen)

    def _running(self, session: Any, unit: Unit) -> Outcome:
        outcome = self._look(session)
        steps = self._file_steps(unit, outcome.changes)
        if not steps:
            return self._converge(session, unit, outcome)
        for step in steps:
            if not step.restart:
                self._do(step, session)
        restart = next((step for step in steps if step.restart), None)
        if restart is None:
            self.context.host.confirm(unit)
            return self._converge(session, unit)
        self._do(restart, session)
        with self.session() as again:
            return self._started(again, unit)

    def _tell(self, seen: Outcome) -> None:
        """Steps of the plan that the rendered files have done already are said, not done twice."""
        left = {(step.action, step.object) for step in seen.steps}
        for step in self.engine.reconcile(self.asked, self._blank()).steps:
            if (step.action, step.object) not in left:
                self.emit(Done(step.bare(), fresh=self.fresh))

    def _converge(self, session: Any, unit: Unit | None, seen: Outcome | None = None) -> Outcome:
        """Look and change until nothing is left but what nobody allowed."""
        for _ in range(_ROUNDS):
            outcome = seen or self._look(session)
            seen = None
            todo = [step for step in outcome.steps if self._may(step)]
            changes = () if unit else self._foreign(outcome.changes)
            if not todo and not changes and not (unit and outcome.changes):
                return outcome
            if unit and outcome.changes:
                self._unsettled(outcome.changes)
            self._do_all((*changes, *todo), session)
        left = self._look(session)
        names = ", ".join(f"{s.action} {s.object} ({s.detail})" for s in left.steps if self._may(s))
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

    def _may(self, step: Step) -> bool:
        allow = self.asked.allow
        return (
            not step.destructive or step.object in allow or (step.action == "drop" and "*" in allow)
        )

    def _do(self, step: Step, on: Any) -> None:
        try:
            step.run(on)
        except MngdbError as error:
            self.emit(Done(step.bare(), error.message, self.fresh))
            raise
        self.emit(Done(step.bare(), fresh=self.fresh))

    def _do_all(self, steps: tuple[Step, ...], session: Any) -> None:
        """Every step, also after one that the server refused. Raises the refusals, told as one."""
        refused: list[StepError] = []
        for step in steps:
            try:
                self._do(step, session)
            except StepError as error:
                refused.append(error)
            except ConnectError:
                if not refused:
                    raise
                break  # what was refused first is the cause
        if refused:
            texts = dict.fromkeys(error.message for error in refused)
            raise StepError("; ".join(texts), refused[0].hint)

    # --- the unit's own steps

    def _step(
        self,
        action: Action,
        what: str,
        detail: str,
        run: Callable[[Any], None],
        *,
        restart: bool = False,
    ) -> Step:
        instance = self.asked.instance
        return Step(instance.name, instance.engine, action, what, detail, run, restart)

    def _title(self) -> str:
        if self.asked.site is None:
            raise ValueError("an external server has no unit")
        program = self.asked.site.program
        return f"{self.engine.title} {program.version} from {program.source}"

    def _create(self, unit: Unit) -> Step:
        def run(_: Any) -> None:
            self.emit(Progress(unit.name, f"new data folder for {self._title()}"))
            self.context.host.write(unit, self.asked)
            self.context.host.prepare(unit)
            pool = ThreadPoolExecutor(1)
            self.syncing = pool.submit(self.context.host.sync, unit)
            pool.shutdown(wait=False)

        return self._step("create", unit.name, f"data folder, {self._title()}", run)

    def _start(self, unit: Unit) -> Step:
        spec = self.asked.instance.spec
        where = ", ".join(f"{host}:{spec.port}" for host in spec.bind)

        def run(_: Any) -> None:
            self.emit(Progress(unit.name, f"starting on {where}"))
            self.context.host.write(unit, self.asked)
            self.context.host.prepare(unit)
            self.child = self.context.host.start(unit)

        return self._step("start", unit.name, f"{self._title()} on {where}", run)

    def _regain(self, unit: Unit, error: ConnectError) -> Step:
        """The restart after which we reach the server again. Raises `error` where none helps."""
        host, instance = self.context.host, self.asked.instance
        if error.kind not in {"auth", "down", "tls"}:
            raise error
        if error.kind != "auth" and not self._stale(unit):
            raise error
        # where the file says it listens, it may be somebody else who answers
        host.preflight(unit, instance)
        if error.kind == "auth":
            return self._restart(unit, "the administrator's secret is another one")
        return self._restart(unit, "its port, address or TLS are not as in the file")

    def _stale(self, unit: Unit) -> bool:
        host = self.context.host
        return bool(host.stale_files(unit)) or host.certificate_due(self.asked.instance)

    def _moved_timeout(self, unit: Unit) -> float:
        return _MOVED_TIMEOUT if self._stale(unit) else START_TIMEOUT

    def _restart(self, unit: Unit, why: str, hot: tuple[Change, ...] = ()) -> Step:
        def run(session: Any) -> None:
            host = self.context.host
            if hot:
                # some settings have to be live before the server stops (Redis: appendonly)
                self.engine.apply(session, hot)
            self.emit(Progress(unit.name, f"restarting: {why}"))
            before = host.snapshot(unit)
            host.write(unit, self.asked)
            host.stop(unit.name, self.engine.stop_signal)
            try:
                self.child = host.start(unit)
                with self.session():
                    pass
            except StepError as error:
                # better the old settings than no server
                host.put_back(unit, before)
                self.child = host.start(unit)
                if session is not host:  # else the old ones are not those that we log in by
                    with self.session():
                        files = tuple(replace(f, content=before[f.name] or "") for f in unit.files)
                        host.confirm(replace(unit, files=files))
                raise StepError(
                    f"{unit.name} does not start with the new settings and runs with the old "
                    f"ones: {error.message}",
                    error.hint,
                ) from None

        return self._step("restart", unit.name, why, run, restart=True)

    def _file_steps(self, unit: Unit, changes: tuple[Change, ...]) -> tuple[Step, ...]:
        """What bring the rendered files to a running server."""
        host = self.context.host
        host.verify(unit)
        stale = host.stale_files(unit)
        due = host.certificate_due(self.asked.instance)
        said = [f"{c.name} {c.found} → {c.wanted}" for c in changes]
        if due:
            said.append("a new certificate")
        cold = sorted(set(stale) & unit.cold_files)
        if due or cold or any(not change.hot for change in changes):
            hot = tuple(change for change in changes if change.hot)
            return (self._restart(unit, ", ".join(said + cold), hot),)
        if not stale and not changes:
            return ()

        def run(session: Any) -> None:
            host.write(unit, self.asked)
            self.engine.apply(session, changes)

        detail = ", ".join(said) or ", ".join(stale)
        return (self._step("reload", unit.name, detail, run),)

    def _foreign(self, changes: tuple[Change, ...]) -> tuple[Step, ...]:
        """Hot settings of a server that somebody else runs, one step each."""

        def step(change: Change) -> Step:
            return self._step(
                "change",
                f"setting {change.name}",
                f"{change.found} → {change.wanted}",
                lambda session: self.engine.apply(session, [change]),
            )

        return tuple(step(change) for change in changes)

    # --- sessions

    @contextmanager
    def session(
        self, patience: float = START_TIMEOUT, moved: float = START_TIMEOUT
    ) -> Iterator[Any]:
        """The administrator's session; a server that was just started is waited for, `patience`
        seconds in all, and `moved` seconds where nothing listens."""
        if not self.asked.managed:
            with self.engine.connect(self.context.admin(self.asked)) as session:
                yield session
            return
        begun = time.monotonic()
        deadline = begun + patience
        with ExitStack() as stack:
            while True:
                attempt = self.engine.bootstrap(self.asked, min(deadline, time.monotonic() + 0.5))
                try:
                    session = stack.enter_context(attempt)
                    break
                except ConnectError as error:
                    if self.child is not None:
                        self.context.host.check(self.engine.render(self.asked), self.child)
                    limit = min(deadline, begun + moved) if error.kind == "down" else deadline
                    if error.kind not in {"down", "starting"} or time.monotonic() > limit:
                        raise
            yield session
