"""What every target has: a place where instances live, whoever runs them.

Each target is a package whose `KIND` is registered in `mngdb.targets.registry`. What only some have
is a part of its own, None in the others: `servers` where mngdb starts and stops them, `sidecars`
where something runs beside them, `outside` where more is seen of a server than it says itself.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from msgspec import Struct

from mngdb.engines.protocol import AnyEngine
from mngdb.errors import MngdbError
from mngdb.model import Access, DesiredInstance, Notice, ShellCommand, Site, Step
from mngdb.run import Account
from mngdb.secret import Secret
from mngdb.spec.base import EngineName
from mngdb.spec.stack import Instance, Stack
from mngdb.targets.backups import OwnBackups
from mngdb.targets.converge import Converger
from mngdb.targets.log import Log

if TYPE_CHECKING:
    from mngdb.facts.doctor import Condition, Service
    from mngdb.facts.host import Folder, MachineFacts, ServerFacts
    from mngdb.facts.indexes import IndexAdvice
    from mngdb.facts.memory import Footprint

#: `absent`: never made; `stopped`: its data is there; `missing`: its data was there; `running`.
State = Literal["absent", "stopped", "missing", "running"]
#: What `--allow` names to go on in a place that was replaced since the last command.
ALLOW_ENGINE = "engine"


class UnitRecord(Struct, frozen=True):
    """A unit that was made: also one that the file no longer names."""

    unit: str
    instance: str
    engine: EngineName


class Running(Protocol):
    """A unit that runs."""

    def memory(self) -> int | None:
        """Bytes that it has; None where it cannot be known."""
        ...

    def uptime(self) -> float:
        """Seconds since it started."""
        ...

    @property
    def verdict(self) -> str:
        """What somebody else who looks after it thinks (Docker): starting, healthy, unhealthy;
        empty: nobody does."""
        ...

    @property
    def said(self) -> str:
        """The last words of that look."""
        ...


class Health(Struct, frozen=True):
    """A server at a glance, as its supervisor has it."""

    up: bool
    """Whether its process runs: it is not paused, and does not end again and again."""
    restarts: int
    """How often it was started again since it was made."""


class Boot(Struct, frozen=True):
    """What a stack needs of a machine that boots, to be started then."""

    after: tuple[str, ...] = ()
    """Units of systemd that have to run before."""
    variables: tuple[str, ...] = ()
    """Variables of the environment that say where things are."""
    mounts: tuple[Path, ...] = ()
    """Folders that have to be mounted."""


class Target(Protocol):
    """A place where instances live."""

    @property
    def servers(self) -> Servers | None:
        """The servers, where mngdb starts and stops them."""
        ...

    @property
    def sidecars(self) -> Sidecars | None:
        """What runs beside the servers, where something does."""
        ...

    @property
    def outside(self) -> Outside | None:
        """What is seen of servers without asking them, where something is."""
        ...

    @property
    def watched(self) -> Watched | None:
        """The servers, where the agent is who starts them again when they crash."""
        ...

    @property
    def supervisor(self) -> Supervisor | None:
        """Who starts crashed servers again, where the agent need not."""
        ...

    @property
    def hosted(self) -> Hosted | None:
        """The servers, where a provider makes and runs them."""
        ...

    @property
    def disposable(self) -> Callable[[Instance, Path], Disposable] | None:
        """What makes servers of restored data beside those of the file, where that can be done:
        for an instance with a unit and a port of its own, in a state folder of its own."""
        ...

    @property
    def backups(self) -> OwnBackups | None:
        """The backups that the place takes and keeps itself, where it does: none of such an
        instance are in a store of ours."""
        ...

    @property
    def slow_log(self) -> Callable[[DesiredInstance, float | None], list[str]] | None:
        """Lines of an instance's log about slow operations, of the last seconds or of all there
        are, where nothing else tells of them. Raises MngdbError."""
        ...

    def site(self, instance: Instance, *, find: bool = True) -> Site | None:
        """The instance's place; None where it is not for us to render a server. Without `find` it
        is good for logging in, not for rendering. Raises UsageError."""
        ...

    def reach(self, instance: Instance, *, admin: bool = True) -> AbstractContextManager[None]:
        """Hold the way to a server open, where it needs one of its own. `admin`: it is for the
        administrator."""
        ...

    def admin(self, asked: DesiredInstance) -> Access:
        """The administrator's access. Raises UsageError."""
        ...

    def public(self, asked: DesiredInstance) -> Access:
        """The same as apps come to the server. Raises MngdbError."""
        ...

    def converger(
        self, asked: DesiredInstance, emit: Callable[[object], None]
    ) -> Converger[Any, Any]:
        """What brings an instance to what is asked. `emit` takes events (`mngdb.events`)."""
        ...

    def preflight(self, asked: DesiredInstance) -> None:
        """Raise MngdbError for what would keep an instance from being made so."""
        ...

    def condition(self, instance: Instance) -> Condition | None:
        """How a server does before anybody asks it; None: nobody can tell. Raises MngdbError."""
        ...

    def explained(
        self, instance: Instance, error: MngdbError, found: Condition | None = None
    ) -> MngdbError:
        """A better account of why a server that does not answer does not, where `error` is what a
        client saw and `found` its condition, where that is known."""
        ...

    def where(self, instance: Instance, asked: DesiredInstance) -> tuple[str, str]:
        """Where the server is reached, and the folder or volume that has its data; empty: nobody
        knows."""
        ...

    def boot(self) -> Boot:
        """What has to be there before the stack is started after a reboot."""
        ...


