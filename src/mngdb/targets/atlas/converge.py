"""A cluster from what is asked to what is: Atlas' resources first, then what is in the database."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

from msgspec.structs import replace

from mngdb import stopping
from mngdb.engines.protocol import F, S
from mngdb.errors import ConnectError, OvertakenError, StepError
from mngdb.events import Survey
from mngdb.model import Access, Notice, Outcome, Step
from mngdb.secret import Secret, app_of
from mngdb.targets.additive import sparing
from mngdb.targets.atlas import (
    access_list,
    alert_configs,
    backup_schedule,
    cluster,
    credentials,
    departed,
    peering,
    private_link,
    project,
    users,
)
from mngdb.targets.atlas.look import look
from mngdb.targets.atlas.session import (
    ADMIN,
    AtlasStep,
    Found,
    Session,
    Wanted,
    maker,
    take_over,
)
from mngdb.targets.converge import Converger

#: Rounds of looking and changing, and those that an answer that was lost on the way ended early.
_ROUNDS, _LOST = 3, 40
#: Seconds that Atlas may take to bring users and addresses to a cluster, between two tries, and
#: how a login fails until then.
_SPREAD, _PAUSE = 180.0, 3.0
_SOON = frozenset({"auth", "busy", "down", "tls", "other"})


@dataclass
class AtlasConverger(Converger[S, F]):
    """Works on one instance. `admin` gives mngdb's own access to the cluster that was found."""

    session: Session
    admin: Callable[[Found], Access]
    changed: bool = False
    """Whether this command has changed something in Atlas."""

    def survey(self) -> Survey:
        """The steps in Atlas, then those in the database, where it can be asked already."""
        found = look(self.session)
        _preflight(self.session.wanted, found)
        steps: list[Step[Any]] = [*self._steps(found)]
        told = self._notices(found)
        if not cluster.usable(self.session.wanted, found.cluster):
            inside = self.engine.reconcile(self.asked, self.engine.initial(self.asked))
            return Survey((*steps, *sparing(self.asked, inside).steps), told)
        if _needed(steps):
            text = "the database itself is compared once these steps are done"
            return Survey(tuple(steps), (*told, Notice(self.asked.instance.name, text)))
        with self.engine.connect(self.admin(found)) as server:
            seen = self._look(server)
        return Survey((*steps, *seen.steps), (*told, *seen.notices))

    def _up(self, *, restart: bool) -> Outcome[S]:
        found = self._made()
        users.settle(self.session, found)
        if credentials.due(self.session):
            credentials.days_left(self.session, found.project)
        told = self._notices(found)
        left: list[Step[Any]] = [one for one in self._steps(found) if not self.may(one)]
        if not cluster.usable(self.session.wanted, found.cluster):
            return Outcome(steps=tuple(left), notices=told)
        with self._entered(found) as server:
            inside = self._converge(server)
        return replace(inside, steps=(*left, *inside.steps), notices=(*told, *inside.notices))

    @contextmanager
    def _entered(self, found: Found, secret: Secret | None = None) -> Iterator[S]:
        """Log in, by `secret` where that is given. Atlas takes a while to bring new users and
        addresses to the cluster: after a change the first refusals are waited out. Raises
        ConnectError."""
        end = time.monotonic() + (_SPREAD if self.changed else 0.0)
        with ExitStack() as stack:
            while True:
                try:
                    access = self.admin(found)
                    access = access if secret is None else replace(access, password=secret)
                    server = stack.enter_context(self.engine.connect(access))
                    break
                except ConnectError as error:
                    if error.kind not in _SOON or time.monotonic() > end:
                        raise
                    self.session.tell(f"not reachable yet: {error.message}", False, error.kind)
                    stopping.sleep(_PAUSE * self.session.pace)
            yield server

    @contextmanager
    def connected(self) -> Iterator[S]:
        with self.engine.connect(self.admin(look(self.session))) as server:
            yield server

    def logins(self, names: Collection[str]) -> dict[str, StepError]:
        """As on other targets; here they are Atlas' own. Raises StepError also for what Atlas did
        not take."""
        refused: dict[str, StepError] = {}
        for _ in range(_ROUNDS):
            found, wanted = look(self.session), self.session.wanted
            every = users.steps(wanted, found, self.session.journal, maker(wanted))
            todo = []
            for step in every:
                if step.object not in names or app_of(step.object) in refused:
                    continue
                try:
                    self._permit(step)
                    todo.append(step)
                except StepError as error:
                    refused[app_of(step.object)] = error
            if not todo:
                return refused
            self._take(todo)
        raise StepError(f"{self.name}: Atlas did not take {', '.join(s.object for s in todo)}")

    def change_admin(self, secret: Secret) -> None:
        asked = replace(self.asked, secrets={**self.asked.secrets, "admin": secret})
        self.session.wanted = replace(self.session.wanted, asked=asked)
        for refused in self.logins([ADMIN]).values():
            raise refused
        self.changed = True
        with self._entered(look(self.session), secret):
            pass  # what comes next logs in by it

    def _made(self) -> Found:
        """Look and change until nothing is left but what nobody allowed. Raises StepError."""
        rounds, lost = 0, 0
        while True:
            found = look(self.session)
            _preflight(self.session.wanted, found)
            steps = self._steps(found)
            todo = [step for step in steps if self.may(step)]
            unpaid = any(step.costs and step not in todo for step in steps)
            if found.cluster is None and unpaid:
                return found  # nothing is made around a cluster that nobody agreed to pay for
            if not todo:
                return found
            if rounds == _ROUNDS or lost == _LOST:
                break
            if found.cluster is None or cluster.usable(self.session.wanted, found.cluster):
                departed.note(self.session)
            said, self.changed = self._take(todo), True
            lost, rounds = lost + bool(said), rounds + (not said)
        names = ", ".join(f"{step.action} {step.object} ({step.detail})" for step in todo)
        raise StepError(
            f"{self.name} still differs from the file after {rounds + lost} rounds; remaining: "
            f"{names}",
            said or "something else may be changing it",
        )

    def _take(self, steps: list[AtlasStep]) -> str:
        """Each in its turn, until an answer is lost on the way, which it returns. One that concerns
        itself alone keeps none of the others from being done; without the project and the cluster
        there are no others."""
        refused: list[StepError] = []
        for step in steps:
            try:
                self._do(step, self.session)
            except OvertakenError as error:
                return error.message  # the next round sees what is there
            except StepError as error:
                if step.object.partition(" ")[0] in {"project", "cluster"}:
                    raise
                refused.append(error)
        if refused:
            raise StepError.together(refused)
        return ""

    def _settings(self, outcome: Outcome[S]) -> list[Step[S]]:
        """None: the server's settings are Atlas'."""
        return []

    def _steps(self, found: Found) -> list[AtlasStep]:
        """In the order in which they are taken: what takes long is begun early, and what the
        cluster's network depends on comes before it."""
        wanted, journal = self.session.wanted, self.session.journal
        make = maker(wanted)
        if found.project is not None and not project.usable(wanted, found.project):
            return [*project.steps(wanted, found, make)]
        if found.cluster is None and users.administered(wanted, found):
            # by another stack: a cluster that we cannot log in to costs as much
            return [take_over(make, ADMIN, "a database user")]
        ready = cluster.usable(wanted, found.cluster) or found.cluster is None
        groups = (
            project.steps(wanted, found, make),
            access_list.steps(wanted, found, make),
            peering.before(wanted, found, journal, make),
            private_link.before(wanted, found, journal, make),
            cluster.steps(wanted, found, make),
            users.steps(wanted, found, journal, make) if ready else (),
            backup_schedule.steps(wanted, found, make) if ready else (),
            alert_configs.steps(wanted, found, journal, make),
            private_link.after(wanted, found, journal, make) if ready else (),
            peering.after(wanted, found, journal, make) if ready else (),
        )
        return [*chain.from_iterable(groups)]

    def _notices(self, found: Found) -> tuple[Notice, ...]:
        wanted = self.session.wanted
        return (
            *project.notices(wanted, found),
            *cluster.notices(wanted, found),
            *users.notices(wanted, found),
            *access_list.notices(wanted, found),
            *_names(wanted, found),
            *credentials.notices(self.session),
        )


def _needed(steps: list[Step[Any]]) -> bool:
    """Whether some have to be done before mngdb itself can log in."""
    first = {"cluster", "access", "private", "peering"}
    return any(step.object.partition(" ")[0] in first or step.object == ADMIN for step in steps)


def _names(wanted: Wanted, found: Found) -> Iterator[Notice]:
    if found.private_dns is False:
        link = wanted.spec.private_link or wanted.spec.peering
        vpc = link.vpc if link else ""
        yield Notice(
            wanted.known,
            f"{vpc} does not resolve names to private addresses",
            f"aws ec2 modify-vpc-attribute --vpc-id {vpc} --enable-dns-hostnames, and "
            "--enable-dns-support",
        )


def _preflight(wanted: Wanted, found: Found) -> None:
    """Raise UsageError for what the file asks for and cannot be, before anything is made."""
    access_list.preflight(wanted, found)
    peering.preflight(wanted, found)
