"""The stack: what the file means, with every default filled in and every name resolved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import urlsplit

from msgspec import Struct

from mngdb.spec.agent import Agent
from mngdb.spec.app import AppKeys
from mngdb.spec.base import BaseGrant, BaseInstance, EngineName, Logical, RecoveryPoint
from mngdb.spec.compose import Compose
from mngdb.spec.engine_info import ENGINE_INFO, unit_suffix
from mngdb.spec.file import Backup, StackFile
from mngdb.spec.target import Target
from mngdb.spec.target_models import External
from mngdb.spec.units import Amount

G = TypeVar("G", bound=BaseGrant)


#: The stack's own server, one of restored data beside it, or one from which a part is taken.
Role = Literal["live", "beside", "source"]


class Instance(Struct, frozen=True):
    """A server of the stack, later a replicated set of them, and who may use it."""

    name: str
    engine: EngineName
    unit: str
    """What the server is called, of which there is one today."""
    spec: BaseInstance
    target: Target
    tls: bool
    memory: Amount
    grants: Mapping[str, BaseGrant]
    """App to right."""
    monitored: bool = False
    """Whether the agent or an exporter looks at it, by a login of its own."""
    archived: bool = False
    """Whether the agent writes its log to the store."""
    recovery_point: RecoveryPoint = "stream"
    """Whether commits wait until the store has them."""
    logical: Logical = False
    """Whether logical snapshots are taken of it besides the others, or alone, where its engine has
    them."""
    adopt: bool = False
    """Whether what others made on the server is kept: nothing is revoked, no password is set."""
    role: Role = "live"
    filling: bool = False
    """Whether a restore fills it, and nobody reads it yet: nothing has to be kept of each write."""
    timezone: str = "UTC"
    """Time zone of its log."""
    closed: bool = False
    """Whether no app may log in, as long as mngdb reads restored data that nobody may change."""

    @property
    def members(self) -> tuple[Member, ...]:
        """Its servers."""
        return (Member(self.unit, self),)

    @property
    def own_secrets(self) -> tuple[str, ...]:
        """Secrets that the server needs besides those of its logins, where it is ours."""
        return ENGINE_INFO[self.engine].own_secrets if self.managed else ()

    def granted(self, kind: type[G]) -> dict[str, G]:
        """App to right, given what those of its engine are: the file lets in no others."""
        return {app: one for app, one in self.grants.items() if isinstance(one, kind)}

    @property
    def managed(self) -> bool:
        """Whether the server itself is ours: its settings, its files, its restarts."""
        return self.target.managed

    @property
    def hosted(self) -> bool:
        """Whether a provider makes and runs the server for us."""
        return self.target.hosted

    @property
    def here(self) -> bool:
        """Whether it is a process of this machine."""
        return self.target.here

    @property
    def contained(self) -> bool:
        """Whether it is reached by name, in a network of its own."""
        return self.target.contained

    @property
    def anonymous(self) -> bool:
        """Whether it is a server of somebody else that asks for no login: its URL names no user."""
        external = self.target.of(External)
        return bool(external and ENGINE_INFO[self.engine].anonymous and "@" not in external.url)

    @property
    def shares_admin(self) -> bool:
        """Whether its administrator is the login of all clients that name none, on a server of
        somebody else."""
        external, nameless = self.target.of(External), ENGINE_INFO[self.engine].nameless
        if external is None or not nameless:
            return False
        return (urlsplit(external.url).username or nameless) == nameless

    @property
    def published(self) -> str | None:
        """HOST:PORT where one that is `contained` is reached from outside; None: nowhere."""
        compose = self.target.of(Compose)
        return compose.publish.get(self.name) if compose else None


class Member(Struct, frozen=True):
    """One server of an instance. What is true of a server (address, version, role, lag) is a
    member's; what is true of the database (logins, rights, indexes, backups) is the instance's."""

    name: str
    """Its unit's; also a server that somebody else runs has one."""
    instance: Instance


class Stack(Struct, frozen=True):
    """Everything that one file describes. `folder` is where the file is, `state` the stack's own
    folder: known once it was looked for (mngdb.identity)."""

    name: str
    folder: Path
    files: tuple[Path, ...]
    source: StackFile
    instances: Mapping[str, Instance]
    apps: Mapping[str, Mapping[str, BaseGrant]]
    keys: Mapping[str, AppKeys]
    """App to what the file says of it besides its rights."""
    backup: Backup | None
    variables: frozenset[str] = frozenset()
    """Those of the environment that the files name."""
    state: Path = Path("/nonexistent")
    chosen: Mapping[str, int] = {}
    """Ports that mngdb chose, by their names (mngdb.spec.ports)."""

    @property
    def agent(self) -> Agent | None:
        """The agent, where the stack has one: it looks after servers on this machine; elsewhere it
        runs where the file asks for it, or for somebody who tells the channels. Of a provider's
        servers it keeps the schedule of drills and passwords alone."""
        found = self.source.agent
        every = self.instances.values()
        named = "agent" in self.source.model_fields_set
        asked = named or bool(self.source.alerts.channels)
        wanted = any(one.here for one in every) or (asked and bool(self.monitored))
        wanted = wanted or (named and any(one.hosted for one in every))
        return found if wanted and isinstance(found, Agent) else None

    @property
    def members(self) -> dict[str, Member]:
        """The servers of all instances, by their names."""
        return {one.name: one for found in self.instances.values() for one in found.members}

    @property
    def monitored(self) -> list[Instance]:
        """The instances that the agent looks at, where there is one."""
        return [instance for instance in self.instances.values() if instance.monitored]

    @property
    def insight(self) -> tuple[Instance, ...]:
        """The Redis servers that RedisInsight is for, where there is one: those in containers."""
        if self.source.redisinsight is None:
            return ()
        here = [one for one in self.instances.values() if one.contained]
        return tuple(one for one in here if one.engine == "redis")

    @property
    def page_roles(self) -> tuple[str, ...] | None:
        """Roles of which a person needs one to open RedisInsight; None: there is no such page."""
        sso = self.source.sso
        return tuple(sso.roles) if self.insight and sso is not None else None

    @property
    def by_engine(self) -> dict[str, list[Instance]]:
        """The instances of each engine that the stack has."""
        found: dict[str, list[Instance]] = {}
        for instance in self.instances.values():
            found.setdefault(instance.engine, []).append(instance)
        return found


