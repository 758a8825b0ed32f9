"""What every verb needs: the stack, its vault, its host, and each instance as it is asked to be."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from mngdb import disk
from mngdb.engines.protocol import AnyEngine
from mngdb.errors import MngdbError, SecretError, UsageError, of_system
from mngdb.identity.home import require_trusted
from mngdb.identity.locate import Located, locate
from mngdb.model import Access, DesiredInstance
from mngdb.ops import ports, registry, unusable
from mngdb.ops.rotate import valid
from mngdb.ops.rotate.note import Entry, entries
from mngdb.secret import Secret, generate
from mngdb.spec.agent import MONITOR
from mngdb.spec.engine_info import ENGINE_INFO, bare_login
from mngdb.spec.file import BACKUP_SECRETS
from mngdb.spec.jwt import CURRENT, PREVIOUS
from mngdb.spec.ports import OpenPort
from mngdb.spec.problems import none_named
from mngdb.spec.stack import Instance, Member, Stack, secret_name
from mngdb.spec.target_info import TARGET_INFO
from mngdb.spec.vault import settled
from mngdb.spec.web import SECRETS as PAGE_SECRETS
from mngdb.targets import registry as targets
from mngdb.targets.protocol import Opened, Outside, Servers, Sidecars, Target
from mngdb.vaults import open_vault
from mngdb.vaults.cached import CachedVault

if TYPE_CHECKING:
    from mngdb.facts.host import MachineFacts


class Context(Struct, frozen=True, dict=True):
    """A stack, opened. Nothing on disk or on a server changes by making one."""

    stack: Stack
    environ: Mapping[str, str]
    located: Located
    keep_secrets: bool = True
    """Whether secrets are read once: right for a command, not for what runs on."""
    warn: Callable[[str], None] = lambda _: None
    """Says what a person has to see, as soon as it is known."""
    unsigned: bool = False
    """Whether backups count that nobody knows to be the stack's own."""

    @classmethod
    def open(
        cls,
        stack: Stack,
        environ: Mapping[str, str],
        *,
        fresh: bool = False,
        warn: Callable[[str], None] = lambda _: None,
    ) -> Context:
        """The stack with the place of its state; `fresh`: one that begins empty, whatever there
        was. Raises UsageError for files of somebody else's."""
        require_trusted(stack.files, environ)
        located = locate(stack.name, stack.files, environ, fresh=fresh)
        stack = ports.opened(replace(stack, state=located.state), environ)
        return cls(stack, environ, located, warn=warn)

    def claim(self) -> None:
        """Make the stack's own folder, where it is missing. Raises UsageError, OSError."""
        self.located.claim()

    def with_ports(self, *, anew: bool = False) -> Context:
        """The same with every port chosen for good that the file leaves to mngdb; with `anew`,
        those that other processes have are replaced. The stack's folder has to exist."""
        stack = ports.settled(self.stack, self.environ, self._has if anew else None)
        return self if stack is self.stack else replace(self, stack=stack)

    def _has(self, port: OpenPort) -> bool:
        """Whether what a port is for runs."""
        if not port.instance:
            return False  # the agent is a process of this machine, which keeps its ports
        instance = self.stack.instances[port.instance]
        servers = self.target(instance).servers
        return servers is not None and servers.process(instance.unit) is not None

    def require_created(self) -> None:
        """Raise UsageError where nothing was ever made of this stack here."""
        if self.located.kind == "new":
            raise UsageError("this stack has not been created yet", "run 'mngdb up' first")

    @cached_property
    def vault(self) -> CachedVault:
        stack = self.stack
        spec = stack.source.vault
        vault = open_vault(spec, stack.name, stack.folder, stack.state, self.environ, self.warn)
        return CachedVault(
            vault, self.known_secrets, keep=self.keep_secrets, check=self._check_vault
        )

    def _check_vault(self) -> None:
        if settled(self.stack.source.vault, self.environ).aws is None:
            from mngdb.vaults.aws.memory import check_left  # what most stacks do without

            check_left(self.stack.state)

    @cached_property
    def _opened(self) -> dict[str, Target]:
        """Targets by their keys, once they were asked for."""
        return {}

    def make_accounts(self) -> None:
        """As root, make the missing ones of the accounts that servers of this machine run as."""
        for kind in {one.target.kind for one in self.stack.instances.values()}:
            self.make_accounts_of(kind)

    def make_accounts_of(self, kind: str) -> None:
        """The same for servers of one target."""
        targets.kind(kind).settle(self.stack)
        self._opened.pop(kind, None)  # what has only looked so far, did without them

    def _open(self, kind: str) -> Target:
        found = self._opened.get(kind)
        if found is None:
            identity = self.located.record.id
            given = Opened(
                self.stack,
                registry.engine,
                self.environ,
                self.page_secret,
                identity,
                self.vault.get,
            )
            # of several threads, one's is everybody's
            found = self._opened.setdefault(kind, targets.kind(kind).open(given))
        return found

    def target(self, instance: Instance) -> Target:
        """Where an instance lives."""
        return self._open(instance.target.kind)

    def targets(self) -> list[Target]:
        """Every target that has an instance of the stack, or had one."""
        used = {one.target.kind for one in self.stack.instances.values()}
        made = (k for k in targets.kinds() if k in used or targets.kind(k).made(self.stack.state))
        return [self._open(kind) for kind in made]

    def servers(self) -> list[Servers]:
        """The servers of every target that mngdb starts and stops."""
        return [one.servers for one in self.targets() if one.servers is not None]

    def sidecars(self) -> list[Sidecars]:
        """What runs beside the servers, by target."""
        return [one.sidecars for one in self.targets() if one.sidecars is not None]

    def outside(self) -> list[Outside]:
        """What is seen of servers without asking them, by target."""
        return [one.outside for one in self.targets() if one.outside is not None]

    def machine(self) -> MachineFacts | None:
        """This machine, where servers of the stack are processes of it."""
        if not any(one.here for one in self.stack.instances.values()):
            return None
        found = (one.machine() for one in self.outside())
        return next((one for one in found if one is not None), None)

    def there(
        self, asked: Mapping[str, DesiredInstance], servers: Servers
    ) -> dict[str, DesiredInstance]:
        """Those instances whose servers are among them."""
        return {n: a for n, a in asked.items() if self.target(a.instance).servers is servers}

    def reach(self, instance: Instance, *, admin: bool = True) -> AbstractContextManager[None]:
        """Hold the way to a server open, where it needs one of its own. `admin`: it is for the
        administrator."""
        return self.target(instance).reach(instance, admin=admin)

    def engine(self, instance: Instance) -> AnyEngine:
        return registry.engine(instance.engine)

    def instance(self, name: str) -> Instance:
        """The instance called `name`, or that has a server of this name. Raises UsageError that
        lists those there are."""
        return self.stack.instances.get(name) or self.member(name).instance

    def member(self, name: str) -> Member:
        """The server called `name`, also without the stack's, or that of the instance. Raises
        UsageError likewise."""
        instance, members = self.stack.instances.get(name), self.stack.members
        found = members.get(name) or members.get(f"{self.stack.name}-{name}")
        found = instance.members[0] if instance else found
        if found is None:
            other = "app" if name in self.stack.apps else ""
            raise none_named("instance", name, self.stack.instances, other)
        return found

    def logins(self, instance: Instance) -> list[str]:
        """Everyone whose secret the instance needs."""
        monitor = [MONITOR] if instance.monitored else []
        admin = [] if instance.anonymous else ["admin"]
        return [*admin, *instance.own_secrets, *monitor, *instance.grants]

    def missing_secrets(self, only: Collection[str] | None = None) -> list[str]:
        """Names of the secrets that the vault does not have, of all instances or of `only` some.
        Raises SecretError for bad ones that cost more than their apps, and for missing ones that
        the vault cannot make."""
        names = self.secret_names(only)
        found = self.vault.get_many(names)
        spared = unusable.of_apps(self, only)
        bad = [error for name, error in unusable.among(self, names).items() if name not in spared]
        if bad:
            raise SecretError.together(bad)
        missing = [name for name in names if name not in found]
        if missing:
            self.vault.check_writable(missing)
        return missing

    @cached_property
    def app_secrets(self) -> frozenset[str]:
        """The vault's names of the secrets that `env` gives to apps."""
        every = self.stack.instances.values()
        return frozenset(secret_name(one, app) for one in every for app in one.grants)

    def login_secrets(self, only: Collection[str] | None = None) -> list[str]:
        """The vault's names of the passwords of all servers, or of `only` some."""
        return [
            secret_name(instance, login)
            for instance in self.stack.instances.values()
            if only is None or instance.name in only
            for login in self.logins(instance)
        ]

    def secret_names(self, only: Collection[str] | None = None) -> list[str]:
        """The vault's names of every secret of a server (or of `only` some), a page or a signer."""
        return [
            *self.login_secrets(only),
            *((CURRENT,) if self.stack.source.jwt else ()),
            *(
                PAGE_SECRETS
                if any(only is None or one.name in only for one in self.stack.insight)
                else ()
            ),
        ]

    def needed_secrets(self) -> list[str]:
        """The same with those of the alerts' channels: everything that the stack needs."""
        return [*self.secret_names(), *self.stack.source.alerts.secrets]

    def known_secrets(self) -> list[str]:
        """The same with those that are used where they are there: everything that may be kept."""
        previous = [PREVIOUS] if self.stack.source.jwt else []
        used = {one.target.kind for one in self.stack.instances.values()}
        of_targets = (name for kind in used for name in TARGET_INFO[kind].secrets)
        return [*self.needed_secrets(), *previous, *BACKUP_SECRETS, *of_targets]

    def missing(self, name: str) -> str:
        """That a secret is missing, with where it is looked for."""
        place = self.place(name)
        return f"the secret {name} is missing{f' ({place})' if place else ''}"

    def place(self, name: str) -> str:
        """Where the vault keeps a secret; empty in the folder of a stack that was never started,
        which each command would call by another name."""
        place = self.vault.where(name)
        new = self.located.kind == "new" and place.startswith(f"{self.stack.state}/")
        return "" if new else place

    def page_secret(self, name: str) -> Secret:
        """A page's secret; a random one that is kept nowhere where the vault has none."""
        return self.vault.get(name) or generate()

    def make_secrets(self, names: Iterable[str]) -> None:
        """Make missing secrets, all in one write where the vault can. Raises SecretError for one
        that cannot be made up."""
        foreign = {secret_name(i, "admin"): i for i in self.stack.instances.values()}
        made = {name: generate() for name in names}
        for name in made.keys() & foreign.keys():
            self.need_admin(foreign[name])
        if made:
            self.vault.put(made)

    def need_admin(self, instance: Instance) -> None:
        """Raises SecretError where the administrator's secret is missing of a server that somebody
        else runs: nobody can make it up."""
        name = secret_name(instance, "admin")
        external = not (instance.managed or instance.hosted or instance.anonymous)
        if external and self.vault.get(name) is None:
            raise SecretError(
                f"{self.missing(name)}: {instance.name} is external: ask its operator",
                f"mngdb secret set {name}",
            )

    def asked(
        self,
        instance: Instance,
        *,
        allow: frozenset[str] = frozenset(),
        invent: bool = False,
        find: bool = True,
        only: Collection[str] | None = None,
    ) -> DesiredInstance:
        """The instance as it is asked to be. With `invent`, missing secrets, and those of apps that
        cannot be used, are random ones that are kept nowhere: enough to plan with. Without `find`,
        the server's program is not looked for: enough to log in with. With `only`, the secrets of
        these apps and of mngdb itself are needed, and nothing is to be changed of an app whose
        secret is missing or cannot be used. Raises SecretError, UsageError."""
        going, spared = self._rotations(), frozenset[str]()
        if invent or only is not None:
            spared = unusable.logins(self, instance, missing=not invent) - {*(only or ())}
        unknown = self.unknown(instance) | spared
        known = [login for login in self.logins(instance) if login not in unknown]
        made = {login: generate() for login in unknown}
        word = ENGINE_INFO[instance.engine].login
        return DesiredInstance(
            stack=self.stack.name,
            instance=instance,
            secrets=self._secrets(instance, known, going, invent) | made,
            site=self.target(instance).site(instance, find=find),
            also=valid.beside(self.vault, instance, going),
            unknown=unknown,
            unusable=spared,
            known=frozenset(self.applied().get(instance.name, ())),
            id=self.located.record.id[:8],
            allow=allow | {word + bare_login(name) for name in allow - {"*"}},
        )

    def knows(self, app: str, made: Collection[str] = ()) -> bool:
        """Whether the vault has all of an app's passwords that can be used, once it has the
        secrets `made`: those that others may have set are not made."""
        lacking = {
            secret_name(one, app)
            for one in self.app(app)
            if app in self.unknown(one) | unusable.logins(self, one)
        }
        return lacking <= {*made}

    def obstacle(self, instance: Instance) -> MngdbError | None:
        """What keeps a server of this machine from starting, as `up` would find; None: nothing
        that is known before."""
        if not instance.here:
            return None
        try:
            self.target(instance).preflight(self.asked(instance, invent=True))
        except MngdbError as error:
            return error
        except OSError as error:
            return of_system(error)
        return None

    def all_asked(
        self,
        *,
        allow: frozenset[str] = frozenset(),
        find: bool = True,
        only: Collection[str] | None = None,
    ) -> dict[str, DesiredInstance]:
        """Every instance (or `only` some) as it is asked to be, with random secrets where the vault
        has none."""
        chosen = [i for i in self.stack.instances.values() if only is None or i.name in only]
        ask = partial(self.asked, allow=allow, invent=True, find=find)
        if not find or len(chosen) < 2:
            return {one.name: ask(one) for one in chosen}
        # each program tells its version once; side by side that is the slowest one's time
        with ThreadPoolExecutor(len(chosen)) as pool:
            return {one.instance.name: one for one in pool.map(ask, chosen)}

    def as_admin(self, instance: Instance) -> DesiredInstance:
        """The instance with what the administrator's sessions need: no app's secret, nor the
        monitor's. Raises SecretError, UsageError."""
        return self.asked(instance, find=False, only=())

    def as_login(
        self, instance: Instance, *logins: str, invent: bool = False, find: bool = False
    ) -> DesiredInstance:
        """The instance with what sessions of these logins need, and no other secret. Raises
        SecretError when one is missing or cannot be used; with `invent`, it is a random one.
        `find`: the server's program is looked for."""
        bad = unusable.logins(self, instance, missing=True) if invent else frozenset()
        return DesiredInstance(
            stack=self.stack.name,
            instance=instance,
            secrets={"admin": Secret("unused")}
            | {one: generate() if one in bad else self.secret(instance, one) for one in logins},
            site=self.target(instance).site(instance, find=find),
            unusable=frozenset(instance.grants) - {*logins},
        )

    def with_secrets(self, asked: DesiredInstance) -> DesiredInstance:
        """The same with the vault's secrets. Raises SecretError when one is missing, or cannot be
        used and is not among `asked.unusable`."""
        instance, going = asked.instance, self._rotations()
        unknown = self.unknown(instance) | asked.unusable
        known = [login for login in self.logins(instance) if login not in unknown]
        secrets = self._secrets(instance, known, going) | {one: generate() for one in unknown}
        also = valid.beside(self.vault, instance, going)
        return replace(asked, secrets=secrets, also=also, unknown=unknown)

    def unknown(self, instance: Instance) -> frozenset[str]:
        """Apps of an adopted server whose passwords the vault does not have: others set them."""
        if not instance.adopt:
            return frozenset()
        found = self.vault.get_many([secret_name(instance, app) for app in instance.grants])
        return frozenset(a for a in instance.grants if secret_name(instance, a) not in found)

    def secret(self, instance: Instance, login: str) -> Secret:
        """A login's secret. Raises SecretError when it is missing or cannot be used."""
        if login not in {"admin", *self.logins(instance)}:
            self.app(login)  # one that there is not is told as such
            known = ", ".join(instance.grants) or "none"
            raise UsageError(
                f"the app {login!r} has no rights on {instance.name}", f"apps with rights: {known}"
            )
        found = self._secrets(instance, [login], self._rotations())[login]
        unusable.check_printable(self, secret_name(instance, login), found)
        return found

    def _rotations(self) -> Collection[Entry]:
        """Those that are not over. Raises UsageError."""
        return entries(self.stack.state).values()

    def _secrets(
        self,
        instance: Instance,
        logins: Iterable[str],
        going: Collection[Entry],
        invent: bool = False,
    ) -> dict[str, Secret]:
        names = {login: secret_name(instance, login) for login in logins}
        entries = self.vault.get_many(names.values())
        found = {}
        for login, name in names.items():
            entry = entries.get(name)
            secret = entry.usable() if entry else None
            if secret is None and not invent and not (login == "admin" and instance.anonymous):
                self.vault.check_writable([name])
                raise SecretError(
                    self.missing(name),
                    "run 'mngdb up'"
                    if instance.managed or instance.hosted
                    else f"mngdb secret set {name}",
                )
            found[login] = secret or generate()
        return found | valid.settled(self, instance, going, found)

    def admin(self, asked: DesiredInstance) -> Access:
        """The administrator's access over TCP."""
        return self.target(asked.instance).admin(asked)

    def public(self, asked: DesiredInstance, app: str | None) -> Access:
        """An app's access as the app itself has it; without an app the administrator's."""
        at = self.target(asked.instance).public(asked)
        return asked.given(at if app is None else self.engine(asked.instance).login(asked, at, app))

    def login(self, asked: DesiredInstance, app: str | None) -> Access:
        """An app's access; without an app the administrator's."""
        at = self.admin(asked)
        if app is None:
            return at
        return self.engine(asked.instance).login(asked, at, app)

    def app(self, name: str) -> list[Instance]:
        """The instances that an app uses. Raises UsageError that lists the apps there are."""
        if name not in self.stack.apps:
            other = "instance" if name in self.stack.instances else ""
            raise none_named("app", name, self.stack.apps, other)
        return [i for i in self.stack.instances.values() if name in i.grants]

    # --- what an earlier `up` made and could not mark on the server

    @property
    def _record(self) -> Path:
        return self.stack.state / "applied.json"

    def applied(self) -> dict[str, list[str]]:
        """Instance to objects, as the last `up` left them."""
        try:
            found = json.loads(disk.read_own(self._record) or "{}")
            return {str(name): [*map(str, objects)] for name, objects in found.items()}
        except (ValueError, TypeError, AttributeError, RecursionError):
            raise UsageError(
                f"{self._record} is damaged",
                "remove it; indexes that were removed from the file are then no longer reported",
            ) from None

    def record(self, objects: Mapping[str, Iterable[str]]) -> None:
        """Keep what is there now, by instance."""
        known = self.applied() | {name: sorted(found) for name, found in objects.items()}
        known = {k: v for k, v in known.items() if v}
        if known != self.applied():
            disk.write(self._record, json.dumps(known, indent=1) + "\n")
