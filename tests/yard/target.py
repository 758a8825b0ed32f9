"""The target `yard` for one stack."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from mngdb.errors import MngdbError
from mngdb.facts.doctor import Condition
from mngdb.identity.home import SYSTEM
from mngdb.model import Access, DesiredInstance, Program, Proof, Site
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.spec.stack import Instance
from mngdb.targets.local import copied, programs
from mngdb.targets.process import machine
from mngdb.targets.protocol import Boot, Opened
from tests.yard.converge import YardConverger
from tests.yard.record import Yard
from tests.yard.servers import YardServers


@dataclass(frozen=True)
class YardTarget:
    """Servers that we start and stop, with nothing beside them."""

    given: Opened
    servers: YardServers
    sidecars: None = None
    outside: None = None
    watched: None = None
    supervisor: None = None
    hosted: None = None
    disposable: None = None
    backups: None = None
    slow_log: None = None

    @classmethod
    def of(cls, given: Opened) -> YardTarget:
        said = given.stack.source.target.of(Yard) or Yard()
        account = machine.account(said.account) if said.account else None
        return cls(given, YardServers(given.stack.state / "yard", account))

    def site(self, instance: Instance, *, find: bool = True) -> Site:
        plot, us = self.servers.plot(instance.unit), machine.name_of(os.geteuid())
        whose = self.servers.account.name if self.servers.account else us
        return Site(
            data=str(plot.data),
            conf=str(plot.conf),
            run=str(plot.run),
            log=str(plot.log),
            memory=machine.memory(),
            program=self._program(instance) if find else Program("", "", ""),
            owners=(us,),
            proof=Proof(instance.unit, lambda: whose),
        )

    def _program(self, instance: Instance) -> Program:
        name, account = instance.spec.program, self.servers.account
        found = programs.find(name, instance.spec.version, None, None)
        if account is None:
            return found
        alone = ENGINE_INFO[instance.engine].servers[name].alone
        return copied.reachable(found, account.uid, SYSTEM / "programs", alone=alone)

    def reach(self, instance: Instance, *, admin: bool = True) -> AbstractContextManager[None]:
        return nullcontext()

    def admin(self, asked: DesiredInstance) -> Access:
        return self.given.engine(asked.instance.engine).admin(asked)

    def public(self, asked: DesiredInstance) -> Access:
        return self.admin(asked)

    def converger(
        self, asked: DesiredInstance, emit: Callable[[object], None]
    ) -> YardConverger[Any, Any]:
        engine = self.given.engine(asked.instance.engine)
        return YardConverger(engine, asked, emit, self.servers)

    def preflight(self, asked: DesiredInstance) -> None:
        """It is told when it starts."""

    def condition(self, instance: Instance) -> Condition:
        return Condition(self.servers.state(instance.unit))

    def explained(self, instance: Instance, error: MngdbError, found: object = None) -> MngdbError:
        return error

    def where(self, instance: Instance, asked: DesiredInstance) -> tuple[str, str]:
        access = self.admin(asked)
        return f"{access.host}:{access.port}", str(self.servers.plot(instance.unit).data)

    def boot(self) -> Boot:
        return Boot()