def declared(source: StackFile) -> dict[str, BaseInstance]:
    """Instance name to what the file says of it; default instances first."""
    found: dict[str, BaseInstance] = {}
    for engine in ENGINE_INFO:
        spec = getattr(source, engine)
        if spec is not None:
            found[engine] = spec
    return found | dict(source.instances)


def resolve(
    source: StackFile,
    grants: Mapping[str, Mapping[str, BaseGrant]],
    keys: Mapping[str, AppKeys],
    files: tuple[Path, ...],
) -> Stack:
    """The stack that a valid file describes."""
    specs = {name: _serving(source, name, spec, grants) for name, spec in declared(source).items()}
    grants = _limited(grants, source, specs)
    shares = _memory(source, specs)
    instances = {
        name: Instance(
            name=name,
            engine=spec.engine,
            unit=f"{source.name}-{unit_suffix(name)}",
            spec=spec,
            target=_place(source, spec),
            tls=source.tls if spec.tls is None else spec.tls,
            memory=shares[name],
            grants={app: rights[name] for app, rights in grants.items() if name in rights},
            monitored=_monitored(source.agent, spec.target or source.target),
            archived=_archived(source)
            and spec.dumped != "only"
            and not (spec.target or source.target).hosted,
            recovery_point=spec.promised,
            logical=_logical(source, spec),
            timezone=source.timezone,
            adopt=_adopted(source, spec),
        )
        for name, spec in specs.items()
    }
    return Stack(
        name=source.name,
        folder=files[0].resolve().parent,
        files=files,
        source=source,
        instances=instances,
        apps=grants,
        keys=keys,
        backup=_in_its_zone(source),
    )


def _place(source: StackFile, spec: BaseInstance) -> Target:
    """Where an instance lives. The options of the stack's target are said once, for all of it."""
    own = spec.target
    if own is None or (own.kind == source.target.kind and not own.settings.model_fields_set):
        return source.target
    return own


def _in_its_zone(source: StackFile) -> Backup | None:
    backup = source.backup
    if backup is None or " " in backup.at or source.timezone == "UTC":
        return backup
    return backup.model_copy(update={"at": f"{backup.at} {source.timezone}"})


def _monitored(agent: Agent | bool, target: Target) -> bool:
    """Servers of others only on request: they get a login. A provider monitors its own."""
    if not isinstance(agent, Agent) or target.hosted:
        return False
    return target.managed or agent.external


def _archived(source: StackFile) -> bool:
    asked = source.backup is not None and bool(source.backup.keep.point_in_time)
    return asked and isinstance(source.agent, Agent)


def _adopted(source: StackFile, spec: BaseInstance) -> bool:
    """Only where others run the server: on one of ours there is nothing to keep."""
    target = spec.target or source.target
    asked = source.adopt if spec.adopt is None else spec.adopt
    return asked and not (target.managed or target.hosted)


def _logical(source: StackFile, spec: BaseInstance) -> Logical:
    if spec.dumped is not None:
        return spec.dumped
    return source.backup is not None and source.backup.logical


def _serving(
    source: StackFile,
    name: str,
    spec: BaseInstance,
    grants: Mapping[str, Mapping[str, BaseGrant]],
) -> BaseInstance:
    """What the file says of an instance, with what its apps' software needs of a server of ours."""
    if not (spec.target or source.target).managed:
        return spec
    return spec.serving({app: rights[name] for app, rights in grants.items() if name in rights})


def _limited(
    grants: Mapping[str, Mapping[str, BaseGrant]],
    source: StackFile,
    specs: Mapping[str, BaseInstance],
) -> dict[str, dict[str, BaseGrant]]:
    """The rights, with what the apps' software needs, and each with its share where several apps
    use a server of ours."""
    users = Counter(name for rights in grants.values() for name in rights)

    def one(name: str, right: BaseGrant) -> BaseGrant:
        spec = specs.get(name)
        ours = spec is not None and (spec.target or source.target).managed
        right = right.resolved(alone=ours and users[name] == 1)
        return right.among(spec) if ours and users[name] > 1 else right

    return {
        app: {name: one(name, right) for name, right in rights.items()}
        for app, rights in grants.items()
    }


def secret_name(instance: Instance | str, login: str) -> str:
    """The vault's name of a login's secret on an instance, or on the one of that name."""
    return f"{instance if isinstance(instance, str) else instance.name}_{login}"


def _memory(source: StackFile, specs: Mapping[str, BaseInstance]) -> dict[str, Amount]:
    """Memory of each instance: what the file says, else the engine's share."""
    here = {n: s for n, s in specs.items() if (s.target or source.target).managed}
    infos = {name: ENGINE_INFO[spec.engine] for name, spec in specs.items()}
    found = {
        name: spec.memory or Amount(share=infos[name].memory)
        for name, spec in specs.items()
        if spec.memory or not infos[name].adapts
    }
    left = max(0.1, 1 - sum(found[name].share or 0.0 for name in here if name in found))
    silent = max(1, sum(name not in found for name in here))
    return {
        name: found.get(name) or Amount(share=round(infos[name].memory * left / silent, 4))
        for name in specs
    }
