"""Redis: what it needs, how it is looked at, how it is changed.

What a method needs is imported when it is called: the driver, and the file's models, which would
take longest of what each process that reads a part of an RDB file has to import.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from mngdb.engines.loading import TURN
from mngdb.part import Agree, Brought, Kind, Part, Took
from mngdb.spec.engine_info import REDIS, EngineInfo

if TYPE_CHECKING:
    from pathlib import Path

    from mngdb.container import Container
    from mngdb.engines.dialogue import Dialogue
    from mngdb.engines.protocol import Engine, Scraper
    from mngdb.engines.redis.client import Session
    from mngdb.engines.redis.facts import Facts
    from mngdb.facts.denied import Counted, Denials, Evidence
    from mngdb.facts.found import FoundServer
    from mngdb.facts.keys import Interruptible, KeysReport, Progress, Wanted
    from mngdb.facts.redis import RedisFacts
    from mngdb.facts.redis_memory import RedisMemory
    from mngdb.facts.sessions import Sessions
    from mngdb.facts.slow import Slow, Span
    from mngdb.model import (
        Access,
        Change,
        DesiredInstance,
        Outcome,
        ShellCommand,
        Told,
        Unit,
        Vitals,
    )
    from mngdb.run import Account
    from mngdb.secret import Secret
    from mngdb.snapshot import Feed, Removal, Saved, Sink, Taken, Trial


class RedisEngine:
    """The engine `redis`."""

    info: EngineInfo = REDIS
    stop_signal: int = signal.SIGTERM

    # it has no such thing
    statements = None
    script = None
    bloat = None
    indexes = None
    locks = None
    commits = None
    end_session = None
    incremental = None
    back_up_logically = None
    supersede = None
    describe = None
    slow_lines = None
    refusals = None

    # --- provision

    def render(self, asked: DesiredInstance) -> Unit:
        from mngdb.engines.redis import render

        return render.unit(asked)

    def settings(self, asked: DesiredInstance) -> Mapping[str, str]:
        from mngdb.engines.redis import render

        return render.settings(asked)

    def container(self, asked: DesiredInstance, unit: Unit, *, first: bool = False) -> Container:
        from mngdb.engines.redis.container import container

        return container(asked)

    def rights(self, asked: DesiredInstance) -> list[str]:
        from mngdb.engines.redis import acl

        return [
            f"user {user.name}: {' '.join(rule for rule in user.rules() if rule[0] != '#')}"
            for user in acl.wanted(asked).values()
        ]

    def recovery(self, lines: Sequence[str]) -> str:
        """It answers from the first moment, and says itself how far it is (`client.connect`)."""
        return ""

    # --- clients

    def admin(self, asked: DesiredInstance) -> Access:
        from mngdb.engines.redis import access as clients

        return clients.admin(asked)

    def external(self, asked: DesiredInstance, url: str) -> Access:
        from mngdb.engines.redis import access as clients

        return clients.external(asked, url)

    def unverified(self, access: Access) -> str:
        from mngdb.engines.redis import access as clients

        return clients.unverified(access)

    def login(self, asked: DesiredInstance, at: Access, app: str) -> Access:
        from mngdb.engines.redis import access as clients

        return clients.login(asked, at, app)

    def url(self, access: Access) -> str:
        from mngdb.engines.redis import access as clients

        return clients.url(access)

    def tell(self, access: Access, asked: DesiredInstance, app: str, driver: str) -> Told:
        from mngdb.engines.redis import drivers

        return drivers.tell(access, asked, app, driver)

    def shell(self, access: Access, folder: str | None) -> ShellCommand:
        from mngdb.engines.redis import access as clients

        return clients.shell(access, folder)

    def dialogue(self, database: str, pages: bool) -> Dialogue[Session]:
        from mngdb.engines.redis import prompt

        return prompt.Dialogue(database)

    # --- observe

    def connect(self, access: Access, timeout: float = 10.0) -> AbstractContextManager[Session]:
        with TURN:
            from mngdb.engines.redis import client

        return client.connect(access, timeout)

    def warm(self) -> None:
        with TURN:
            from mngdb.engines.redis import client  # noqa: F401

    def vitals(self, session: Session) -> Vitals:
        from mngdb.engines.redis import vitals

        return vitals.vitals(session)

    def observe(self, session: Session, asked: DesiredInstance, *, logins: bool = False) -> Facts:
        from mngdb.engines.redis import observe

        return observe.observe(session, asked)

    def found(self, session: Session, seen: Callable[[int, int], None]) -> FoundServer:
        from mngdb.engines.redis import adopt

        return adopt.found(session)

    def inspect(self, session: Session, asked: DesiredInstance, health: bool) -> RedisFacts:
        from mngdb.engines.redis import inspect

        return inspect.inspect(session, asked, health)

    # --- backup

    def back_up(
        self, session: Session, asked: DesiredInstance, access: Access, sink: Sink
    ) -> Taken:
        from mngdb.engines.redis import backup

        return backup.back_up(session, asked, access, sink)

    def lay(
        self, asked: DesiredInstance, saved: Saved, folder: Path, account: Account | None
    ) -> None:
        with TURN:
            from mngdb.engines.redis import lay

        lay.lay(asked, saved, folder, account)

    def load(self, session: Session, asked: DesiredInstance, saved: Saved) -> None:
        """All of it is in the data folder."""

    def prove(self, session: Session, asked: DesiredInstance, taken: Taken) -> tuple[Trial, ...]:
        from mngdb.engines.redis import backup

        return backup.prove(session, asked, taken)

    def caveats(self, session: Session, taken: Taken) -> tuple[str, ...]:
        from mngdb.engines.redis import backup

        return backup.caveats(session)

    def follow(self, access: Access, asked: DesiredInstance, feed: Feed) -> None:
        with TURN:
            from mngdb.engines.redis import stream

        stream.follow(access, asked, feed)

    removing: tuple[str, ...] = ("FLUSHALL", "FLUSHDB")
    unseen: str = "DEL, and keys that expire or are evicted"

    def removals(self, saved: Saved) -> Iterator[Removal]:
        from mngdb.engines.redis import removals

        return removals.removals(saved)

    parts: frozenset[Kind] = frozenset({"keys"})

    def named(self, session: Session, asked: DesiredInstance, part: Part) -> str:
        from mngdb.engines.redis import parts

        return parts.named(part)

    def bring(
        self,
        source: Session,
        target: Session,
        asked: DesiredInstance,
        part: Part,
        agree: Agree,
        took: Took,
    ) -> Brought:
        from mngdb.engines.redis import parts

        return parts.bring(source, target, part, agree, took)

    # --- reconcile

    def bootstrap(self, asked: DesiredInstance, deadline: float) -> AbstractContextManager[Session]:
        with TURN:
            from mngdb.engines.redis import client

        # the ACL file made the administrator before the server took its first connection
        return client.wait(self.admin(asked), deadline)

    def initial(self, asked: DesiredInstance) -> Facts:
        from mngdb.engines.redis import facts

        return facts.initial(asked)

    def reconcile(self, asked: DesiredInstance, facts: Facts) -> Outcome[Session]:
        from mngdb.engines.redis import reconcile

        return reconcile.reconcile(asked, facts)

    def unmarked(self, asked: DesiredInstance) -> frozenset[str]:
        from mngdb.engines.redis import render

        return render.unmarked(asked)

    def apply(self, session: Session, changes: Sequence[Change]) -> None:
        from mngdb.engines.redis import apply

        apply.apply(session, changes)

    def change_password(self, session: Session, secret: Secret) -> None:
        from mngdb.engines.redis import password

        password.change(session, secret)

    # --- metrics

    def metrics(self, session: Session, asked: DesiredInstance) -> Scraper:
        from mngdb.engines.redis.metrics import Metrics

        return Metrics(session)

    # --- diagnose

    def diagnose(self, access: Access, asked: DesiredInstance, app: str) -> str | None:
        from mngdb.engines.redis import diagnose

        return diagnose.diagnose(access, asked, app)

    def rehearse(self, session: Session, asked: DesiredInstance) -> Mapping[str, str]:
        from mngdb.engines.redis import diagnose

        return diagnose.rehearse(session, asked)

    def denied(self, session: Session, asked: DesiredInstance, evidence: Evidence) -> Denials:
        from mngdb.engines.redis import denied

        return denied.look(session, asked, evidence)

    def counted(self, session: Session, asked: DesiredInstance) -> Sequence[Counted]:
        from mngdb.engines.redis import denied

        return denied.counted(session, asked)

    def sessions(self, session: Session, asked: DesiredInstance) -> Sessions:
        from mngdb.engines.redis import sessions

        return sessions.look(session, asked)

    def hang_up(self, session: Session, login: str, only: Collection[str] | None) -> None:
        from mngdb.engines.redis import sessions

        sessions.hang_up(session, login, only)

    def memory(self, session: Session, asked: DesiredInstance) -> RedisMemory:
        from mngdb.engines.redis import memory

        return memory.look(session)

    def slow(self, session: Session, asked: DesiredInstance, span: Span) -> Slow:
        from mngdb.engines.redis import slow

        return slow.look(session, asked, span)

    def keys(
        self,
        session: Session,
        asked: DesiredInstance,
        wanted: Wanted,
        progress: Progress,
        interruptible: Interruptible,
    ) -> KeysReport:
        from mngdb.engines.redis.keys import read

        return read.look(session, asked, wanted, progress, interruptible)

    def keys_file(
        self, path: Path, wanted: Wanted, progress: Progress, interruptible: Interruptible
    ) -> KeysReport:
        from mngdb.engines.redis.keys import file

        return file.look(path, wanted, progress, interruptible)


ENGINE: Engine[Session, Facts, RedisFacts] = RedisEngine()
