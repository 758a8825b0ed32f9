"""The engine `mongodb`. The driver is imported only when a session is opened."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from mngdb.container import Container
from mngdb.engines.mongodb import access as logins
from mngdb.engines.protocol import Engine, Scraper
from mngdb.errors import MngdbError
from mngdb.model import Access, Asked, Change, Outcome, ShellCommand, Unit, Vitals
from mngdb.spec.base import EngineName

if TYPE_CHECKING:
    from mngdb.engines.mongodb.client import Session
    from mngdb.engines.mongodb.facts import Facts
    from mngdb.facts.mongodb import MongodbFacts
    from mngdb.spec.mongodb import MongodbGrant
    from mngdb.spec.stack import Instance

# the driver would look for PyOpenSSL, and on its way load all of cryptography: 8 MB, for nothing
sys.modules.setdefault("pymongo.pyopenssl_context", None)  # type: ignore[arg-type]


class MongodbEngine:
    """A MongoDB server as a replica set of one node (versions 6 to 8)."""

    name: EngineName = "mongodb"
    title = "MongoDB"
    #: mongod steps down, writes a checkpoint and ends.
    stop_signal: int = signal.SIGTERM
    metric = "mongodb"

    def secrets(self, asked: Instance) -> Iterable[str]:
        """The key file's secret, where the server is ours."""
        return ("keyfile",) if asked.target.external is None else ()

    place = logins.PLACE

    def container(self, asked: Asked, unit: Unit, *, first: bool = False) -> Container:
        """How the official image runs it."""
        from mngdb.engines.mongodb.container import container

        return container(asked)

    def render(self, asked: Asked) -> Unit:
        """The unit that runs mongod. Raises SecretError without the secret `keyfile`."""
        from mngdb.engines.mongodb import render

        if asked.site is None:
            raise MngdbError(f"{asked.instance.name} is run by somebody else")
        return render.unit(asked, asked.site)

    def settings(self, asked: Asked) -> Mapping[str, str]:
        """mongod's options, with the manual's dotted names."""
        from mngdb.engines.mongodb import render

        return render.settings(asked)

    def rights(self, asked: Asked) -> list[str]:
        """The custom role of each app."""
        from mngdb.engines.mongodb import users
        from mngdb.spec.mongodb import MongodbGrant

        monitor = ["user monitor: clusterMonitor, read on local"]
        return (monitor if asked.instance.monitored else []) + [
            f"role {users.role_name(app)} on {right.database}: "
            + ", ".join(sorted(action for _, action in users.rights(right)))
            for app, right in asked.instance.grants.items()
            if isinstance(right, MongodbGrant)
        ]

    def admin(self, asked: Asked) -> Access:
        """The administrator's access to a managed server."""
        return logins.managed(asked)

    def external(self, asked: Asked, url: str) -> Access:
        """The administrator's access to the server at `url`. Raises UsageError."""
        return logins.external(asked, url)

    def unverified(self, access: Access) -> str:
        """What is at stake on the way to a server of somebody else."""
        return logins.unverified(access)

    def login(self, asked: Asked, at: Access, app: str) -> Access:
        """An app's access to the server that `at` leads to."""
        return logins.of_app(asked, at, app)

    def connect(self, access: Access, timeout: float = 10.0) -> AbstractContextManager[Session]:
        """A session. Raises ConnectError; `timeout` in seconds."""
        from mngdb.engines.mongodb import client

        return client.connect(access, timeout)

    def warm(self) -> None:
        """Import the driver."""
        from mngdb.engines.mongodb import client  # noqa: F401

    def bootstrap(self, asked: Asked, deadline: float) -> AbstractContextManager[Session]:
        """Wait for a server that was just started, make its replica set and administrator."""
        from mngdb.engines.mongodb import bootstrap

        return bootstrap.bootstrap(asked, deadline)

    def observe(self, session: Session, asked: Asked) -> Facts:
        """Settings, logins, roles, indexes and profilers. Raises UnobservableError."""
        from mngdb.engines.mongodb import observe

        return observe.observe(session, asked)

    def inspect(self, session: Session, asked: Asked) -> MongodbFacts:
        """What the checks judge. Raises ConnectError when the connection is lost."""
        from mngdb.engines.mongodb import inspect

        return inspect.inspect(session, asked)

    def recovery(self, lines: Sequence[str]) -> str:
        """What its log tells of a start that takes long."""
        from mngdb.engines.mongodb.recovery import recovery

        return recovery(lines)

    def blank(self, asked: Asked) -> Facts:
        """The facts of a server that `render` has just made."""
        from mngdb.engines.mongodb import reconcile

        return reconcile.blank(asked)

    def reconcile(self, asked: Asked, facts: Facts) -> Outcome:
        """What differs between asked and found."""
        from mngdb.engines.mongodb import reconcile

        return reconcile.reconcile(asked, facts)

    def unmarked(self, asked: Asked) -> frozenset[str]:
        """The file's indexes: an index cannot carry a mark."""
        from mngdb.engines.mongodb import indexes

        return indexes.labels(asked)

    def apply(self, session: Session, changes: Sequence[Change]) -> None:
        """Make a running server take hot changes. Raises StepError."""
        from mngdb.engines.mongodb import reconcile

        reconcile.apply(session, changes)

    def vitals(self, session: Session) -> Vitals:
        """Version and uptime, asked with a real query."""
        from mngdb.engines.mongodb import diagnose

        return diagnose.vitals(session)

    def metrics(self, session: Session, asked: Asked) -> Scraper:
        """Reads the server's own statistics."""
        from mngdb.engines.mongodb.metrics import Metrics

        return Metrics(session)

    def url(self, access: Access) -> str:
        """The connection string, percent-encoded."""
        return logins.url(access)

    def env(self, access: Access, prefix: str, grant: MongodbGrant) -> Mapping[str, str]:
        """The guide's variables; `grant` says nothing that `access` does not."""
        return logins.env(access, prefix)

    def shell(self, access: Access, folder: str | None) -> ShellCommand:
        """mongosh; the server's own programs hold no client."""
        return logins.shell(access)

    def diagnose(self, access: Access, grant: MongodbGrant) -> str | None:
        """What is wrong for an app, in one sentence. Raises ConnectError."""
        from mngdb.engines.mongodb import diagnose

        return diagnose.diagnose(access, grant)


ENGINE: Engine[Session, Facts] = MongodbEngine()
