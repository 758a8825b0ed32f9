"""PostgreSQL: what it needs, how it is looked at, how it is changed.

The driver is imported when a session is opened, not when this package is.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from mngdb.container import Container
from mngdb.engines.loading import TURN
from mngdb.engines.postgres import access as clients
from mngdb.engines.postgres import drivers, render
from mngdb.engines.postgres.available import need_extensions
from mngdb.engines.postgres.container import container
from mngdb.engines.protocol import Commits, Engine, LogReader, Scraper
from mngdb.model import (
    Access,
    Change,
    DesiredInstance,
    Outcome,
    Program,
    Programs,
    Told,
    Unit,
    Vitals,
)
from mngdb.part import Agree, Brought, Kind, Part, Took
from mngdb.secret import Secret
from mngdb.spec.engine_info import POSTGRES, EngineInfo

if TYPE_CHECKING:
    from pathlib import Path

    from mngdb.engines.postgres.client import Session
    from mngdb.engines.postgres.facts import Facts
    from mngdb.facts.bloat import Bloated
    from mngdb.facts.denied import Denials, Evidence
    from mngdb.facts.found import FoundServer
    from mngdb.facts.indexes import Advice
    from mngdb.facts.locks import Backend
    from mngdb.facts.postgres import PostgresFacts
    from mngdb.facts.postgres_memory import PostgresMemory
    from mngdb.facts.sessions import Sessions
    from mngdb.facts.slow import Slow, Snapshot, Span
    from mngdb.run import Account
    from mngdb.snapshot import Feed, Removal, Saved, Sink, Taken, Trial
    from mngdb.spec.stack import Instance


class PostgresEngine:
    """The engine `postgres`."""

    info: EngineInfo = POSTGRES
    stop_signal: int = signal.SIGINT  # "fast": sessions are ended, a checkpoint is written

    # it has no such thing
    rehearse = None
    counted = None
    keys = None
    dialogue = None  # psql comes with mngdb
    keys_file = None
    supersede = None
    describe = None
    slow_lines = None

    # --- provision

    def render(self, asked: DesiredInstance) -> Unit:
        need_extensions(asked)
        return render.unit(asked)

    def settings(self, asked: DesiredInstance) -> Mapping[str, str]:
        return render.settings(asked)

    def container(self, asked: DesiredInstance, unit: Unit, *, first: bool = False) -> Container:
        return container(asked, unit, first=first)

    def rights(self, asked: DesiredInstance) -> list[str]:
        lines = [
            f"pg_hba.conf: {line}" for line in render.hba(asked).splitlines() if line[0] != "#"
        ]
        return lines if asked.managed else []

    def recovery(self, lines: Sequence[str]) -> str:
        from mngdb.engines.postgres import recovery

        return recovery.recovery(lines)

    # --- clients

    admin = staticmethod(clients.admin)
    external = staticmethod(clients.external)
    unverified = staticmethod(clients.unverified)
    login = staticmethod(clients.login)
    url = staticmethod(clients.url)
    shell = staticmethod(clients.shell)

    def tell(self, access: Access, asked: DesiredInstance, app: str, driver: str) -> Told:
        return drivers.tell(access, driver)

    # --- observe

    def connect(self, access: Access, timeout: float = 10.0) -> AbstractContextManager[Session]:
        with TURN:
            from mngdb.engines.postgres import client

        return client.connect(access, timeout)

    def warm(self) -> None:
        with TURN:
            from mngdb.engines.postgres import client  # noqa: F401

    def vitals(self, session: Session) -> Vitals:
        from mngdb.engines.postgres import vitals

        return vitals.vitals(session)

    def observe(self, session: Session, asked: DesiredInstance, *, logins: bool = False) -> Facts:
        from mngdb.engines.postgres import observe

        return observe.observe(session, asked, logins=logins)

    def found(self, session: Session, seen: Callable[[int, int], None]) -> FoundServer:
        from mngdb.engines.postgres import adopt

        return adopt.found(session, seen)

    def script(self, text: str) -> FoundServer:
        from mngdb.engines.postgres import init_sql

        return init_sql.read(text)

    def inspect(self, session: Session, asked: DesiredInstance, health: bool) -> PostgresFacts:
        from mngdb.engines.postgres import inspect

        return inspect.inspect(session, asked, health)

    # --- backup

    def back_up(
        self, session: Session, asked: DesiredInstance, access: Access, sink: Sink
    ) -> Taken:
        from mngdb.engines.postgres import base_backup

        return base_backup.back_up(session, access, sink)

    def back_up_logically(
        self, session: Session, access: Access, programs: Programs, sink: Sink
    ) -> Taken:
        from mngdb.engines.postgres import logical

        return logical.back_up(session, access, programs, sink)

    def lay(
        self, asked: DesiredInstance, saved: Saved, folder: Path, account: Account | None
    ) -> None:
        with TURN:
            from mngdb.engines.postgres import base_backup, logical

        if saved.taken.kind == "logical":
            logical.lay(asked, folder, account)
        else:
            base_backup.lay(asked, saved, folder, account)

    def load(self, session: Session, asked: DesiredInstance, saved: Saved) -> None:
        """Of the others, all is in the data folder."""
        if saved.taken.kind == "logical":
            from mngdb.engines.postgres import logical

            logical.load(session, asked, saved)

    def prove(self, session: Session, asked: DesiredInstance, taken: Taken) -> tuple[Trial, ...]:
        from mngdb.engines.postgres import base_backup

        return base_backup.prove(session, taken)

    def caveats(self, session: Session, taken: Taken) -> tuple[str, ...]:
        from mngdb.engines.postgres import caveats

        return caveats.caveats(session, taken)

    def incremental(self, program: Program) -> str:
        with TURN:
            from mngdb.engines.postgres import incremental

        return incremental.obstacle(program)

    def follow(self, access: Access, asked: DesiredInstance, feed: Feed) -> None:
        with TURN:
            from mngdb.engines.postgres import wal

        wal.follow(access, asked, feed)

    @property
    def commits(self) -> Commits[Session]:
        with TURN:
            from mngdb.engines.postgres import commits

        return commits.PostgresCommits()

    removing: tuple[str, ...] = ("DROP TABLE", "DROP DATABASE")
    unseen: str = "TRUNCATE, DELETE, and the names of tables that are younger than the snapshot"

    def removals(self, saved: Saved) -> Iterator[Removal]:
        from mngdb.engines.postgres import removals

        return removals.removals(saved)

    parts: frozenset[Kind] = frozenset({"database", "table"})

    def named(self, session: Session, asked: DesiredInstance, part: Part) -> str:
        from mngdb.engines.postgres import parts

        return parts.named(session, asked, part)

    def bring(
        self,
        source: Session,
        target: Session,
        asked: DesiredInstance,
        part: Part,
        agree: Agree,
        took: Took,
    ) -> Brought:
        from mngdb.engines.postgres import parts

        return parts.bring(source, target, asked, part, agree, took)

    # --- reconcile

    def bootstrap(self, asked: DesiredInstance, deadline: float) -> AbstractContextManager[Session]:
        with TURN:
            from mngdb.engines.postgres import bootstrap

        return bootstrap.bootstrap(asked, deadline)

    def initial(self, asked: DesiredInstance) -> Facts:
        from mngdb.engines.postgres import facts

        return facts.initial(asked)

    def reconcile(self, asked: DesiredInstance, facts: Facts) -> Outcome[Session]:
        from mngdb.engines.postgres import reconcile

        return reconcile.reconcile(asked, facts)

    def unmarked(self, asked: DesiredInstance) -> frozenset[str]:
        return frozenset()

    def apply(self, session: Session, changes: Sequence[Change]) -> None:
        from mngdb.engines.postgres import apply

        apply.apply(session, changes)

    def change_password(self, session: Session, secret: Secret) -> None:
        from mngdb.engines.postgres import roles

        session.execute(roles.password(session.access.user, secret))

    # --- metrics

    def metrics(self, session: Session, asked: DesiredInstance) -> Scraper:
        from mngdb.engines.postgres import monitor
        from mngdb.engines.postgres.metrics import Metrics

        return Metrics(session, monitor.databases(asked))

    def statements(self, session: Session, asked: DesiredInstance) -> Snapshot:
        from mngdb.engines.postgres import statements

        return statements.snapshot(session)

    # --- diagnose

    def diagnose(self, access: Access, asked: DesiredInstance, app: str) -> str | None:
        from mngdb.engines.postgres import diagnose

        return diagnose.diagnose(access, asked, app)

    def denied(self, session: Session, asked: DesiredInstance, evidence: Evidence) -> Denials:
        from mngdb.engines.postgres import denied

        return denied.look(session, asked, evidence)

    def refusals(self, instance: Instance) -> LogReader:
        from mngdb.engines.postgres.refusals import Reader

        return Reader(instance.timezone)

    def sessions(self, session: Session, asked: DesiredInstance) -> Sessions:
        from mngdb.engines.postgres import sessions

        return sessions.look(session)

    def hang_up(self, session: Session, login: str, only: Collection[str] | None) -> None:
        from mngdb.engines.postgres import sessions

        sessions.hang_up(session, login, only)

    def memory(self, session: Session, asked: DesiredInstance) -> PostgresMemory:
        from mngdb.engines.postgres import memory

        return memory.look(session)

    def slow(self, session: Session, asked: DesiredInstance, span: Span) -> Slow:
        from mngdb.engines.postgres import slow

        return slow.look(session, asked, span)

    def bloat(self, session: Session, asked: DesiredInstance) -> Bloated:
        from mngdb.engines.postgres import bloat

        return bloat.look(session, asked)

    def indexes(self, session: Session, asked: DesiredInstance, slow: Slow | None) -> Advice:
        from mngdb.engines.postgres import index_use

        return index_use.look(session, asked, slow)

    def locks(self, session: Session, asked: DesiredInstance) -> tuple[Backend, ...]:
        from mngdb.engines.postgres import locks

        return locks.look(session)

    def end_session(self, session: Session, pid: int, *, terminate: bool, force: bool) -> str:
        from mngdb.engines.postgres import locks

        return locks.end(session, pid, terminate=terminate, force=force)


ENGINE: Engine[Session, Facts, PostgresFacts] = PostgresEngine()
