"""This machine as a place for units: write their files, start, restart and stop them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field

from mngdb import disk
from mngdb.errors import MngdbError, StepError
from mngdb.identity import holdings
from mngdb.identity.home import SYSTEM
from mngdb.model import (
    DesiredInstance,
    Notice,
    Program,
    Proof,
    ShellCommand,
    Site,
    Step,
    TlsFiles,
    Unit,
)
from mngdb.release import Release
from mngdb.run import Account
from mngdb.spec.base import EngineName
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.spec.ports import listens
from mngdb.spec.stack import Instance, Stack
from mngdb.spec.target_models import Local
from mngdb.targets.local import cache, copied, ownership, programs
from mngdb.targets.local.certificates import Certificates
from mngdb.targets.local.layout import Layout, layout
from mngdb.targets.local.proof import holds
from mngdb.targets.local.servers import Servers, digest, started_with
from mngdb.targets.process import logs, machine, written
from mngdb.targets.process.logs import LogFile, Started
from mngdb.targets.process.processes import Process
from mngdb.targets.process.verify import verify
from mngdb.targets.protocol import State, UnitRecord

if TYPE_CHECKING:
    from mngdb.facts.doctor import Condition


class LocalRunner(Struct, frozen=True):
    """The target `local` for one stack."""

    stack: Stack
    layout: Layout
    found: dict[str, Program] = field(default_factory=dict)
    leaving: set[int] = field(default_factory=set)
    """Processes that `up` stops before it starts others."""

    @classmethod
    def of(cls, stack: Stack) -> LocalRunner:
        """The host of a stack."""
        local = stack.source.target.of(Local) or Local()
        accounts = machine.accounts(local.account, _engines(stack), make=False)
        return cls(stack, layout(stack, local, accounts))

    @staticmethod
    def make_accounts(stack: Stack) -> None:
        """As root, make the servers' accounts that are missing."""
        machine.accounts((stack.source.target.of(Local) or Local()).account, _engines(stack))

    # --- what there is

    def adapt(self, unit: Unit, asked: DesiredInstance) -> Unit:
        """A process is what engines render."""
        return unit

    def reach(self, instance: Instance) -> contextlib.AbstractContextManager[None]:
        """Servers of this machine are reached by their address."""
        return contextlib.nullcontext()

    def units(self) -> list[UnitRecord]:
        """Every unit that was ever made here, also one that lost its note, as far as the file names
        it. Raises MngdbError for the damaged note of one that it does not name."""
        named = {
            one.unit: UnitRecord(one.unit, one.name, one.engine)
            for one in self.stack.instances.values()
            if one.target.of(Local)
        }
        notes = self.layout.units(named)
        known, noted = {note.unit for note in notes}, holdings.units(self.stack.state)
        return notes + [
            note
            for unit, note in named.items()
            if unit not in known and (self.layout.unit(unit).root.is_dir() or unit in noted)
        ]

    def place(self, unit: str) -> str:
        """The unit's folder."""
        return str(self.layout.unit(unit).root)

    def notices(self) -> list[Notice]:
        """Data that is not beside the file is where nobody looks first."""
        accounts = self.layout.accounts
        if accounts is None:
            return []
        names = sorted({one.name for one in accounts.values()})
        whose = f"account {names[0]} can" if len(names) == 1 else f"accounts {', '.join(names)} can"
        return [
            Notice(
                "", f"the data is in {self.layout.servers}, where the servers' {whose} access it"
            )
        ]

    def site(self, instance: Instance, *, find: bool = True) -> Site:
        """The instance's place. With `find`, raises UsageError when its program is missing or
        cannot encrypt; without it the place is good for logging in, not for rendering."""
        folder = self.layout.unit(instance.unit)
        us = machine.name_of(os.geteuid())

        def runs_as() -> str:
            account = self.layout.account(instance.unit, instance.engine)
            return account.name if account else us

        program = self.program(instance) if find else Program("", "", "")
        tls = None
        if instance.tls:
            tls = TlsFiles(str(self._certificates.ca), str(folder.certificate))
        return Site(
            data=str(folder.data),
            conf=str(folder.conf),
            run=str(folder.sockets),
            log=str(folder.log),
            memory=machine.memory(),
            program=program,
            owners=(us,),
            tls=tls,
            proof=Proof(instance.unit, runs_as, partial(self._holds, instance.unit)),
            disk=machine.disk(folder.data),
        )

    def _holds(self, unit: str, wire: socket.socket) -> bool | None:
        """Whether the unit's process is at the far end of a connection, see Proof.holds."""
        return holds(wire, self.process(unit), self.layout.uid(unit))

    def program(self, instance: Instance) -> Program:
        """The server's program, within reach of the account that runs it. Looked for once."""
        found, wanted = self.found.get(instance.name), instance.spec.version
        if found is None or not (wanted is None or programs.fits(found.version, wanted)):
            found = self.found[instance.name] = self._program(instance)
        return found

    def _program(self, instance: Instance) -> Program:
        name, known = instance.spec.program, cache.versions(others=self._others)
        given = getattr(self.stack.source.binaries, name, None)
        folder = given and str((self.stack.folder / disk.expanded(given)).resolve())
        found = programs.find(name, instance.spec.version, folder, known)
        found = programs.with_lacks(name, found, known, tls=instance.tls)
        if instance.tls and "TLS" in found.lacks:
            raise MngdbError(
                f"{instance.name}: TLS is enabled, but {found.server} ({found.version}) was "
                "built without it",
                "install a build with TLS and set its folder under 'binaries:', or set tls: false",
            )
        account = (self.layout.accounts or {}).get(instance.engine)
        if account is not None:
            alone = ENGINE_INFO[instance.engine].servers[name].alone
            found = copied.reachable(found, account.uid, SYSTEM / "programs", alone=alone)
        return found

    @property
    def _others(self) -> bool:
        """Whether servers run as other accounts than ours."""
        return self.layout.accounts is not None

    @property
    def _servers(self) -> Servers:
        """Its processes."""
        return Servers(self.stack.state, self.layout)

    def process(self, unit: str) -> Process | None:
        """The unit's running process."""
        return self._servers.process(unit)

    def state(self, unit: str) -> State:
        """What there is of a unit."""
        if self.process(unit) is not None:
            return "running"
        if self.missing(unit):
            return "missing"
        return "stopped" if self.layout.unit(unit).data.exists() else "absent"

    def seen(self, unit: Unit) -> None:
        """Note that the unit runs, and what data it has."""
        data = self.layout.unit(unit.name).data
        holdings.seen(self.stack.state, unit.name, holdings.held(data, unit.holds))

    def forget(self, unit: str) -> None:
        """Data that is missing is not waited for any longer."""
        holdings.forget(self.stack.state, unit)

    def missing(self, unit: str) -> str:
        """What is missing of the data that was there, for people; empty: nothing is."""
        return self._servers.missing(unit)

    def stale_files(self, unit: Unit) -> list[str]:
        """The unit's files that the server is not known to have read as they should be."""
        folder = self.layout.unit(unit.name)
        differing = [
            f.name for f in unit.files if self.layout.read(folder.conf / f.name) != f.content
        ]
        if differing:
            return differing
        known = {self.layout.read(folder.applied), started_with(folder)[0]}
        return [] if digest(unit) in known else [file.name for file in unit.files]

    def frozen(self, unit: str) -> str:
        """What wakes a process that was stopped by a signal (proc(5): T)."""
        process = self.process(unit)
        return f"kill -CONT {process.pid}" if process and process.state() == "T" else ""

    def condition(self, instance: Instance) -> Condition:
        """Whether the unit runs, and what its log said last if not."""
        from mngdb.targets.local.condition import condition

        return condition(self, instance)

    def answered(self, unit: str) -> bool:
        """Whether its files were confirmed since it was started; of one that an earlier version
        started nothing else is known than that it was."""
        folder = self.layout.unit(unit)
        return folder.applied.exists() or not folder.started.exists()

    def listens(self, unit: str) -> bool:
        """Whether its process takes TCP connections."""
        process = self.process(unit)
        return process is not None and machine.listens(process.pid)

    def listeners(self, unit: str) -> list[tuple[str, int]]:
        """Where its process takes TCP connections."""
        process = self.process(unit)
        try:
            return machine.listeners(process.pid) if process is not None else []
        except OSError:
            return []  # it has ended, or only root may look

    def told(self, unit: str) -> list[str]:
        """The end of what its log says since it was started."""
        folder = self.layout.unit(unit)
        return logs.tail(folder.log, since=started_with(folder)[1]).splitlines()

    def titles(self, unit: str) -> list[str]:
        """The command lines of its processes."""
        process = self.process(unit)
        return process.titles() if process is not None else []

    def preflight(self, unit: Unit, instance: Instance) -> None:
        """What would keep a unit from starting, itself apart. Raises MngdbError."""
        self.verify(unit)
        process = self.process(unit.name)
        ours = self.leaving | ({process.pid} if process else set())
        for host in instance.spec.bind:
            holder = machine.port_holder(host, instance.spec.port, ours)
            if holder is not None:
                free = machine.free_port(host, instance.spec.port)
                hint = (
                    f"stop it, or give {instance.name} another port in the file: {free} is free; "
                    "'port: auto' chooses one"
                )
                if listens(instance) in self.stack.chosen:
                    hint = f"stop it, or 'mngdb up --new-ports' takes another port: {free} is free"
                if machine.port_holder(host, instance.spec.port, ours | self._pids()) is None:
                    hint = "it belongs to this stack: 'mngdb down', then 'mngdb up'"
                if holder == machine.LINGERS:
                    hint = f"wait a minute, or give {instance.name} another port in the file"
                raise MngdbError(
                    f"{unit.name}: port {instance.spec.port} of {host} is taken by {holder}", hint
                )
        self.fits(unit, instance)

    def fits(self, unit: Unit, instance: Instance, running: Release | None = None) -> None:
        """Whether the server can read the data that is there. Raises MngdbError."""
        folder, program = self.layout.unit(unit.name), self.program(instance).release
        if unit.data is None or not folder.data.exists() or (running and running.same(program)):
            return
        heads = written.heads(folder.data, unit.data.heads)
        known = self.layout.read(folder.seen) or ""
        last = written.parse(known) if heads or not unit.data.heads else None
        written.judge(unit, heads, running or last, program, f"in {folder.data}")

    def saw(self, unit: Unit, running: Release) -> None:
        """Note which server was on the unit's data."""
        folder, text = self.layout.unit(unit.name), written.render(running)
        if self.layout.read(folder.seen) != text:
            disk.write(folder.seen, text)

    def _pids(self) -> set[int]:
        """The processes of all units."""
        found = (self.process(note.unit) for note in self.units())
        return {pid for process in found if process for pid in process.family()}

    def verify(self, unit: Unit) -> None:
        """Whether the server would take files that it does not have yet. Raises UsageError."""
        if self.stale_files(unit):
            verify(unit)

    # --- changes

    def expect(self, asked: Mapping[str, DesiredInstance]) -> None:
        """What left the file is stopped before anything starts: its port is as good as free."""
        self.layout.require_place()
        kept = {one.instance.unit for one in asked.values()}
        for note in self.units():
            process = None if note.unit in kept else self.process(note.unit)
            if process is not None:
                self.leaving.update(process.family())

    def check_names(self, allow: frozenset[str]) -> None:
        """Units have folders of the stack's own."""

    def begin(self) -> None:
        """Make the stack's folders, and remove from those of units what killed commands left."""
        self.layout.prepare()
        for note in self.units():
            folder = self.layout.unit(note.unit)
            for place in (folder.root, folder.conf):
                if place.is_dir():
                    disk.sweep(place)

    def repairs(self, asked: Mapping[str, DesiredInstance]) -> list[Step[None]]:
        """Each unit's own steps tell of its files."""
        return []

    def publish(self, asked: Mapping[str, DesiredInstance]) -> None:
        """A unit's own folder says everything."""

    def write_secrets(self, asked: Mapping[str, DesiredInstance]) -> None:
        """Processes read none."""

    def end(self) -> None:
        """Nothing is left of processes that ended."""

    def rescue(self, unit: Unit, asked: DesiredInstance) -> Callable[[], None] | None:
        """A restart does, where the socket does not."""
        return None

    def enter(self, unit: str, command: ShellCommand, *, terminal: bool) -> list[str] | None:
        """The client is a program of this machine."""
        return None

    def staying(self) -> list[Notice]:
        """Nothing."""
        return []

    def remove(self) -> None:
        """Remove the servers' folders, the data included."""
        self.layout.remove()

    def write(self, unit: Unit, asked: DesiredInstance) -> None:
        """Write the unit's files, certificates included, where they differ."""
        folder = self.layout.prepare_unit(unit.name, unit.engine)
        self._noted(unit)
        if asked.instance.tls:
            self._certificates.write(folder, asked.instance)
        due = [f for f in unit.files if self.layout.read(folder.conf / f.name) != f.content]
        if due:
            # what a running server has read is not known any more, until `confirm`
            folder.started.unlink(missing_ok=True)
            folder.applied.unlink(missing_ok=True)
        account = self.layout.account(unit.name, unit.engine)
        for file in due:
            path = folder.conf / file.name
            disk.write(path, file.content, owner=account, durable=False)

    def _noted(self, unit: Unit) -> None:
        """Say in the unit's folder whose it is, where that is not said."""
        path = self.layout.unit(unit.name).note
        note = json.dumps({"instance": unit.instance, "engine": unit.engine})
        if self.layout.read(path) != note:
            disk.write(path, note, durable=False)

    def handover(self, unit: Unit) -> str:
        """From which account to which other the unit's files go when it starts."""
        between = self.layout.handover(unit.name, unit.engine)
        return f"its account {between[0].name} → {between[1].name}" if between else ""

    def renewal(self, unit: Unit, instance: Instance, running: Release | None = None) -> list[str]:
        """Another program than the one that runs; a certificate that has to be made anew."""
        said, program = [], self.program(instance).release
        process = self.process(unit.name)
        if running is not None and not running.same(program):
            kept = running.product == program.product
            said.append(f"{running} → {program.version if kept else program}")
        elif process is not None and process.replaced():
            said.append(f"its executable {program} was replaced")
        if self._certificates.due(instance):
            said.append("a new certificate")
        if whose := self.handover(unit):
            said.append(whose)
        return said

    @property
    def _certificates(self) -> Certificates:
        return Certificates(self.stack, self.layout, self._others)

    def confirm(self, unit: Unit) -> None:
        """Note that the running server has read the files as they are now."""
        self.seen(unit)
        self._noted(unit)
        path, now = self.layout.unit(unit.name).applied, digest(unit)
        if self.layout.read(path) != now:
            disk.write(path, now, durable=False)

    def prepare(self, unit: Unit) -> None:
        """Make the data folder, whole or not at all."""
        self._servers.prepare(unit)

    def fill(self, unit: Unit, work: Callable[[Path, Account | None], None]) -> None:
        """Have `work` fill the data folder, whole or not at all."""
        self._servers.fill(unit, work)

    def sync(self, unit: Unit) -> None:
        """Bring a new data folder to the disk; the server may run in it meanwhile."""
        self._servers.sync(unit)

    def missing_image(self, unit: Unit) -> str:
        """Programs are there, or the unit was refused before."""
        return ""

    def fetch(self, unit: Unit) -> None:
        """Nothing: see `missing_image`."""

    def start(self, unit: Unit) -> Started:
        """Start the server. It may not be ready yet; `check` tells whether it still lives."""
        return self._servers.start(unit, self.found.get(unit.instance))

    def check(self, unit: Unit, child: Started) -> None:
        """Raise StepError with the log's last words if the server that we started has ended."""
        code = child.process.poll()
        if code is None:
            return
        said, hint = child.said(), f"its log: {child.log}"
        account = self.layout.account(unit.name, unit.engine)
        if account is not None and re.search(r"denied|owner", said, re.IGNORECASE):
            data = self.layout.unit(unit.name).data
            if whose := ownership.stranger(data, account):
                said, hint = f"{said}; {whose}", f"chown -R {account.name}: {data}; then 'mngdb up'"
        raise StepError(f"{unit.name} exited during startup (exit code {code}): {said}", hint)

    def stop(self, unit: str, with_signal: int) -> bool:
        """Stop a unit cleanly. False if it did not run. Raises StepError when it takes too long, or
        when its data folder was removed: what it holds is the only copy."""
        return self._servers.stop(unit, with_signal)

    def kill(self, unit: str) -> None:
        """End a unit at once, with what it holds."""
        self._servers.kill(unit)

    def saved_files(self, unit: Unit) -> dict[str, str | None]:
        """The unit's files as they are, to go back to when the server refuses new ones."""
        folder = self.layout.unit(unit.name)
        return {file.name: self.layout.read(folder.conf / file.name) for file in unit.files}

    def restore_files(self, unit: Unit, files: dict[str, str | None]) -> None:
        """Write the files of `saved_files` again."""
        folder, account = self.layout.unit(unit.name), self.layout.account(unit.name, unit.engine)
        for name, content in files.items():
            if content is not None:
                disk.write(folder.conf / name, content, owner=account)

    def log(self, unit: str) -> LogFile:
        """A unit's log."""
        process = self.process(unit)
        return LogFile(self.layout.unit(unit).log, process.pid if process else None)


def _engines(stack: Stack) -> list[EngineName]:
    """Those of the servers that the file has here."""
    return list({i.engine: None for i in stack.instances.values() if i.target.of(Local)})
