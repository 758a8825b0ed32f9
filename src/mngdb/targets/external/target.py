"""Servers that somebody else runs, by their URLs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from msgspec import Struct

from mngdb.errors import MngdbError
from mngdb.model import Access, DesiredInstance
from mngdb.spec.stack import Instance
from mngdb.spec.target_models import External
from mngdb.targets.external.advice import advice
from mngdb.targets.external.converge import ExternalConverger
from mngdb.targets.protocol import Boot, Opened


class ExternalTarget(Struct, frozen=True):
    """The target `external`. Nothing runs here, and nothing is seen but what a server says."""

    given: Opened
    servers: None = None
    sidecars: None = None
    watched: None = None
    supervisor: None = None
    hosted: None = None
    disposable: None = None
    outside: None = None
    backups: None = None
    slow_log: None = None

    def site(self, instance: Instance, *, find: bool = True) -> None:
        """None: others render it."""

    def reach(self, instance: Instance, *, admin: bool = True) -> AbstractContextManager[None]:
        """Errors of the way there get advice that fits."""
        return advice(instance.name, admin=admin)

    def admin(self, asked: DesiredInstance) -> Access:
        """What the URL says. Raises UsageError."""
        url = _external(asked.instance).url
        return self.given.engine(asked.instance.engine).external(asked, url)

    def public(self, asked: DesiredInstance) -> Access:
        """Apps take the same way."""
        return self.admin(asked)

    def converger(
        self, asked: DesiredInstance, emit: Callable[[object], None]
    ) -> ExternalConverger[Any, Any]:
        """What brings logins, rights and settings to what is asked."""
        engine = self.given.engine(asked.instance.engine)
        return ExternalConverger(engine, asked, emit, self.admin(asked))

    def preflight(self, asked: DesiredInstance) -> None:
        """Nothing: it is asked when it is worked on."""

    def condition(self, instance: Instance) -> None:
        """Nobody can tell."""

    def explained(self, instance: Instance, error: MngdbError, found: object = None) -> MngdbError:
        """What the client saw is all that is known."""
        return error

    def where(self, instance: Instance, asked: DesiredInstance) -> tuple[str, str]:
        """Its URL, which has no password."""
        return _external(instance).url, ""

    def boot(self) -> Boot:
        """Nothing."""
        return Boot()


def _external(instance: Instance) -> External:
    found = instance.target.of(External)
    if found is None:
        raise ValueError(f"{instance.name} is not external")
    return found
