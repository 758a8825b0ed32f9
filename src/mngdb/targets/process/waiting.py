"""Waiting for a server whose process runs and which does not answer yet.

A server that recovers is waited for as long as its process lives; it is never restarted because it
has not answered yet. One that was halted answers nobody however long one waits: that is told.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mngdb import stopping
from mngdb.engines.protocol import Provision
from mngdb.errors import ConnectError, MngdbError
from mngdb.events import Waiting
from mngdb.model import Unit
from mngdb.spec.stack import Instance
from mngdb.targets.process import log_messages
from mngdb.targets.process.runner import Runner
from mngdb.targets.protocol import Servers
from mngdb.words import many

if TYPE_CHECKING:
    from mngdb.facts.doctor import Condition

#: Seconds for a server that has answered since it was started, and does not any more, and for one
#: that has no primary.
START_TIMEOUT = 120.0
#: Seconds to look for a running server where the file says, when it was started otherwise; and
#: where each connection has a process of its own to start.
MOVED_TIMEOUT, TUNNEL_MOVED = 1.0, 20.0
#: Seconds after which a server that was just started and refuses TLS is one without it, and one
#: that talks nonsense is no server of ours.
_TLS_TIMEOUT = 10.0
#: What a login that failed may say of a server that is just starting, or just ending.
_EARLY = {"tls", "other", "stranger"}
#: Seconds between two attempts that end at once.
_PAUSE = 0.1
#: Seconds that a start takes as a rule, and between two attempts afterwards.
_USUAL, _LEISURE = 2.0, 0.25
#: Seconds after which people are told what is waited for, and between two such lines.
_SILENCE = 5.0
#: Seconds that a process has been waiting for its disk at every look before that is told.
_STUCK = 10.0
#: Seconds after which people are told why a server that was asked to stop still runs; to ask it.
STAYS, STAYS_LOGIN = 3.0, 1.5
#: Lines of a log among which one is for people.
_LINES = 5


@dataclass
class Wait:
    """One wait for one unit. `patience` in seconds; None: as long as its process lives. `moved`:
    seconds for one that was started with other files, which may listen elsewhere."""

    runner: Runner
    engine: Provision
    instance: Instance
    unit: Unit
    child: Any
    emit: Callable[[object], None]
    patience: float | None = None
    moved: float | None = None
    begun: float = field(default_factory=time.monotonic)
    _told: float = 0.0
    _moving: float = 0.0
    """When its process was last seen to do anything but wait for its disk."""

    def __post_init__(self) -> None:
        self._told = self._moving = self.begun

    @property
    def long(self) -> bool:
        """Whether it is no usual start: attempts are made at leisure then, for each of them is a
        line in the server's log."""
        return time.monotonic() - self.begun > _USUAL

    def after(self, error: ConnectError) -> None:
        """Return when another attempt makes sense. Raises `error` or a better account of it, and
        StepError when the server has ended."""
        if self.child is not None:
            self.runner.check(self.unit, self.child)
        found = self.runner.condition(self.instance)
        if found.state != "running" and self.child is None:
            raise ConnectError(
                f"{self.unit.name} exited before it answered: {found.said}",
                f"mngdb logs {self.instance.name}",
            )
        if found.frozen:
            raise halted(self.instance, found.frozen)
        if error.kind in _EARLY and self.child is not None:
            # one that is just starting hangs up on a greeting, as one without TLS does;
            # in the way to a container that is just dying it is Docker who speaks;
            # one whose port somebody else took is about to end, and says why
            stopping.sleep(_PAUSE)
        elif error.kind not in {"down", "starting", "primary"}:
            raise error
        now = time.monotonic()
        if now > self._limit(error):
            raise (
                error
                if self._elsewhere(error)
                else explained(self.runner, self.engine, self.instance, found, error)
            )
        if not found.stuck:
            self._moving = now
        self._tell(error, now)
        if self.long:
            stopping.sleep(_LEISURE)

    def _limit(self, error: ConnectError) -> float:
        """When to give up, in seconds of time.monotonic()."""
        if error.kind in _EARLY:
            return self.begun + min(_TLS_TIMEOUT, self.patience or _TLS_TIMEOUT)
        if self._elsewhere(error) and self.moved is not None:
            return self.begun + min(self.moved, self.patience or self.moved)
        if self.patience is not None:
            return self.begun + self.patience
        if error.kind == "primary":
            return self.begun + START_TIMEOUT
        waits = self.child is not None or error.kind == "starting"
        if waits or not self.runner.answered(self.unit.name):
            return float("inf")
        return self.begun + START_TIMEOUT

    def _elsewhere(self, error: ConnectError) -> bool:
        """Whether it may listen where its earlier files said. One that listens nowhere has not come
        so far."""
        if self.moved is None or error.kind != "down":
            return False
        return self.runner.answered(self.unit.name) or self.runner.listens(self.unit.name)

    def _tell(self, error: ConnectError, now: float) -> None:
        said = error.message
        if error.kind != "primary":  # it has long read its data
            said = progress(self.runner, self.engine, self.unit.name) or said
        if now - self._moving > _STUCK:
            said += "; its process is waiting for disk I/O"
        text = f"waiting, {now - self.begun:.0f} s so far: {said}"
        shown = now - self._told > _SILENCE
        if shown:
            self._told = now
        self.emit(Waiting(self.unit.name, text, shown, said))


