"""The target `local`: servers are processes of this machine."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from mngdb import disk
from mngdb.model import DesiredInstance
from mngdb.run import Account
from mngdb.spec.stack import Instance
from mngdb.spec.target_models import Local
from mngdb.targets.local import swap
from mngdb.targets.local.runner import LocalRunner
from mngdb.targets.process import machine
from mngdb.targets.process.target import ProcessTarget
from mngdb.targets.protocol import Boot, Servers

if TYPE_CHECKING:
    from mngdb.facts.host import Folder, MachineFacts, ServerFacts
    from mngdb.facts.memory import Footprint


@dataclass(frozen=True)
class LocalTarget(ProcessTarget):
    """The target `local` for one stack."""

    sidecars: None = None
    supervisor: None = None
    backups: None = None
    slow_log: None = None
    hosted: None = None

    def disposable(self, instance: Instance, state: Path) -> LocalDisposable:
        """A server of this machine, with its data in `state`."""
        alone = replace(self.given.stack, state=state, instances={instance.name: instance})
        return LocalDisposable(LocalTarget(replace(self.given, stack=alone)))

    @cached_property
    def servers(self) -> LocalRunner:
        """The processes."""
        return LocalRunner.of(self.given.stack)

    @cached_property
    def watched(self) -> LocalWatched:
        """All of them."""
        return LocalWatched(self)

    @cached_property
    def outside(self) -> LocalOutside:
        """What the kernel tells."""
        return LocalOutside(self.servers)

    def where(self, instance: Instance, asked: DesiredInstance) -> tuple[str, str]:
        """Its address, and its data folder."""
        access = self.admin(asked)
        return f"{access.host}:{access.port}", asked.site.data if asked.site else ""

    def boot(self) -> Boot:
        """The disk that has the data."""
        return Boot(mounts=(self.servers.layout.servers.resolve(),))


class LocalDisposable(Struct, frozen=True):
    """A server beside those of the file."""

    target: LocalTarget

    @property
    def servers(self) -> LocalRunner:
        """It alone."""
        return self.target.servers

    def fill(self, asked: DesiredInstance, work: Callable[[Path, Account | None], None]) -> None:
        """Have its data folder filled."""
        unit = self.target.given.engine(asked.instance.engine).render(asked)
        self.target.servers.fill(unit, work)

    def sync(self, asked: DesiredInstance) -> None:
        """Wait for the disk."""
        disk.sync_tree(self.servers.layout.unit(asked.instance.unit).data)

    def exchange(self, unit: str, servers: Servers, other: str) -> bool:
        """Exchange two data folders."""
        assert isinstance(servers, LocalRunner)  # noqa: S101 — for mypy
        return swap.exchange(self.servers.layout.unit(unit), servers.layout.unit(other))


class LocalWatched(Struct, frozen=True):
    """Servers that the agent starts again."""

    target: LocalTarget

    def crashed(self, unit: str) -> bool:
        """What was stopped in order has no pid file."""
        runner = self.target.servers
        if not runner.layout.unit(unit).pidfile.exists() or runner.missing(unit):
            return False
        return runner.process(unit) is None

    def start_again(
        self, instance: Instance, asked: Callable[[], DesiredInstance]
    ) -> subprocess.Popen[bytes]:
        """Start a server with the files that it has."""
        runner = self.target.servers
        runner.found.pop(instance.name, None)  # it may have been upgraded since
        unit = self.target.given.engine(instance.engine).render(asked())
        runner.fits(unit, instance)
        return runner.start(unit).process

    def log(self, unit: str) -> Path:
        """Its log."""
        return self.target.servers.layout.unit(unit).log

    def data(self, unit: str) -> Path:
        """Its data folder."""
        return self.target.servers.layout.unit(unit).data


class LocalOutside(Struct, frozen=True):
    """What is seen of the servers from outside."""

    runner: LocalRunner

    def machine(self) -> MachineFacts:
        """This machine."""
        from mngdb.targets.local import inspect

        return inspect.machine_facts(self.runner.stack)

    def server(self, instance: Instance) -> ServerFacts:
        """A process and its files."""
        from mngdb.targets.local import inspect

        return inspect.server(self.runner, instance)

    def disk(self, instance: Instance) -> Folder:
        """The disk that has the data."""
        from mngdb.targets.local.inspect import data_folder

        return data_folder(self.runner.layout.unit(instance.unit).data)

    def footprint(self, instance: Instance) -> Footprint:
        """Its processes together."""
        from mngdb.targets.local.footprint import footprint

        return footprint(self.runner, instance.unit)

    def memory(self, instance: Instance) -> int:
        """The machine's, or the control group's."""
        return machine.memory()

    def certificates(self) -> dict[str, Path]:
        """Each with its key, in one file."""
        layout = self.runner.layout
        return {one.name: layout.unit(one.unit).certificate for one in self._encrypted}

    def keys(self) -> dict[Path, int]:
        """The same files."""
        layout = self.runner.layout
        return {layout.unit(i.unit).certificate: layout.uid(i.unit) for i in self._encrypted}

    @property
    def _encrypted(self) -> list[Instance]:
        every = self.runner.stack.instances.values()
        return [one for one in every if one.tls and one.target.of(Local)]

    def private(self) -> list[Path]:
        """None but the stack's own."""
        return []

    def logs(self) -> Iterator[Path]:
        """Also those that were set aside, and of units that left the file."""
        for note in self.runner.units():
            yield from sorted(self.runner.layout.unit(note.unit).root.glob("*.log*"))