class Departed(Struct, frozen=True):
    """A server that was made for the stack, and that the file does not have any more."""

    instance: Instance
    """As it was in the file."""
    name: str
    """What a command calls it that removes it."""
    text: str
    """What it is and what it costs, for people."""


class Hosted(Protocol):
    """Servers that a provider makes for us and runs."""

    checks: str
    """The area of the checks that judge `inspect`."""

    def inspect(self, asked: DesiredInstance) -> object:
        """The facts that those checks judge. Raises UnobservableError."""
        ...

    def removal(
        self, asked: DesiredInstance, emit: Callable[[object], None]
    ) -> Callable[[], list[Notice]] | None:
        """What removes everything that was made for an instance, and returns what stays; None:
        nothing was made. Changes nothing yet. Raises UsageError for what may not be removed."""
        ...

    def departed(self) -> list[Departed]:
        """Servers that are there and cost money, though the file does not have them any more."""
        ...

    def suggested(self, asked: DesiredInstance) -> tuple[IndexAdvice, ...]:
        """The indexes that the provider finds missing. Raises MngdbError."""
        ...

    def ending(self) -> bool:
        """Whether what opens the provider's interface ends soon, and is in the vault, by what is
        noted: nothing is asked."""
        ...

    def renew(self, asked: DesiredInstance, keep: Callable[[str, Secret], None]) -> bool:
        """Have it made anew where it ends soon, and `keep` it by the vault's name. Returns whether
        there is a new one. Raises MngdbError."""
        ...


class Disposable(Protocol):
    """A server beside those of the file."""

    @property
    def target(self) -> Target:
        """Where it lives, alone."""
        ...

    @property
    def servers(self) -> Servers:
        """The same as those of its target: it alone."""
        ...

    def fill(self, asked: DesiredInstance, work: Callable[[Path, Account | None], None]) -> None:
        """Have `work` fill its empty data folder, owned by an account (None: ours). Whole or not at
        all."""
        ...

    def sync(self, asked: DesiredInstance) -> None:
        """Bring its data folder to the disk; the server may work in it meanwhile. Raises
        OSError."""
        ...

    def exchange(self, unit: str, servers: Servers, other: str) -> bool:
        """Exchange its data and that of another unit, of `servers`, at once. Both are stopped.
        Returns whether that one had any. Raises OSError, MngdbError."""
        ...


class Servers(Protocol):
    """The servers of a target that mngdb starts and stops, by their units' names."""

    def expect(self, asked: Mapping[str, DesiredInstance]) -> None:
        """Take note of all that shall live here. Pure."""
        ...

    def check_names(self, allow: frozenset[str]) -> None:
        """Raise MngdbError where this is not the place from before, or where a name, of those that
        `expect` took note of, is somebody else's already. `allow` are units whose data is taken
        over."""
        ...

    def begin(self) -> None:
        """Make the folders that units share."""
        ...

    def repairs(self, asked: Mapping[str, DesiredInstance]) -> list[Step[None]]:
        """What mends the files that units share, before `publish`. Raises MngdbError where that
        cannot be done."""
        ...

    def publish(self, asked: Mapping[str, DesiredInstance]) -> None:
        """Write what describes all that live here, before any of them is changed."""
        ...

    def write_secrets(self, asked: Mapping[str, DesiredInstance]) -> None:
        """Write the secrets alone that those who live here, and apps, read in files."""
        ...

    def process(self, unit: str) -> Running | None:
        """The unit, if it runs."""
        ...

    def state(self, unit: str) -> State:
        """What there is of a unit."""
        ...

    def missing(self, unit: str) -> str:
        """What is missing of the data that was there, for people; empty: nothing is."""
        ...

    def units(self) -> list[UnitRecord]:
        """Every unit that was ever made here and whose data is still here."""
        ...

    def place(self, unit: str) -> str:
        """Where a unit's data is, for people."""
        ...

    def stop(self, unit: str, with_signal: int) -> bool:
        """Stop a unit cleanly. False if it did not run. Raises StepError when it takes too long."""
        ...

    def kill(self, unit: str) -> None:
        """End a unit at once, with what it holds: for what is removed altogether."""
        ...

    def end(self) -> None:
        """Remove what is left when every unit is stopped; data stays."""
        ...

    def remove(self) -> None:
        """Remove everything of the stack that is here, the data included."""
        ...

    def staying(self) -> list[Notice]:
        """What has a name of the stack's, or its secrets, and `remove` leaves."""
        ...

    def notices(self) -> list[Notice]:
        """What a person should know of a stack that was just made here."""
        ...

    def enter(self, unit: str, command: ShellCommand, *, terminal: bool) -> list[str] | None:
        """The command line of the interactive client in the unit's place; None: it runs here."""
        ...

    def log(self, unit: str) -> Log:
        """What a unit writes."""
        ...


