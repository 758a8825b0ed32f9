"""The target `compose`: servers are containers of a Docker engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from mngdb.errors import MngdbError, UnobservableError
from mngdb.facts.memory import Footprint
from mngdb.model import DesiredInstance, Step
from mngdb.spec.agent import MONITOR
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.spec.stack import Instance
from mngdb.spec.web import INSIGHT_SECRET
from mngdb.targets.compose import certificates, page_certificate
from mngdb.targets.compose.beside import Beside
from mngdb.targets.compose.containers import Project
from mngdb.targets.compose.runner import ComposeRunner
from mngdb.targets.process.target import ProcessTarget
from mngdb.targets.protocol import Boot

if TYPE_CHECKING:
    from mngdb.facts.doctor import Service
    from mngdb.facts.host import Folder

#: Where an engine is, for its client (docker(1)).
_VARIABLES = (
    *("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG"),
    *("DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"),
)


@dataclass(frozen=True)
class ComposeTarget(ProcessTarget):
    """The target `compose` for one stack."""

    watched: None = None
    hosted: None = None
    disposable: None = None
    backups: None = None
    slow_log: None = None

    @cached_property
    def servers(self) -> ComposeRunner:
        """The containers."""
        given = self.given
        return ComposeRunner.of(
            given.stack, given.engine, given.environ, given.page_secret, given.identity
        )

    @property
    def supervisor(self) -> Project:
        """The engine."""
        return self.servers.project

    @cached_property
    def sidecars(self) -> ComposeSidecars:
        """Exporters, and what a page is made of."""
        return ComposeSidecars(self.servers)

    @cached_property
    def outside(self) -> ComposeOutside:
        """What the engine tells."""
        return ComposeOutside(self.servers)

    def where(self, instance: Instance, asked: DesiredInstance) -> tuple[str, str]:
        """Its address in its networks, and its volume."""
        access = self.admin(asked)
        return f"{access.host}:{access.port}", f"{instance.unit}-data"

    def boot(self) -> Boot:
        """The engine."""
        return Boot(after=("docker.service",), variables=_VARIABLES)


@dataclass(frozen=True)
class ComposeSidecars:
    """Containers beside the servers."""

    runner: ComposeRunner

    @cached_property
    def _beside(self) -> Beside:
        return Beside(self.runner.stack, self.runner.project, self.runner.folder)

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """Each to the instances that it is for."""
        return self._beside.names

    def services(self) -> list[Service]:
        """How they do."""
        return self._beside.services()

    def unproven(self) -> list[str]:
        """Containers whose health check has not passed since they were started."""
        wanted = self.runner.wanted
        return self.runner.project.starting([*wanted.whole.services] if wanted else [])

    def steps(self) -> list[Step[None]]:
        """What brings them as they should be."""
        wanted = self.runner.wanted
        if wanted is None:
            return []
        older = [self._beside.removal(folder) for folder in self.runner.places.older()]
        return [*self._beside.steps(wanted), *older]

    def exporter(self, instance: Instance, port: int) -> str:
        """The exporter's container."""
        return f"{instance.unit}-exporter:{port}"

    def environments(self, secret: Callable[[Instance, str], str]) -> tuple[str, ...]:
        """RedisInsight's key, and what some exporters log in with."""
        here = [one for one in self.runner.stack.instances.values() if one.contained]
        programs = [(one, ENGINE_INFO[one.engine].metrics.bare_login) for one in here]
        exporters = (f"{secret(one, MONITOR)} in {name} " for one, name in programs if name)
        return (f"{INSIGHT_SECRET} ", *exporters)


class ComposeOutside(Struct, frozen=True):
    """What is seen of containers from outside."""

    runner: ComposeRunner

    def machine(self) -> None:
        """The engine's machine may be another one."""

    def server(self, instance: Instance) -> None:
        """No process of this machine."""

    def disk(self, instance: Instance) -> Folder:
        """Raises UnobservableError."""
        raise UnobservableError("its disk is not on this machine")

    def footprint(self, instance: Instance) -> Footprint:
        """What its control group counts."""
        running = self.runner.process(instance.unit)
        size = running.memory() if running is not None else None
        if size is None:
            raise UnobservableError(f"the container {instance.unit} does not report it")
        return Footprint(size)

    def memory(self, instance: Instance) -> int:
        """The container's limit."""
        try:
            return self.runner.memory_limit(instance.unit)
        except MngdbError as error:
            raise UnobservableError(error.message) from None

    def certificates(self) -> Mapping[str, Path]:
        """The servers', and that of the page: no instance beside one has its name."""
        stack = self.runner.stack
        found = {
            one.name: certificates.bundle(self.runner.folder, one)
            for one in stack.instances.values()
            if one.tls and one.contained
        }
        page = page_certificate.path(stack)
        return found | ({"redisinsight": page} if page is not None else {})

    def keys(self) -> dict[Path, int]:
        """They are in `private` folders."""
        return {}

    def private(self) -> list[Path]:
        """Folders of the containers' files, some of them readable by all who may pass."""
        return [self.runner.folder.root / name for name in ("secrets", "conf", "init")]

    def logs(self) -> Iterator[Path]:
        """The engine has them."""
        return iter(())
