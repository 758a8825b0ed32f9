"""Clusters of MongoDB Atlas: nothing runs here, and everything is asked of Atlas."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mngdb.errors import AbsentError, ConnectError, MngdbError
from mngdb.events import Waiting
from mngdb.model import Access, DesiredInstance, Notice
from mngdb.secret import Secret, generate
from mngdb.spec.alerts import secret_of
from mngdb.spec.atlas import Atlas
from mngdb.spec.file import Backup
from mngdb.spec.stack import Instance
from mngdb.targets.atlas import advisor, auth, cluster, departed, project, renewal
from mngdb.targets.atlas.api import Api
from mngdb.targets.atlas.backups import AtlasBackups
from mngdb.targets.atlas.converge import AtlasConverger
from mngdb.targets.atlas.journal import Journal
from mngdb.targets.atlas.session import ADMIN, Found, Session, Wanted
from mngdb.targets.protocol import Boot, Departed, Opened

if TYPE_CHECKING:
    from mngdb.facts.atlas import AtlasFacts
    from mngdb.facts.indexes import IndexAdvice

#: The kind of the journal's notes that have connection strings.
_STRINGS = "connection"
#: Multiplies pauses: for tests, whose clusters are made in milliseconds.
_PACE = "MNGDB_ATLAS_PACE"
_NO_WAY = (
    "the access list has to have this machine's address ('access' under 'atlas:' in the file), or "
    "this machine a private way to the cluster"
)


class AtlasTarget:
    """The target `atlas`. Nothing is asked before it has to be."""

    servers: None = None
    sidecars: None = None
    watched: None = None
    supervisor: None = None
    disposable: None = None
    outside: None = None
    checks: str = "atlas"

    def __init__(self, given: Opened) -> None:
        self.given = given
        self.journal = Journal(given.stack.state / "atlas")
        self.pace = float(given.environ.get(_PACE, "1"))
        self._guard = threading.Lock()
        self._apis: dict[str, Api] = {}
        self.backups = AtlasBackups(self.session, _atlas, self.wanted)

    def slow_log(self, asked: DesiredInstance, since: float | None) -> list[str]:
        """What the Performance Advisor has of the cluster's servers."""
        return advisor.slow_log(self.session(asked), since)

    @property
    def hosted(self) -> AtlasTarget:
        """All of them."""
        return self

    def inspect(self, asked: DesiredInstance) -> AtlasFacts:
        """What the checks judge. Raises UnobservableError."""
        from mngdb.targets.atlas.inspect import inspect

        engine = self.given.engine(asked.instance.engine)

        def uri(app: str) -> str:
            return engine.url(engine.login(asked, self.public(asked), app))

        return inspect(self.session(asked), uri)

    def removal(
        self, asked: DesiredInstance, emit: Callable[[object], None]
    ) -> Callable[[], list[Notice]] | None:
        """What removes the cluster and all around it. Raises UsageError while it is protected."""
        from mngdb.targets.atlas import remove

        if not self.journal.empty:
            session = self.session(asked, emit)
            found, mine = remove.preflight(session), departed.key(session.wanted)
            project = session.wanted.project
            shared = any(key != mine and key.startswith(f"{project}/") for key in self._known())
            return lambda: remove.remove(session, found, shared=shared)
        return None

    def suggested(self, asked: DesiredInstance) -> tuple[IndexAdvice, ...]:
        """Those that the Performance Advisor suggests."""
        return tuple(map(advisor.advice, advisor.suggested(self.session(asked))))

    def departed(self) -> list[Departed]:
        """The clusters that are noted, not in the file, and still there."""
        every = departed.noted(self.journal, self._known())
        return [told for one in every if (told := self._departed(one)) is not None]

    def _departed(self, instance: Instance) -> Departed | None:
        asked = DesiredInstance(self.given.stack.name, instance, {"admin": generate()})
        wanted = self.wanted(asked)
        with suppress(MngdbError):  # where nobody can tell, it may be there
            session = self.session(asked)
            there = project.find(session) and session.api.find(*session.cluster())
            if not there or not cluster.ours(wanted, there) or there["stateName"] == "DELETING":
                departed.forget(session)
                return None
        text = (
            f"the cluster {wanted.cluster} of the Atlas project {wanted.project} is not in the "
            f"file, and costs {cluster.price(wanted.spec.tier)}"
        )
        return Departed(instance, f"cluster {wanted.cluster}", text)

    def _known(self) -> set[str]:
        """The clusters of the file, as the journal calls them."""
        stack = self.given.stack
        every = ((one.unit, one.target.of(Atlas)) for one in stack.instances.values())
        return {
            f"{spec.project or stack.name}/{spec.cluster or unit}"
            for unit, spec in every
            if spec is not None
        }

    def ending(self) -> bool:
        """Whether the service account's secret does."""
        return self.given.secret(auth.SECRET) is not None and renewal.due(self.journal)

    def renew(self, asked: DesiredInstance, keep: Callable[[str, Secret], None]) -> bool:
        """Have Atlas make another one, where the vault holds the one in use."""
        if self.given.secret(auth.SECRET) is None:
            return False
        done = renewal.renew(self.session(asked), lambda made: keep(auth.SECRET, made))
        with self._guard:
            self._apis.clear()  # what they were opened with ends
        return done

    def site(self, instance: Instance, *, find: bool = True) -> None:
        """None: Atlas renders it."""

    def reach(self, instance: Instance, *, admin: bool = True) -> AbstractContextManager[None]:
        """Errors of the way there get advice that fits."""
        return _advice()

    def admin(self, asked: DesiredInstance) -> Access:
        """mngdb's own administrator, by every node's name. Raises MngdbError where the cluster is
        not there yet."""
        found = self._strings(asked)
        private_only = not _atlas(asked.instance).access and "private" in found
        return self._access(asked, found["private" if private_only else "standard"])

    def public(self, asked: DesiredInstance) -> Access:
        """The administrator's access as apps come to the cluster: by SRV, the private one where
        there is one."""
        found = self._strings(asked)
        names = ("privateSrv", "private", "standardSrv", "standard")
        return self._access(asked, next(found[name] for name in names if name in found))

    def converger(
        self, asked: DesiredInstance, emit: Callable[[object], None]
    ) -> AtlasConverger[Any, Any]:
        """What brings the cluster, and all around it, to what is asked."""
        engine = self.given.engine(asked.instance.engine)
        session = self.session(asked, emit)

        def admin(found: Found) -> Access:
            if found.cluster is not None:
                self._keep(session.wanted, cluster.strings(found.cluster))
            return self.admin(asked)

        return AtlasConverger(engine, asked, emit, session, admin)

    def session(
        self, asked: DesiredInstance, emit: Callable[[object], None] | None = None
    ) -> Session:
        """What the steps of an instance work on. Without `emit`, waits for Atlas alone are told.
        Raises UsageError, SecretError."""
        unit = asked.instance.unit

        def tell(text: str, shown: bool, state: str) -> None:
            if emit is not None:
                emit(Waiting(unit, text, shown, state))

        wanted = self.wanted(asked)
        api = self._api(wanted.spec.url)
        if emit is not None:
            api.tell = lambda text: tell(text, True, text)
        environ = self.given.environ
        return Session(api, wanted, self.journal, tell, environ=environ, pace=self.pace)

    def wanted(self, asked: DesiredInstance) -> Wanted:
        """What the file says of the cluster. Raises UsageError."""
        stack, spec = self.given.stack, _atlas(asked.instance)
        alerts = stack.source.alerts
        secrets = {name: self.given.secret(name) for name in alerts.secrets}
        return Wanted(
            asked=asked,
            spec=spec,
            project=spec.project or stack.name,
            named=spec.project is not None,
            cluster=spec.cluster or asked.instance.unit,
            region=cluster.region(spec.region, self.given.environ),
            mark=f"{stack.name}/{self.given.identity[:8]}",
            backup=stack.backup or Backup(),
            alerts=alerts,
            secrets={
                secret_of(name): secret
                for name in alerts.channels
                if (secret := secrets.get(secret_of(name))) is not None
            },
        )

    def preflight(self, asked: DesiredInstance) -> None:
        """Raises MngdbError without a region or credentials."""
        self.session(asked)

    def condition(self, instance: Instance) -> None:
        """Nobody can tell before the server is asked."""

    def explained(self, instance: Instance, error: MngdbError, found: object = None) -> MngdbError:
        """With what helps a client that does not come through."""
        return _explained(error)

    def where(self, instance: Instance, asked: DesiredInstance) -> tuple[str, str]:
        """The address that apps use, and what Atlas calls it."""
        wanted = self.wanted(asked)
        return self.public(asked).host, f"Atlas project {wanted.project}, cluster {wanted.cluster}"

    def boot(self) -> Boot:
        """Nothing."""
        return Boot()

    def _api(self, url: str) -> Api:
        with self._guard:
            found = self._apis.get(url)
            if found is None:
                given = auth.credentials(self.given.secret, self.given.environ)
                folder = self.given.stack.state / "atlas"
                found = self._apis[url] = Api(url, given, folder, pace=self.pace)
            return found

    def _strings(self, asked: DesiredInstance) -> dict[str, str]:
        """The cluster's connection strings: those that `up` saw, so that no command that only logs
        in asks Atlas. Raises MngdbError."""
        wanted = self.wanted(asked)
        prefix = f"{wanted.cluster} "
        notes = self.journal.of(_STRINGS)
        known = {k.removeprefix(prefix): v for k, v in notes.items() if k.startswith(prefix) and v}
        if "standard" in known:
            return known
        session = self.session(asked)
        found = session.api.find(*session.cluster()) if project.find(session) else None
        strings = cluster.strings(found) if found else {}
        if "standard" not in strings:
            raise AbsentError(f"the Atlas cluster {wanted.cluster} is not there yet", "mngdb up")
        return strings

    def _keep(self, wanted: Wanted, strings: dict[str, str]) -> None:
        known = self.journal.of(_STRINGS)
        for name in ("standard", "standardSrv", "private", "privateSrv"):
            key, text = f"{wanted.cluster} {name}", strings.get(name, "")
            if known.get(key, "") != text and self.given.stack.state.is_dir():
                self.journal.write(_STRINGS, key, text)

    def _access(self, asked: DesiredInstance, string: str) -> Access:
        scheme, _, rest = string.partition("://")
        hosts, _, query = rest.partition("?")
        url = f"{scheme}://{quote(ADMIN)}@{hosts.rstrip('/')}/?{query}"
        return self.given.engine(asked.instance.engine).external(asked, url)


def _atlas(instance: Instance) -> Atlas:
    found = instance.target.of(Atlas)
    if found is None:
        raise ValueError(f"{instance.name} is not in Atlas")
    return found


@contextmanager
def _advice() -> Iterator[None]:
    try:
        yield
    except ConnectError as error:
        raise _explained(error) from None


def _explained(error: MngdbError) -> MngdbError:
    if not isinstance(error, ConnectError):
        return error
    hints = {"down": _NO_WAY, "busy": _NO_WAY, "auth": "mngdb up", "other": _NO_WAY}
    hint = hints.get(error.kind, error.hint)
    return ConnectError(error.message, hint, error.kind)
