"""Counts what servers refuse their clients, as their logs grow."""

from __future__ import annotations

from collections.abc import Iterator

from mngdb.agent.jobs import Troubles
from mngdb.engines.protocol import LogReader
from mngdb.errors import MngdbError
from mngdb.facts.denied import by_probe
from mngdb.ops import probes
from mngdb.ops.context import Context
from mngdb.samples import Family, Sample
from mngdb.secret import app_of
from mngdb.spec.stack import Member
from mngdb.targets.protocol import Servers

#: What the metric is called, and whom it counts together: logins that no app has.
_NAME, _OTHERS = "mngdb_refused_total", "others"


class Refusals:
    """Those of servers whose log is here. A log is read from where the agent found its end."""

    def __init__(self, context: Context) -> None:
        self._followed = [
            _Followed(context, member, servers, engine.refusals(instance))
            for instance in context.stack.instances.values()
            for member in instance.members
            if (engine := context.engine(instance)).refusals is not None
            and (servers := context.target(instance).servers) is not None
        ]
        self._troubles = Troubles()

    def look(self) -> None:
        """A round. A log that cannot be read is told once."""
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


class _Followed:
    """One server."""

    def __init__(
        self, context: Context, member: Member, servers: Servers, reader: LogReader
    ) -> None:
        self.member = member
        self._context = context
        self._servers = servers
        self._reader = reader
        self._mark = ""
        kinds = ("access", "login")
        apps = (*member.instance.grants, _OTHERS)
        self._counts = {(app, kind): 0 for app in apps for kind in kinds}

    def look(self) -> None:
        """Raises MngdbError, OSError."""
        first = not self._mark
        piece, self._mark = self._servers.log(self.member.name).since(self._mark)
        found = self._reader.read(piece) if piece else ()
        if first or not found:
            return  # before the agent was there; whose connections are whose is known from it
        noted = probes.of(self._context.stack.state, self.member.instance.name)
        for one in found:
            app = app_of(one.login)
            if not (one.by_mngdb and by_probe(noted, app, one.at)):
                known = app if app in self.member.instance.grants else _OTHERS
                self._counts[known, one.kind] += 1

    def samples(self) -> Iterator[Sample]:
        where = (("instance", self.member.instance.name), ("member", self.member.name))
        for (app, kind), count in self._counts.items():
            yield Sample(_NAME, (*where, ("app", app), ("kind", kind)), float(count))
