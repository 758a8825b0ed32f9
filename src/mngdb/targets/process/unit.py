"""The unit of a managed instance: made, started, restarted, and reached.

Everything is a step, so that `plan` can show it. Nothing here knows what is in the server.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic

from msgspec.structs import replace

from mngdb import stopping
from mngdb.engines.protocol import Engine, F, S, T
from mngdb.errors import ConnectError, MngdbError, StepError
from mngdb.events import Progress, Stopped
from mngdb.model import SERVER, Action, Change, DesiredInstance, Outcome, Step, Unit
from mngdb.spec.stack import Instance
from mngdb.targets.process import waiting
from mngdb.targets.process.runner import Runner
from mngdb.targets.process.waiting import MOVED_TIMEOUT, TUNNEL_MOVED, Wait, need_awake

#: Seconds after which an attempt is made anew, having looked whether the server still lives.
_ATTEMPT = 0.5
#: The same where each connection has a process of its own to start.
_TUNNEL_ATTEMPT = 5.0
#: Seconds after which a server that cannot be asked is taken to have started; between two looks.
_LIVES, _LOOK = 10.0, 0.05


def data_missing(runner: Runner, instance: Instance) -> MngdbError:
    """Why a unit is not started, or touched, whose data was there and is not any more."""
    unit = instance.unit
    if runner.process(unit) is not None:
        return MngdbError(
            f"{unit}: {runner.missing(unit)}; the server is still running, and its data is lost "
            "when it exits",
            "dump its data first (pg_dump, redis-cli --rdb, mongodump); then 'kill -9' it, and "
            f"'mngdb up --allow {unit}' starts it empty",
        )
    return MngdbError(
        f"{unit}: {runner.missing(unit)}",
        f"'mngdb backups' lists what there is of it, 'mngdb restore {instance.name} --latest "
        f"--replace' brings it back; to start {unit} without it: mngdb up --allow {unit}",
    )


@dataclass
class ManagedUnit(Generic[S, F]):
    """One server that is ours. `emit` takes Progress."""

    runner: Runner
    engine: Engine[S, F, object]
    asked: DesiredInstance
    emit: Callable[[object], None]
    unit: Unit = field(init=False)
    child: Any = field(init=False, default=None)
    syncing: Future[None] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        unit = self.runner.adapt(self.engine.render(self.asked), self.asked)
        if any(file.kept for file in unit.files):
            saved = self.runner.saved_files(unit)
            files = tuple(f.over(saved[f.name] or "") if f.kept else f for f in unit.files)
            unit = replace(unit, files=files)
        self.unit = unit

    @contextmanager
    def session(self, patience: float | None = None, moved: float | None = None) -> Iterator[S]:
        """The administrator's session. A server that does not answer yet is waited for, see
        `Wait`."""
        wait = Wait(
            *(self.runner, self.engine, self.asked.instance, self.unit, self.child, self.emit),
            patience,
            moved,
        )
        need_awake(self.runner, self.asked.instance)
        attempt_time = _TUNNEL_ATTEMPT if self.asked.tunnel else _ATTEMPT
        with ExitStack() as stack:
            while True:
                pause = 0.0 if wait.long else attempt_time
                attempt = self.engine.bootstrap(self.asked, time.monotonic() + pause)
                try:
                    session = stack.enter_context(attempt)
                    break
                except ConnectError as error:
                    wait.after(error)
            yield session

    def confirm(self) -> None:
        """Note that the running server has read the files as they are now."""
        self.runner.confirm(self.unit)

    def write_logins(self) -> None:
        """Write the files of logins, as the running server has them by now. The other files are
        left as they are."""
        unit, runner = self.unit, self.runner
        if not unit.login_files.intersection(runner.stale_files(unit)):
            return
        others = [file for file in unit.files if file.name not in unit.login_files]
        saved = runner.saved_files(unit)
        alike = all(saved[file.name] == file.content for file in others)
        mine = tuple(file for file in unit.files if file.name in unit.login_files)
        runner.write(replace(unit, files=mine), self.asked)
        if alike:
            runner.confirm(unit)

    def saw(self, found: Outcome[S]) -> None:
        """Note which server was on the data: another one may not be able to read it."""
        if found.release is not None:
            self.runner.saw(self.unit, found.release)

    def settle(self) -> None:
        """Wait until a new data folder is on the disk. Raises OSError."""
        if self.syncing is not None:
            self.syncing.result()

    def _step(
        self,
        action: Action,
        what: str,
        detail: str,
        run: Callable[[T], None],
        *,
        restart: bool = False,
        kind: str = "",
    ) -> Step[T]:
        name, engine = self.asked.instance.name, self.asked.instance.engine
        return Step(name, engine, action, what, detail, run, restart, kind=kind)

    def _title(self) -> str:
        if self.asked.site is None:
            raise ValueError("an external server has no unit")
        program = self.asked.site.program
        return f"{program.product} {program.version} from {program.source}"

    def create(self) -> Step[None]:
        """Make the data folder."""
        unit = self.unit

        def run(_: None) -> None:
            self.emit(Progress(unit.name, f"new data folder for {self._title()}"))
            self.runner.write(unit, self.asked)
            self.runner.prepare(unit)
            pool = ThreadPoolExecutor(1)
            self.syncing = pool.submit(self.runner.sync, unit)
            pool.shutdown(wait=False)

        detail = f"data folder, {self._title()}"
        return self._step("create", unit.name, detail, run, kind=SERVER)

    def start(self) -> Step[None]:
        """Start the server."""
        unit, spec = self.unit, self.asked.instance.spec
        hosts = [self.asked.host] if self.asked.tunnel else spec.bind
        where = ", ".join(f"{host}:{spec.port}" for host in hosts)

        def run(_: None) -> None:
            self._fetch()
            self.emit(Progress(unit.name, f"starting on {where}"))
            self.runner.write(unit, self.asked)
            self.runner.prepare(unit)
            self.child = self.runner.start(unit)

        whose = self.runner.handover(unit)
        detail = f"{self._title()} on {where}" + (f", {whose}" if whose else "")
        return self._step("start", unit.name, detail, run)

    def _fetch(self) -> None:
        lacking = self.runner.missing_image(self.unit)
        if lacking:
            self.emit(Progress(self.unit.name, f"fetching {lacking}"))
            self.runner.fetch(self.unit)

    def regain(self, error: ConnectError) -> Step[S | None]:
        """The restart after which we reach the server again. Raises `error` where none helps."""
        runner, unit, instance = self.runner, self.unit, self.asked.instance
        if error.kind == "stopping":
            return self.restart(f"it {waiting.ending(runner, self.engine, instance)}")
        if error.kind not in {"auth", "down", "tls", "other", "stranger"}:
            raise error
        refused = error.kind in {"auth", "stranger"}
        rescue = runner.rescue(unit, self.asked) if refused else None
        if rescue is not None:
            text = "the admin password is reset to the vault's"
            return self._step("change", unit.name, text, lambda _: rescue())
        if error.kind != "auth" and not self.stale():
            raise error
        # where the file says it listens, it may be somebody else who answers
        runner.preflight(unit, instance)
        if error.kind == "auth":
            return self.restart("the admin password does not match")
        return self.restart("its port, address or TLS differ from the file")

    def stale(self) -> bool:
        """Whether the running server was started with other files."""
        runner, unit = self.runner, self.unit
        return bool(runner.stale_files(unit) or runner.renewal(unit, self.asked.instance))

    def moved(self) -> float | None:
        """Seconds to look for the running server where the file says that it listens; None: it was
        started with the files as they are."""
        if not self.stale():
            return None
        return TUNNEL_MOVED if self.asked.tunnel else MOVED_TIMEOUT

    def restart(self, why: str, reloadable: tuple[Change, ...] = ()) -> Step[S | None]:
        """Stop the server and start it with the files as they should be, after `reloadable`
        changes. One that does not start with them runs on with the old ones."""
        unit = self.unit

        def run(session: S | None) -> None:
            runner = self.runner
            before, changed = runner.saved_files(unit), self.stale()
            try:
                self._fetch()  # before anything is stopped
            except StepError:
                runner.restore_files(unit, before)
                raise
            if reloadable and session is not None:
                # some settings have to be live before the server stops (Redis: appendonly)
                self.engine.apply(session, reloadable)
            self.emit(Progress(unit.name, f"restarting: {why}"))
            runner.write(unit, self.asked)
            stopping.check()
            with stopping.late(waiting.STAYS, self._tell_stays), self._told_if_stopped():
                runner.stop(unit.name, self.engine.stop_signal)
            try:
                with self._told_if_stopped():
                    self.child = runner.start(unit)
                with self.session():
                    pass
            except (StepError, ConnectError) as error:
                if isinstance(error, ConnectError) and error.kind != "other":
                    raise
                known = session is not None
                raise self._go_back(before, error, changed=changed, logged_in=known) from None

        return self._step("restart", unit.name, why, run, restart=True)

    def _tell_stays(self) -> None:
        engine, name = self.engine, self.unit.name

        def login() -> AbstractContextManager[S]:
            return engine.connect(engine.admin(self.asked), waiting.STAYS_LOGIN)

        waiting.tell_stays(self.runner, name, login, lambda text: self.emit(Progress(name, text)))

    def _go_back(
        self, before: dict[str, str | None], error: MngdbError, *, changed: bool, logged_in: bool
    ) -> StepError:
        """Better the old settings than no server: start it with the files of `before`, where what
        it starts with has `changed`. Returns why it did not start, and whether it runs now."""
        runner, unit = self.runner, self.unit
        try:
            runner.preflight(unit, self.asked.instance)
        except MngdbError as found:
            error = found  # somebody has taken its port meanwhile: of that its log says less
        why = error.message.removeprefix(f"{unit.name}: ")
        if changed:
            runner.restore_files(unit, before)
            self.child = runner.start(unit)
            if self._lives(before, logged_in=logged_in):
                return StepError(
                    f"{unit.name} failed to start with the new settings and is running with the "
                    f"old ones: {why}",
                    error.hint,
                )
        hint = f"{error.hint}; then 'mngdb up' starts it" if error.hint else "mngdb up"
        return StepError(
            f"{unit.name} was stopped for the restart and did not start again: {why}", hint
        )

    def _lives(self, before: dict[str, str | None], *, logged_in: bool) -> bool:
        """Whether a server that was started with the files of `before` takes connections."""
        runner, unit = self.runner, self.unit
        try:
            if logged_in:
                with self.session():
                    files = tuple(replace(f, content=before[f.name] or "") for f in unit.files)
                    runner.confirm(replace(unit, files=files))
            end = time.monotonic() + _LIVES  # the old files may not be those that we log in by
            while not runner.listens(unit.name) and time.monotonic() < end:
                runner.check(unit, self.child)
                stopping.sleep(_LOOK)
        except StepError:
            return False
        return True

    @contextmanager
    def _told_if_stopped(self) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt:
            self.emit(Stopped(self.unit.name))
            raise

    def file_steps(self, found: Outcome[S]) -> tuple[Step[S], ...]:
        """What brings the rendered files, and another program, to a running server."""
        runner, unit, changes = self.runner, self.unit, found.changes
        runner.fits(unit, self.asked.instance, found.release)
        runner.verify(unit)
        stale = runner.stale_files(unit)
        due = runner.renewal(unit, self.asked.instance, found.release)
        said = [*due, *(f"{c.name} {c.text}" for c in changes)]
        cold = sorted(set(stale) & unit.cold_files)
        if due or cold or any(not change.reloadable for change in changes):
            reloadable = tuple(change for change in changes if change.reloadable)
            return (self.restart(", ".join(said + cold), reloadable),)
        if not stale and not changes:
            return ()

        def run(session: S) -> None:
            runner.write(unit, self.asked)
            self.engine.apply(session, changes)

        detail = ", ".join(said) or ", ".join(stale)
        return (self._step("reload", unit.name, detail, run),)
