"""MongoDB: what it needs, how it is looked at, how it is changed.

The driver is imported when a session is opened, not when this package is.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from mngdb.container import Container
from mngdb.engines.dialogue import Dialogue
from mngdb.engines.loading import TURN
from mngdb.engines.mongodb import access as clients
from mngdb.engines.mongodb import drivers
from mngdb.engines.protocol import Engine, LogReader, Scraper
from mngdb.errors import MngdbError
from mngdb.model import Access, Change, DesiredInstance, Outcome, ShellCommand, Told, Unit, Vitals
from mngdb.part import Agree, Brought, Kind, Part, Took
from mngdb.run import Account
from mngdb.secret import Secret
from mngdb.snapshot import Feed, Removal, Saved, Sink, Taken, Trial
from mngdb.spec.engine_info import MONGODB, EngineInfo

if TYPE_CHECKING:
    from mngdb.engines.mongodb.client import Session
    from mngdb.engines.mongodb.facts import Facts
    from mngdb.facts.bloat import Bloated
    from mngdb.facts.denied import Denials, Evidence
    from mngdb.facts.found import FoundServer
    from mngdb.facts.indexes import Advice
    from mngdb.facts.mongodb import MongodbFacts
    from mngdb.facts.mongodb_memory import MongodbMemory
    from mngdb.facts.sessions import Sessions
    from mngdb.facts.slow import Slow, Span
    from mngdb.spec.stack import Instance

# the driver would look for PyOpenSSL, and on its way load all of cryptography: 8 MB, for nothing
sys.modules.setdefault("pymongo.pyopenssl_context", None)  # type: ignore[arg-type]


class MongodbEngine:
    """A MongoDB server as a replica set of one node (versions 6 to 8)."""

    info: EngineInfo = MONGODB
    stop_signal: int = signal.SIGTERM  # it steps down, writes a checkpoint and ends

    # it has no such thing
    rehearse = None
    counted = None
    statements = None
    script = None
    locks = None
    commits = None
    end_session = None
    keys = None
    keys_file = None
    incremental = None
    back_up_logically = None

    # --- provision

    def render(self, asked: DesiredInstance) -> Unit:
        """The unit that runs mongod. Raises SecretError without the secret `keyfile`."""
        from mngdb.engines.mongodb import render

        if asked.site is None:
            raise MngdbError(f"{asked.instance.name} is external")
        return render.unit(asked, asked.site)

    def settings(self, asked: DesiredInstance) -> Mapping[str, str]:
        """mongod's options, with the manual's dotted names."""
        from mngdb.engines.mongodb import render

        return render.settings(asked)

    def container(self, asked: DesiredInstance, unit: Unit, *, first: bool = False) -> Container:
        from mngdb.engines.mongodb.container import container

        return container(asked)

    def rights(self, asked: DesiredInstance) -> list[str]:
        """The custom role of each app."""
        from mngdb.engines.mongodb import users
        from mngdb.spec.mongodb import MongodbGrant, role_name

        monitor = ["user monitor: clusterMonitor, read on local"]
        return (monitor if asked.instance.monitored else []) + [
            f"role {role_name(app)} on {', '.join(right.names)}: "
            + ", ".join(sorted({action for _, action in users.rights(right)}))
            for app, right in asked.instance.granted(MongodbGrant).items()
        ]

    def recovery(self, lines: Sequence[str]) -> str:
        from mngdb.engines.mongodb import recovery

        return recovery.recovery(lines)

    # --- clients

    admin = staticmethod(clients.admin)
    external = staticmethod(clients.external)
    unverified = staticmethod(clients.unverified)
    login = staticmethod(clients.login)
    url = staticmethod(clients.url)

    def tell(self, access: Access, asked: DesiredInstance, app: str, driver: str) -> Told:
        return drivers.tell(access, driver)

    def shell(self, access: Access, folder: str | None) -> ShellCommand:
        return clients.shell(access)

    def dialogue(self, database: str, pages: bool) -> Dialogue[Session]:
        from mngdb.engines.mongodb import prompt

        return prompt.Dialogue(database, pages=pages)

    # --- observe

    def connect(self, access: Access, timeout: float = 10.0) -> AbstractContextManager[Session]:
        with TURN:
            from mngdb.engines.mongodb import client

        return client.connect(access, timeout)

    def warm(self) -> None:
        with TURN:
            from mngdb.engines.mongodb import client  # noqa: F401

    def vitals(self, session: Session) -> Vitals:
        from mngdb.engines.mongodb import vitals

        return vitals.vitals(session)

    def observe(self, session: Session, asked: DesiredInstance, *, logins: bool = False) -> Facts:
        """Settings, logins, roles, indexes and profilers. Raises UnobservableError."""
        from mngdb.engines.mongodb import observe

        return observe.observe(session, asked, logins=logins)

    def found(self, session: Session, seen: Callable[[int, int], None]) -> FoundServer:
        from mngdb.engines.mongodb import adopt

        return adopt.found(session, seen)

    def inspect(self, session: Session, asked: DesiredInstance, health: bool) -> MongodbFacts:
        from mngdb.engines.mongodb import inspect

        return inspect.inspect(session, asked, health)

    # --- reconcile

    def bootstrap(self, asked: DesiredInstance, deadline: float) -> AbstractContextManager[Session]:
        """Wait for a server that was just started, make its replica set and administrator."""
        with TURN:
            from mngdb.engines.mongodb import bootstrap

        return bootstrap.bootstrap(asked, deadline)

    def initial(self, asked: DesiredInstance) -> Facts:
        from mngdb.engines.mongodb import facts

        return facts.initial(asked)

    def reconcile(self, asked: DesiredInstance, facts: Facts) -> Outcome[Session]:
        from mngdb.engines.mongodb import reconcile

        return reconcile.reconcile(asked, facts)

    def unmarked(self, asked: DesiredInstance) -> frozenset[str]:
        """The file's indexes: an index cannot carry a mark."""
        from mngdb.engines.mongodb import indexes

        return indexes.labels(asked)

    def apply(self, session: Session, changes: Sequence[Change]) -> None:
        from mngdb.engines.mongodb import apply

        apply.apply(session, changes)

    def change_password(self, session: Session, secret: Secret) -> None:
        from mngdb.engines.mongodb import users

        users.change_password(session, secret)

    # --- metrics

    def metrics(self, session: Session, asked: DesiredInstance) -> Scraper:
        from mngdb.engines.mongodb.metrics import Metrics

        return Metrics(session)

    # --- diagnose

    def diagnose(self, access: Access, asked: DesiredInstance, app: str) -> str | None:
        from mngdb.engines.mongodb import diagnose

        return diagnose.diagnose(access, asked, app)

    def denied(self, session: Session, asked: DesiredInstance, evidence: Evidence) -> Denials:
        from mngdb.engines.mongodb import denied

        return denied.look(session, asked, evidence)

    def refusals(self, instance: Instance) -> LogReader:
        from mngdb.engines.mongodb.refusals import Follower

        return Follower()

    def sessions(self, session: Session, asked: DesiredInstance) -> Sessions:
        from mngdb.engines.mongodb import sessions

        return sessions.look(session)

    def hang_up(self, session: Session, login: str, only: Collection[str] | None) -> None:
        from mngdb.engines.mongodb import users

        users.hang_up(session, login)

    def memory(self, session: Session, asked: DesiredInstance) -> MongodbMemory:
        from mngdb.engines.mongodb import memory

        return memory.look(session, asked)

    def slow(self, session: Session, asked: DesiredInstance, span: Span) -> Slow:
        from mngdb.engines.mongodb import slow

        return slow.look(session, asked, span)

    def slow_lines(self, lines: Sequence[str], asked: DesiredInstance) -> Slow:
        from mngdb.engines.mongodb import slow

        return slow.of_lines(lines, asked)

    def bloat(self, session: Session, asked: DesiredInstance) -> Bloated:
        from mngdb.engines.mongodb import bloat

        return bloat.look(session, asked)

    def indexes(self, session: Session, asked: DesiredInstance, slow: Slow | None) -> Advice:
        from mngdb.engines.mongodb import index_use

        return index_use.look(session, asked, slow)

    # --- backup

    def back_up(
        self, session: Session, asked: DesiredInstance, access: Access, sink: Sink
    ) -> Taken:
        from mngdb.engines.mongodb import dump

        return dump.back_up(session, asked, sink)

    def lay(
        self, asked: DesiredInstance, saved: Saved, folder: Path, account: Account | None
    ) -> None:
        """Nothing: mongod makes its files, and `load` fills it."""

    def load(self, session: Session, asked: DesiredInstance, saved: Saved) -> None:
        from mngdb.engines.mongodb import load

        load.load(session, asked, saved)

    def prove(self, session: Session, asked: DesiredInstance, taken: Taken) -> tuple[Trial, ...]:
        from mngdb.engines.mongodb import hosted, prove

        look = hosted.prove if asked.hosted else prove.prove
        return look(session, taken)

    def describe(self, session: Session) -> Taken:
        from mngdb.engines.mongodb import hosted

        return hosted.describe(session)

    def caveats(self, session: Session, taken: Taken) -> tuple[str, ...]:
        from mngdb.engines.mongodb import caveats

        return caveats.caveats(session)

    def supersede(self, asked: DesiredInstance, deadline: float) -> tuple[str, ...]:
        from mngdb.engines.mongodb import bootstrap

        return bootstrap.supersede(asked, deadline)

    def follow(self, access: Access, asked: DesiredInstance, feed: Feed) -> None:
        from mngdb.engines.mongodb import oplog

        oplog.follow(access, feed)

    removing: tuple[str, ...] = ("drop", "drop collection", "dropDatabase", "drop database")
    unseen: str = "deleteMany and deleteOne"

    def removals(self, saved: Saved) -> Iterator[Removal]:
        from mngdb.engines.mongodb import removals

        return removals.removals(saved)

    parts: frozenset[Kind] = frozenset({"collection"})

    def named(self, session: Session, asked: DesiredInstance, part: Part) -> str:
        from mngdb.engines.mongodb import parts

        return parts.named(session, part)

    def bring(
        self,
        source: Session,
        target: Session,
        asked: DesiredInstance,
        part: Part,
        agree: Agree,
        took: Took,
    ) -> Brought:
        from mngdb.engines.mongodb import parts

        return parts.bring(source, target, part, agree, took)


ENGINE: Engine[Session, Facts, MongodbFacts] = MongodbEngine()