class Sidecars(Protocol):
    """What runs beside the servers: exporters, what a page is made of."""

    @property
    def names(self) -> Mapping[str, tuple[str, ...]]:
        """Each of them to the instances that it is for."""
        ...

    def services(self) -> list[Service]:
        """How they do. Raises MngdbError."""
        ...

    def unproven(self) -> list[str]:
        """Those that somebody else judges by looks of his own, and has not looked at yet."""
        ...

    def steps(self) -> list[Step[None]]:
        """What brings them as they should be."""
        ...

    def exporter(self, instance: Instance, port: int) -> str:
        """HOST:PORT of an instance's exporter, in the network that Prometheus joins."""
        ...

    def environments(self, secret: Callable[[Instance, str], str]) -> tuple[str, ...]:
        """`SECRET ` or `SECRET in PROGRAM `, of those that take a secret from their environment
        alone; `secret` names an instance's login's."""
        ...


class Watched(Protocol):
    """Servers that the agent looks after, by their units' names."""

    def crashed(self, unit: str) -> bool:
        """Whether a server ended that nobody has stopped, and whose data is there."""
        ...

    def start_again(
        self, instance: Instance, asked: Callable[[], DesiredInstance]
    ) -> subprocess.Popen[bytes]:
        """Start a server with the files that it has; `asked` is called once its program is looked
        for anew. Returns the process that was started. Raises MngdbError, OSError."""
        ...

    def log(self, unit: str) -> Path:
        """Its log, which grows."""
        ...

    def data(self, unit: str) -> Path:
        """Its data folder."""
        ...


class Supervisor(Protocol):
    """Somebody else who looks after servers: a Docker engine."""

    def health(self, units: Sequence[str], timeout: float) -> Mapping[str, Health]:
        """How servers do; one that is not there is down. Raises MngdbError when nobody answers
        within `timeout` seconds."""
        ...

    def data_root(self) -> Path | None:
        """The folder that holds all data, where it is on this machine."""
        ...


class Outside(Protocol):
    """What is seen of servers without asking them. Raises UnobservableError where it is not."""

    def machine(self) -> MachineFacts | None:
        """The machine under the servers, where they are processes of this one."""
        ...

    def server(self, instance: Instance) -> ServerFacts | None:
        """A server's process and files, where it is a process of this machine."""
        ...

    def disk(self, instance: Instance) -> Folder:
        """The disk that has the data."""
        ...

    def footprint(self, instance: Instance) -> Footprint:
        """The memory that the server takes."""
        ...

    def memory(self, instance: Instance) -> int:
        """Bytes of memory that the server may take."""
        ...

    def certificates(self) -> Mapping[str, Path]:
        """Files with the certificates that are shown to clients, by instance, or by page."""
        ...

    def keys(self) -> Mapping[Path, int]:
        """Files with private keys, each with the account that may read it."""
        ...

    def private(self) -> list[Path]:
        """Folders that hold secrets, hashes and keys."""
        ...

    def logs(self) -> Iterator[Path]:
        """The servers' logs that are files."""
        ...


class Opened(Struct, frozen=True):
    """What a target is given of the stack that it is opened for."""

    stack: Stack
    engine: Callable[[EngineName], AnyEngine]
    environ: Mapping[str, str]
    page_secret: Callable[[str], Secret]
    """The vault's name of a page's secret to it."""
    identity: str
    """The stack's id."""
    secret: Callable[[str], Secret | None]
    """The vault's secret of a name, where it has one. Raises SecretError for one that cannot be
    used."""


class TargetKind(Protocol):
    """A target before it is opened."""

    def made(self, state: Path) -> bool:
        """Whether an earlier command made something here for the stack with this state."""
        ...

    def settle(self, stack: Stack) -> None:
        """As root, make what the servers need of the machine: accounts."""
        ...

    def open(self, given: Opened) -> Target:
        """The target of a stack. Nothing is asked or changed yet."""
        ...
