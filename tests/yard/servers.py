"""The servers of a yard: STATE/yard/UNIT has the files, the data and the log of each."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mngdb import disk
from mngdb.errors import StepError
from mngdb.model import DesiredInstance, Notice, ShellCommand, Step, Unit
from mngdb.run import Account, run, spawn
from mngdb.targets.process import logs, processes
from mngdb.targets.process.logs import LogFile
from mngdb.targets.process.processes import Process
from mngdb.targets.protocol import State, UnitRecord


@dataclass(frozen=True)
class Plot:
    """The place of one server."""

    root: Path

    @property
    def conf(self) -> Path:
        return self.root / "conf"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def log(self) -> Path:
        return self.root / "server.log"

    @property
    def pidfile(self) -> Path:
        return self.run / "pid"


@dataclass(frozen=True)
class YardServers:
    """All of a stack. `account`: who runs them; None: we do."""

    root: Path
    account: Account | None

    def plot(self, unit: str) -> Plot:
        return Plot(self.root / unit)

    # --- what every target with servers has

    def expect(self, asked: Mapping[str, DesiredInstance]) -> None:
        """Nothing is shared."""

    def check_names(self, allow: frozenset[str]) -> None:
        """The folder is the stack's own."""

    def begin(self) -> None:
        disk.folder(self.root, mode=0o711)

    def repairs(self, asked: Mapping[str, DesiredInstance]) -> list[Step[None]]:
        return []

    def publish(self, asked: Mapping[str, DesiredInstance]) -> None:
        """Each server has files of its own."""

    def write_secrets(self, asked: Mapping[str, DesiredInstance]) -> None:
        """Nobody reads secrets in files."""

    def process(self, unit: str) -> Process | None:
        plot, uid = self.plot(unit), self.account.uid if self.account else os.geteuid()
        return processes.find(plot.pidfile, uid, plot.root, plot.data)

    def state(self, unit: str) -> State:
        if self.process(unit) is not None:
            return "running"
        return "stopped" if self.plot(unit).data.is_dir() else "absent"

    def missing(self, unit: str) -> str:
        return ""

    def units(self) -> list[UnitRecord]:
        notes = sorted(self.root.glob("*/unit.json"))
        return [UnitRecord(path.parent.name, **json.loads(path.read_text())) for path in notes]

    def place(self, unit: str) -> str:
        return str(self.plot(unit).root)

    def stop(self, unit: str, with_signal: int) -> bool:
        process = self.process(unit)
        if process is not None and not process.stop(with_signal, 60.0):
            raise StepError(f"{unit} did not stop")
        return process is not None

    def kill(self, unit: str) -> None:
        process = self.process(unit)
        if process is not None:
            process.kill_group()

    def end(self) -> None:
        """Nothing is left."""

    def remove(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)

    def staying(self) -> list[Notice]:
        return []

    def notices(self) -> list[Notice]:
        return []

    def enter(self, unit: str, command: ShellCommand, *, terminal: bool) -> list[str] | None:
        return None

    def log(self, unit: str) -> LogFile:
        process = self.process(unit)
        return LogFile(self.plot(unit).log, process.pid if process else None)

    # --- what the converger of the yard does with them

    def stale(self, unit: Unit) -> list[str]:
        """Files of the unit that are not as they should be."""
        conf = self.plot(unit.name).conf

        def there(name: str) -> str | None:
            return (conf / name).read_text() if (conf / name).exists() else None

        return [file.name for file in unit.files if there(file.name) != file.content]

    def write(self, unit: Unit) -> None:
        """Write the unit's files."""
        plot = self.plot(unit.name)
        disk.folder(plot.root, mode=0o711)
        note = {"instance": unit.instance, "engine": unit.engine}
        disk.write(plot.root / "unit.json", json.dumps(note))
        for folder in (plot.conf, plot.run):
            disk.folder(folder, owner=self.account)
        for file in unit.files:
            disk.write(plot.conf / file.name, file.content, owner=self.account)

    def start(self, unit: Unit) -> None:
        """Start the server, with a data folder that is made where there is none."""
        plot = self.plot(unit.name)
        self.write(unit)
        if not plot.data.is_dir():
            disk.folder(plot.data, owner=self.account)
            if unit.prepare:
                argv = [word.replace("{data}", str(plot.data)) for word in unit.prepare]
                run(argv, timeout=120, account=self.account, cwd=plot.root)
        with logs.appending(plot.log) as (sink, _):
            spawn(
                unit.argv,
                pidfile=plot.pidfile,
                log=sink,
                env={"PATH": "/usr/bin:/bin", "HOME": str(plot.run), "LC_ALL": "C.UTF-8"},
                account=self.account,
                cwd=plot.root,
            )
