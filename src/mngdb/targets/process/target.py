"""What the targets share whose servers mngdb starts itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from mngdb.errors import ConnectError, MngdbError
from mngdb.model import Access, DesiredInstance, Site
from mngdb.spec.stack import Instance
from mngdb.targets.process.converge import ProcessConverger
from mngdb.targets.process.runner import Runner
from mngdb.targets.process.unit import data_missing
from mngdb.targets.process.waiting import explained, need_awake
from mngdb.targets.protocol import Opened

if TYPE_CHECKING:
    from mngdb.facts.doctor import Condition


@dataclass(frozen=True)
class ProcessTarget(ABC):
    """A target with units, for one stack."""

    given: Opened

    @property
    @abstractmethod
    def servers(self) -> Runner:
        """What runs its units."""

    def site(self, instance: Instance, *, find: bool = True) -> Site:
        """The instance's place."""
        return self.servers.site(instance, find=find)

    def reach(self, instance: Instance, *, admin: bool = True) -> AbstractContextManager[None]:
        """Hold the way to a server open, where it needs one of its own. Raises ConnectError for one
        that is halted."""
        need_awake(self.servers, instance)
        return self.servers.reach(instance)

    def admin(self, asked: DesiredInstance) -> Access:
        """The administrator's access."""
        return self.given.engine(asked.instance.engine).admin(asked)

    def public(self, asked: DesiredInstance) -> Access:
        """Apps take the same way."""
        return self.admin(asked)

    def converger(
        self, asked: DesiredInstance, emit: Callable[[object], None]
    ) -> ProcessConverger[Any, Any]:
        """What brings an instance to what is asked."""
        engine = self.given.engine(asked.instance.engine)
        return ProcessConverger(engine, asked, emit, self.servers)

    def preflight(self, asked: DesiredInstance) -> None:
        """Raise MngdbError for what would keep a unit that does not run from starting."""
        servers, instance = self.servers, asked.instance
        if servers.process(instance.unit) is None:
            engine = self.given.engine(instance.engine)
            servers.preflight(servers.adapt(engine.render(asked), asked), instance)

    def condition(self, instance: Instance) -> Condition:
        """How a unit does before anybody asks its server. Raises MngdbError."""
        found = self.servers.condition(instance)
        if not self.servers.missing(instance.unit):
            return found
        error = data_missing(self.servers, instance)
        return replace(found, blocked=error.message, remedy=error.hint or "")

    def explained(
        self, instance: Instance, error: MngdbError, found: Condition | None = None
    ) -> MngdbError:
        """Why a unit that runs does not answer."""
        if not isinstance(error, ConnectError):
            return error
        engine = self.given.engine(instance.engine)
        found = found or self.servers.condition(instance)
        return explained(self.servers, engine, instance, found, error)
