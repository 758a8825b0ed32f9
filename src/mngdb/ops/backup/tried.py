"""A server of restored data, whoever makes it: who can log in there, and what it holds."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from mngdb.engines.protocol import AnyEngine
from mngdb.errors import MngdbError
from mngdb.model import Access, DesiredInstance
from mngdb.ops.backup.reach import Aim
from mngdb.ops.context import Context
from mngdb.snapshot import Trial
from mngdb.spec.stack import Instance
from mngdb.targets.protocol import Target

_TIMEOUT = 30.0
Tell = Callable[[object], None]


class Tried(ABC):
    """Such a server, that is being made."""

    instance: Instance
    """As it is there."""

    def __init__(self, context: Context, aim: Aim) -> None:
        self.context = context
        self.aim = aim
        self.manifest = aim.manifest
        self.phases: dict[str, float] = {}
        self.engine: AnyEngine = context.engine(context.instance(aim.instance))

    @property
    @abstractmethod
    def target(self) -> Target:
        """Where it lives."""

    @property
    @abstractmethod
    def machine(self) -> str:
        """What it runs on, for people; empty: on this machine."""

    @property
    def changed(self) -> bool:
        """Whether it may hold other data than its snapshot: what the log had was added."""
        return bool(self.aim.segments)

    @abstractmethod
    def make(self, tell: Tell, *, closed: bool = False) -> DesiredInstance:
        """Have the server with its data, and bring it to what the file says: the vault's secrets,
        not those of the snapshot. On one of ours no app may log in before that; with `closed` not
        until `open`, since an app could exchange what is read as administrator. Raises MngdbError;
        what was begun is then for `remove`."""

    def open(self, asked: DesiredInstance, tell: Tell) -> DesiredInstance:
        """Let the apps log in, where `make` has kept them out. Raises MngdbError."""
        return asked

    @abstractmethod
    def remove(self) -> None:
        """Remove it with its data. Raises MngdbError, OSError."""

    def admin(self, asked: DesiredInstance) -> Access:
        """The administrator's access."""
        return self.target.admin(asked)

    def session(self, asked: DesiredInstance) -> Any:
        """The administrator's session."""
        return self.engine.connect(self.admin(asked), _TIMEOUT)

    def logins(self, asked: DesiredInstance) -> dict[str, str | None]:
        """Each app to what it cannot do there; None: it can do its work."""
        found: dict[str, str | None] = {}
        with Phase(self.phases, "logins"):
            if self.engine.rehearse is not None:
                with self.session(asked) as session:
                    found |= self.engine.rehearse(session, asked)
            for app in self.instance.grants.keys() - found.keys():
                access = self.engine.login(asked, self.admin(asked), app)
                try:
                    found[app] = self.engine.diagnose(access, asked, app)
                except MngdbError as error:
                    found[app] = error.message
        return found

    def caveats(self, asked: DesiredInstance) -> tuple[str, ...]:
        """How it differs from what it is of, for people."""
        try:
            with self.session(asked) as session:
                return self.engine.caveats(session, self.manifest.taken)
        except MngdbError as error:
            return (f"nobody knows what else is not restored: {error.message}",)

    def proved(self, asked: DesiredInstance) -> tuple[Trial, ...]:
        """What the engine tries on it. Raises MngdbError."""
        with Phase(self.phases, "checks"), self.session(asked) as session:
            taken = self.manifest.taken
            if self.changed:
                taken = replace(taken, counts={}, content={})
            return self.engine.prove(session, asked, taken)


class Phase:
    """Measures a part of a restore, in seconds."""

    def __init__(self, phases: dict[str, float], name: str) -> None:
        self._phases = phases
        self._name = name

    def __enter__(self) -> None:
        self._begun = time.monotonic()

    def __exit__(self, *_: object) -> None:
        took = time.monotonic() - self._begun
        self._phases[self._name] = self._phases.get(self._name, 0.0) + took
