"""What is looked at on a MongoDB server for its checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from mngdb.facts.tls import Tls
from mngdb.findings import Seen

Document = Mapping[str, Any]
#: Keys of `Login.rights` that are no database: all of them, the server itself, and the collections
#: in which it keeps logins and roles.
EVERYWHERE = "*"
CLUSTER = "cluster"
LOGINS = "admin.system.users"


class Login(Struct, frozen=True):
    """One login, by effect: what all of its roles together let it do."""

    name: str
    """With @DATABASE where it is not kept in the database admin."""
    mechanisms: frozenset[str]
    """What it may prove itself by; empty: not by a password."""
    rounds: int | None
    """Of SCRAM-SHA-256; None: it has no verifier of that kind."""
    guessed: bool | None
    """Whether its password is one that everybody tries first; None: there was no time to try."""
    agrees: bool | None
    """Whether the vault's secret is its password; None: the vault has none for it."""
    rights: Mapping[str, frozenset[str]]
    """Database, EVERYWHERE, CLUSTER or LOGINS to actions."""


class App(Struct, frozen=True):
    """What the file gives an app."""

    databases: tuple[str, ...]
    readonly: bool


class Strength(Struct, frozen=True):
    """Of a secret in the vault: its length, and whether it has letters of both cases, digits and
    others."""

    length: int
    mixed: bool


class Member(Struct, frozen=True):
    """A member of a replica set. `lag` in seconds behind the primary."""

    name: str
    state: str
    healthy: bool
    arbiter: bool
    lag: float


class Oplog(Struct, frozen=True):
    """Sizes in bytes; `window` in seconds between its first and its last entry."""

    used: int
    most: int
    window: float


class ReplicaSet(Struct, frozen=True):
    """A replica set as this member sees it."""

    members: tuple[Member, ...]
    journaled: bool
    """Whether `majority` means in the journals of most members."""
    write_concern: str
    """The default of those who ask for none."""
    oplog: Seen[Oplog]


class Index(Struct, frozen=True):
    """An index and how often it was used since the server started. `plain`: neither unique, TTL,
    sparse, partial nor hidden, and only ascending or descending fields."""

    name: str
    keys: tuple[tuple[str, Any], ...]
    plain: bool
    unique: bool
    uses: int


class Collection(Struct, frozen=True):
    """A collection that was looked at. Its `indexes` include that of _id."""

    name: str
    indexes: tuple[Index, ...]


class Collections(Struct, frozen=True):
    """Collections that were looked at, and in words what was not."""

    seen: tuple[Collection, ...]
    left_out: tuple[str, ...] = ()


class MongodbFacts(Struct, frozen=True):
    """A MongoDB server as observed; `wanted`, `apps`, `version`, `outdated` and
    `javascript` are the file's."""

    status: Seen[Document]
    """serverStatus."""
    parameters: Seen[Document]
    """getParameter '*'."""
    options: Seen[Mapping[str, str]]
    """What it was started with, by the manual's dotted names."""
    memory: Seen[int]
    """Bytes that there are for it."""
    warnings: Seen[tuple[tuple[str, str], ...]]
    """What it warned of when it started: the message, and its details."""
    locked: Seen[bool]
    """Whether fsyncLock holds all writes back."""
    logins: Seen[tuple[Login, ...]]
    replica: Seen[ReplicaSet | None]
    """None: it is in no set."""
    unknown: Seen[tuple[str, ...]]
    """Databases that the file does not name, without MongoDB's own."""
    profilers: Seen[Mapping[str, int]]
    """Database to the profiler's level; those of the file, or the first of all."""
    slow: Seen[int]
    """Milliseconds from which an operation is slow."""
    collections: Seen[Collections]
    """Some collections of each of those databases."""
    asked_indexes: Mapping[str, Seen[str]]
    """Each index that the file names to `right`, `missing`, or what differs."""
    open_to_all: Seen[bool]
    """Whether a connection without any login is told the databases."""
    plain: Seen[bool]
    """Whether the server answers without encryption."""
    zlib: Seen[bool]
    """Whether it reads messages that zlib compressed."""
    tls: Seen[Tls | None]
    """None: it takes none."""
    modes: Mapping[str, int]
    """Key file, configuration and data folder to their permissions, where they are within reach."""
    apps: Mapping[str, App]
    strengths: Mapping[str, Strength]
    """Login to what its secret in the vault is like."""
    admin: str
    """The login that administers; empty: there was none to give."""
    known: frozenset[str]
    """Logins that belong to the stack."""
    wanted: Mapping[str, str]
    """Options that follow from the file."""
    version: str
    """The version that the file asks for; empty: any."""
    outdated: bool
    """Whether the file accepts a version without fixes."""
    javascript: bool
    """Whether clients' code may run inside the server."""
    without_tls: str
    """Why the file has it listen to a private network without TLS; empty: it does not."""
    enclosed: bool
    """Whether it is in a network of its own, with nobody but its apps."""
    remote: bool
    """Whether it listens to others than its own machine."""
    managed: bool
    adopted: bool
    """Whether the file is to describe every login of a server that others run."""