def need_awake(runner: Runner, instance: Instance) -> None:
    """Raises ConnectError for a server that is seen to be halted: to ask it would take as long as
    anybody waits."""
    wake = runner.frozen(instance.unit)
    if wake:
        raise halted(instance, wake)


def progress(runner: Runner, engine: Provision, unit: str) -> str:
    """What a server that recovers says in its log; empty: nothing."""
    return engine.recovery(runner.told(unit))


def halted(instance: Instance, wake: str) -> ConnectError:
    """What is said of a server that was told to stop and wait, and the command that helps."""
    return ConnectError(
        f"{instance.unit} is halted (by SIGSTOP or a debugger) and does not answer",
        f"'{wake}' resumes it; 'mngdb restart {instance.name}' restarts it",
        "halted",
    )


def ending(runner: Runner, engine: Provision, instance: Instance) -> str:
    """What keeps a server that was asked to stop and takes no more logins, after its name."""
    title = engine.info.session_title
    count = sum(bool(re.search(title, one)) for one in runner.titles(instance.unit)) if title else 0
    return (
        f"is shutting down and waits for {many(count, 'session') if count else 'sessions'} to end"
    )


def explained(
    runner: Runner, engine: Provision, instance: Instance, found: Condition, error: ConnectError
) -> ConnectError:
    """Why a server whose process runs does not answer, where `error` is what a client saw."""
    if found.state != "running":
        return error
    if found.frozen:
        return halted(instance, found.frozen)
    if error.kind == "stopping":
        said = f"{instance.unit} {ending(runner, engine, instance)}"
        return ConnectError(
            said, f"'mngdb restart {instance.name}' ends them and restarts it", "stopping"
        )
    if error.kind not in {"down", "starting"}:
        return error
    said = progress(runner, engine, instance.unit) or error.message
    if error.kind == "starting" or not runner.answered(instance.unit):
        return ConnectError(
            f"{instance.unit} is still starting: {said}",
            f"'mngdb up' waits for it, 'mngdb logs {instance.name}' shows its progress",
            "starting",
        )
    return ConnectError(
        f"{instance.unit} is running but does not answer: {error.message}",
        f"mngdb logs {instance.name}; 'mngdb restart {instance.name}' restarts it",
        error.kind,
    )


def tell_stays(
    servers: Servers,
    unit: str,
    login: Callable[[], AbstractContextManager[object]] | None,
    tell: Callable[[str], None],
    left: float | None = None,
) -> None:
    """`tell` people why a server that was asked to stop still runs. `login` asks it; None: it
    cannot be asked. `left`: seconds until it is killed; None: it is not."""
    with contextlib.suppress(MngdbError, OSError):
        why = f"its log ends with: {log_messages.spoken(servers.log(unit).last(_LINES))}"
        try:
            if login is not None:
                with login():
                    pass
        except ConnectError as error:
            if error.kind == "busy":
                why = f"{error.message}; {error.hint}"
        except MngdbError:
            pass  # a secret is missing: its log is what there is
        if servers.process(unit) is not None:
            until = "" if left is None else f" ({left:.0f} s left)"
            tell(f"waiting for it to stop{until}: {why}")
