"""Counts what servers refuse their clients, by app."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from mngdb.agent.jobs import Troubles
from mngdb.errors import ConnectError, MngdbError
from mngdb.facts.denied import Counted, Probe, by_others, by_probe
from mngdb.ops import probes
from mngdb.ops.context import Context
from mngdb.samples import Family, Sample
from mngdb.secret import app_of
from mngdb.spec.stack import Member

#: What the metric is called, and whom it counts together: logins that no app has.
_NAME, _OTHERS = "mngdb_refused_total", "others"
#: Seconds that a server may take to answer.
_PATIENCE = 5.0


class Refusals:
    """Those of servers whose log is here, and of those that count themselves."""

    def __init__(self, context: Context) -> None:
        members = [one for instance in context.stack.instances.values() for one in instance.members]
        self._followed = [
            kind(context, member)
            for member in members
            for kind in (_Logged, _Counting)
            if kind.fits(context, member)
        ]
        self._troubles = Troubles()

    def look(self) -> None:
        """A round. A server that cannot be looked at is told once."""
        for one in self._followed:
            wrong = ""
            try:
                one.look()
            except (MngdbError, OSError) as error:
                wrong = f"what it refuses its clients is not counted: {error}"
            self._troubles.tell(one.member.name, wrong, "what it refuses is counted again")

    def families(self) -> Iterator[Family]:
        """The counts; every app has its own from the beginning, so that a first one is seen."""
        samples = [sample for one in self._followed for sample in one.samples()]
        yield Family(_NAME, "counter", "What the server refused an app, or its login", samples)


class _Followed(ABC):
    """The counts of one server since the agent began."""

    def __init__(self, context: Context, member: Member) -> None:
        self.member = member
        self._context = context
        apps = (*member.instance.grants, _OTHERS)
        self._counts = {(app, kind): 0 for app in apps for kind in ("access", "login")}

    @staticmethod
    @abstractmethod
    def fits(context: Context, member: Member) -> bool:
        """Whether a server is looked at in this way."""

    @abstractmethod
    def look(self) -> None:
        """Count what is new. Raises MngdbError, OSError."""

    def samples(self) -> Iterator[Sample]:
        """One for each app and kind."""
        where = (("instance", self.member.instance.name), ("member", self.member.name))
        for (app, kind), count in self._counts.items():
            yield Sample(_NAME, (*where, ("app", app), ("kind", kind)), float(count))

    def _count(self, app: str, kind: str, times: int) -> None:
        known = app if app in self.member.instance.grants else _OTHERS
        self._counts[known, kind] += times

    def _noted(self) -> list[Probe]:
        return probes.of(self._context.stack.state, self.member.instance.name)


class _Logged(_Followed):
    """By its log, from where the agent found its end."""

    def __init__(self, context: Context, member: Member) -> None:
        super().__init__(context, member)
        make = context.engine(member.instance).refusals
        self._reader = make(member.instance) if make else None
        self._mark = ""

    @staticmethod
    def fits(context: Context, member: Member) -> bool:
        servers = context.target(member.instance).servers
        return servers is not None and context.engine(member.instance).refusals is not None

    def look(self) -> None:
        servers, first = self._context.target(self.member.instance).servers, not self._mark
        if servers is None or self._reader is None:
            return
        piece, self._mark = servers.log(self.member.name).since(self._mark)
        found = self._reader.read(piece) if piece else ()
        if first or not found:
            return  # of the lines before the agent was there, only whose connections are whose
        for one in by_others(found, self._noted()):
            self._count(app_of(one.login), one.kind, 1)


class _Counting(_Followed):
    """By the server's own counts. The session is kept where the server is a process of this
    machine: to hold the way to a container open takes a process of its own."""

    def __init__(self, context: Context, member: Member) -> None:
        super().__init__(context, member)
        self._before: dict[str, int] | None = None
        self._session: Any = None
        self._held = ExitStack()
        self._keeps = context.target(member.instance).watched is not None

    @staticmethod
    def fits(context: Context, member: Member) -> bool:
        return member.instance.managed and context.engine(member.instance).counted is not None

    def look(self) -> None:
        found = self._answered()
        before, self._before = self._before, {one.id: one.times for one in found}
        if before is None:
            return
        noted, now = self._noted(), time.time()
        for one in found:
            more = one.times - before.get(one.id, 0)
            if more > 0 and not (one.kind == "login" and by_probe(noted, one.app, now - one.age)):
                self._count(one.app, one.kind, more)

    def _answered(self) -> Sequence[Counted]:
        kept = self._session is not None
        try:
            return self._asked()
        except ConnectError:
            if not kept:  # else its server may be another by now, or a rotation have ended it
                raise
        return self._asked()

    def _asked(self) -> Sequence[Counted]:
        context, instance = self._context, self.member.instance
        engine, asked = context.engine(instance), context.as_admin(instance)
        keeps = False
        try:
            if self._session is None:
                self._held.enter_context(context.reach(instance))
                opened = engine.connect(context.admin(asked), _PATIENCE)
                self._session = self._held.enter_context(opened)
            found = engine.counted(self._session, asked) if engine.counted else ()
            keeps = self._keeps
        finally:
            if not keeps:
                self._session = None
                self._held.close()
        return found
