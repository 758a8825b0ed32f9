"""The agent as a unit of the stack: planned, started, looked at and stopped like a server."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from functools import cached_property

from mngdb import __version__, disk
from mngdb.errors import MngdbError, StepError
from mngdb.lock import held
from mngdb.model import Step
from mngdb.ops.agent_environ import environment
from mngdb.ops.context import Context
from mngdb.run import last_line, spawn
from mngdb.spec.agent import AGENT, Agent
from mngdb.spec.file import Binaries
from mngdb.spec.ports import serves
from mngdb.spec.target_info import TARGET_INFO
from mngdb.targets.process import machine, processes
from mngdb.targets.process.logs import Started, appending, tail
from mngdb.targets.process.processes import Process

#: What is wrong with one that works by what the file said before, or as another mngdb does.
STALE = "the file has changed since it started"
OUTDATED = "mngdb was upgraded since it started"
#: Seconds that it may take to start, and to stop.
_START, _STOP = 60.0, 15.0
#: One that runs for less than this may still be importing.
_YOUNG = 10.0
#: Has the agent judge the alerts at once. An agent of an older mngdb is not ended by it.
LOOK_AGAIN = signal.SIGCONT


class AgentUnit:
    """The agent of one stack. Its files are ours alone: no server's account may say which process
    it is."""

    def __init__(self, context: Context) -> None:
        self._stack = context.stack
        self._context = context
        self.name = f"{context.stack.name}-{AGENT}"
        self.folder = context.stack.state / AGENT
        self.pidfile = self.folder / "agent.pid"
        self.log = self.folder / "agent.log"

    @property
    def spec(self) -> Agent | None:
        """What the file says; None where it wants none."""
        return self._stack.agent

    @cached_property
    def digest(self) -> str:
        """Of all that the agent goes by: another one needs another agent."""
        stack = self._stack
        # not the files' names as they were typed, nor which of its names Python was called by; and
        # a project that was moved is the same, but where the file names folders beside it
        source = stack.source
        near = stack.folder if source.vault.path or source.binaries != Binaries() else ""
        parts = (sys.prefix, near, source, stack.instances)
        return f"{__version__} {hashlib.sha256(repr(parts).encode()).hexdigest()}"

    def process(self) -> Process | None:
        """The running agent."""
        found = processes.find(self.pidfile, os.geteuid(), self.folder)
        if found is None and self._stack.state.is_dir():
            return processes.holding(os.geteuid(), self.folder / "lock")
        return found

    def ports(self) -> dict[str, int]:
        """What is served to the port that it is served on."""
        if self.spec is None:
            return {}
        engines = dict.fromkeys(instance.engine for instance in self._stack.monitored)
        found = {str(engine): self.spec.ports.of(engine) for engine in engines}
        return found | {"mngdb": self.spec.ports.mngdb}

    def places(self) -> str:
        """The ports, for people."""
        return ", ".join(f"{port} {name}" for name, port in self.ports().items())

    def answers(self) -> str | None:
        """None when it is the agent that the file asks for, else what is wrong."""
        process = self.process()
        if process is None:
            return "not running"
        deadline = time.monotonic() + max(0.0, _YOUNG - process.uptime())
        while True:
            said = self._ask()
            if said == self.digest:
                return None
            if said is not None:
                return STALE if said.startswith(f"{__version__} ") else OUTDATED
            if not process.alive():
                return "not running"
            if time.monotonic() >= deadline:
                if not self._listens(process):
                    return STALE  # it serves its metrics elsewhere
                return f"does not answer; its log: {self.log}"
            time.sleep(0.01)

    def _listens(self, process: Process) -> bool:
        """Whether it listens where the file says; no other process can at the same time."""
        spec = self._stack.agent
        if spec is None:
            return False
        holders = (
            machine.port_holder(spec.bind, spec.ports.mngdb, but) for but in ([], [process.pid])
        )
        return next(holders) is not None and next(holders) is None

    def problem(self) -> MngdbError | None:
        """What is wrong with it, and what keeps `up` from mending that."""
        wrong = self.answers()
        if wrong is None:
            return None
        try:
            self.preflight()
        except MngdbError as error:
            return MngdbError(
                f"{wrong}; {error.message.removeprefix(f'{self.name}: ')}", error.hint
            )
        return MngdbError(wrong)

    def _ask(self) -> str | None:
        """The digest that it goes by. Asked by hand: http.client takes longer to import than all
        the rest takes."""
        if self.spec is None:
            return None
        try:
            with socket.create_connection((self.spec.bind, self.spec.ports.mngdb), 5.0) as wire:
                wire.sendall(b"GET /-/healthy HTTP/1.0\r\n\r\n")
                answer = b""
                while chunk := wire.recv(4096):
                    answer += chunk
        except OSError:
            return None
        head, _, body = answer.partition(b"\r\n\r\n")
        return body.decode(errors="replace").strip() if b" 200 " in head else None

    # --- steps

    def steps(self, *, restart: bool = False) -> Iterator[Step[None]]:
        """What `up` has to do for the agent now, or `restart`."""
        process = self.process()
        if self.spec is None:
            if process is not None:
                yield Step(AGENT, AGENT, "stop", self.name, "disabled in the file", self._ended)
            return
        detail = f"metrics on {self.spec.bind}: {self.places()}"
        if process is None:
            yield Step(AGENT, AGENT, "start", self.name, detail, lambda _: self.start())
            return
        wrong = "requested" if restart else self.answers()
        if wrong is not None:
            yield Step(AGENT, AGENT, "restart", self.name, wrong, lambda _: self.start())

    def _ended(self, _: object) -> None:
        self.stop()

    def preflight(self) -> None:
        """Raises MngdbError when ports that it needs are taken by other processes: all of them."""
        if self.spec is None:
            return
        process, taken = self.process(), {}
        for name, port in self.ports().items():
            holder = machine.port_holder(self.spec.bind, port, [process.pid] if process else [])
            if holder is not None:
                taken[name] = (
                    f"port {port} of {self.spec.bind}, for the metrics of {name}, is taken by "
                    f"{holder}"
                )
        if taken:
            free = f"free {'it' if len(taken) == 1 else 'them'}"
            hint = f"{free}, or write agent: {{ports: auto}} or agent: false"
            if all(serves(name) in self._stack.chosen for name in taken):
                hint = f"{free}, or 'mngdb up --new-ports' takes others"
            raise MngdbError(f"{self.name}: {'; '.join(taken.values())}", hint)

    def start(self) -> None:
        """Start it, after the one that runs has ended. It need not answer yet: see `wait`."""
        self.stop()
        disk.private(self.folder)
        words = [word for path in self._stack.files for word in ("-f", str(path.resolve()))]
        target = self._stack.source.target.kind
        if TARGET_INFO[target].managed:  # a command may have said another one than the files
            words += ["--target", target]
        # -P: what lies in the current folder is not imported
        argv = [sys.executable, "-P", "-m", "mngdb", *words, AGENT]
        with appending(self.log) as (sink, offset):
            process = spawn(
                argv,
                pidfile=self.pidfile,
                log=sink,
                env=environment(self._context),
                cwd=self.folder,
                hold=held(self._stack.state / "lock"),
            )
        self._child = Started(process, self.log, offset)

    _child: Started | None = None

    def wait(self) -> None:
        """Wait until the agent that was started answers. Raises StepError."""
        deadline = time.monotonic() + _START
        while self._ask() != self.digest:
            child = self._child
            if child is not None and child.process.poll() is not None:
                raise StepError(
                    f"{self.name} exited during startup: {_told(child)}", f"its log: {self.log}"
                )
            if time.monotonic() > deadline:
                raise StepError(f"{self.name} does not answer", f"its log: {self.log}")
            time.sleep(0.01)

    def look_again(self) -> None:
        """Have it judge the alerts now: what it saw while `up` was at work is over."""
        process = self.process()
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, LOOK_AGAIN)

    def stop(self) -> bool:
        """Stop it. False if it did not run. Raises StepError when it takes too long."""
        process = self.process()
        if process is None:
            return False
        if not process.stop(signal.SIGTERM, _STOP):
            raise StepError(f"{self.name} (pid {process.pid}) did not stop within {_STOP:g} s")
        self.pidfile.unlink(missing_ok=True)
        return True


def _told(child: Started) -> str:
    lines = tail(child.log, since=child.offset).splitlines()
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return errors[-1] if errors else last_line("\n".join(lines))
