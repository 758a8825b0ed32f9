"""What is looked at on a PostgreSQL server for its checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from mngdb.facts.tls import Tls
from mngdb.findings import Seen

#: What a server asks of a stranger who names a login and nothing else.
Demand = Literal["nothing", "cleartext", "md5", "scram", "other", "refused"]


#: The database that tools expect on each server: postgres.maintenance judges it.
MAINTENANCE = "postgres"


class Setting(Struct, frozen=True):
    """A row of pg_settings, as a session sees it."""

    value: str
    unit: str
    source: str
    pending: bool
    """Whether a restart would change it."""


class App(Struct, frozen=True):
    """The databases that the file gives an app."""

    names: tuple[str, ...]
    prefixes: tuple[str, ...] = ()
    creates: bool = False
    """Whether it may make more, which are its own."""


class Override(Struct, frozen=True):
    """A setting that sessions of a role, in a database, begin with; '' is any."""

    database: str
    role: str
    name: str
    value: str


class Rule(Struct, frozen=True):
    """A line of pg_hba.conf."""

    line: int
    kind: str
    """local, host, hostssl, hostnossl, …"""
    databases: tuple[str, ...]
    users: tuple[str, ...]
    address: str
    mask: str
    method: str
    error: str
    map: str
    """Of pg_ident.conf, by which names of accounts and certificates become those of roles."""
    file: str
    """Empty: the server's hba_file itself, no other that it includes."""
    superusers: tuple[str, ...]
    """Those among the superusers whom its users mean, by name, group or pattern."""


class Role(Struct, frozen=True):
    """A role with more rights than a plain login has."""

    name: str
    special: frozenset[str]
    """SUPERUSER, CREATEDB, CREATEROLE, REPLICATION, BYPASSRLS."""
    groups: frozenset[str]
    """Predefined roles that it has by itself or by others."""
    becomes: tuple[str, ...]
    """Superusers whose rights it has, or can take by SET ROLE."""
    owns: bool
    """Whether a database is its own."""
    bootstrap: bool
    """Whether it is the one that initdb made."""


class Login(Struct, frozen=True):
    """A role that may log in, by what the server keeps of its password."""

    name: str
    kind: Literal["none", "md5", "scram", "other"]
    iterations: int
    well_known: bool | None
    """Its password is in the list that everybody tries first, or its own name; None: there was no
    time to try."""
    days: float | None
    """Days until the password expires; None: never."""


class Base(Struct, frozen=True):
    """A database that takes connections, with the figures of pg_stat_database."""

    name: str
    owner: str
    template: bool
    public_connect: bool
    public_temporary: bool
    xid_age: int
    multixact_age: int
    collation_mismatch: str
    """Recorded and actual version of its collation where they differ."""
    checksum_failures: int
    deadlocks: int
    days: float
    """Days since its figures began."""


class Reach(Struct, frozen=True):
    """Where an app comes in, and whose rights it can take."""

    databases: frozenset[str]
    logins: frozenset[str]


class Some(Struct, frozen=True):
    """How many objects a question found, and the first of them by name."""

    count: int
    first: tuple[str, ...]


#: Question to answer, in one database (engines/postgres/inspect_inside.py has the questions).
Inside = Mapping[str, Seen[Some]]


class PostgresFacts(Struct, frozen=True):
    """A PostgreSQL server as observed; `wanted`, `apps` and the like are the file's."""

    settings: Seen[Mapping[str, Setting]]
    sees_all: bool
    """Whether this login may see every setting."""
    drift: Seen[tuple[str, ...]]
    """Settings that are not as the file has them."""
    overrides: Seen[tuple[Override, ...]]
    server: Seen[Mapping[str, Any]]
    """Single figures, by the names of inspect_queries.SERVER."""
    sharing: Seen[tuple[str, ...]]
    """Clients that are in as the administrator and are not mngdb's."""
    activity: Seen[Mapping[str, Any]]
    """Counts of sessions, by the names of inspect_queries.ACTIVITY."""
    hba: Seen[tuple[Rule, ...]]
    """A user or database that is a pattern which anybody fits is `all`."""
    maps: Seen[tuple[str, ...]]
    """Maps of pg_ident.conf by which any account is taken for a role that it does not name."""
    stale_files: Seen[tuple[str, ...]]
    """Configuration files that changed since the server read them."""
    wrong_settings: Seen[tuple[str, ...]]
    """Lines of its files that the server did not take."""
    roles: Seen[tuple[Role, ...]]
    logins: Seen[tuple[Login, ...]]
    bases: Seen[tuple[Base, ...]]
    reach: Seen[Mapping[str, Reach]]
    inside: Seen[Mapping[str, Seen[Inside]]]
    """Database to what is in it."""
    shared_rights: Seen[tuple[str, ...]]
    """Who has which rights on parameters and tablespaces, as GRANT writes it."""
    shared_options: Seen[tuple[str, ...]]
    """Who may pass on which rights and memberships, likewise."""
    slots: Seen[tuple[str, ...]]
    """Replication slots that nobody uses, with what they hold back."""
    prepared: Seen[tuple[str, ...]]
    """Prepared transactions that somebody forgot."""
    checkpoints: Seen[tuple[int, int]]
    """How many came by time, and how many by the amount of log or by command."""
    archiver: Seen[Mapping[str, Any]]
    wal_rate: Seen[float | None]
    """Bytes of WAL per second lately; None: nobody knows yet."""
    demand: Seen[Demand]
    """What is asked of the administrator without encryption; with it where that is refused."""
    plain: Seen[bool]
    """Whether the server goes on without encryption."""
    tls: Seen[Tls | None]
    """None: it has none."""
    apps: Mapping[str, App]
    """By their logins."""
    extensions: frozenset[str]
    """Extensions that the file asks for."""
    admin: str
    known: frozenset[str]
    """The stack's logins: the administrator, the monitor, the apps."""
    monitor: str
    """The stack's login that reads metrics; empty: nobody reads them."""
    password_lengths: Mapping[str, int]
    wanted: Mapping[str, str]
    """Settings that follow from the file."""
    version: str
    """The version that the file asks for; empty: any."""
    memory: int
    """Bytes that there are for it; 0: not known."""
    without_tls: str
    """Why the file has it listen to a private network without TLS; empty: it does not."""
    own_network: bool
    """Whether it listens in a network of its own."""
    managed: bool
    adopted: bool
    """Whether the file is to describe every login of a server that others run."""
    recovery_point: str
    """Whether commits are to wait until the store has them."""
    archive: str
    """Who writes the log there, by the name that the server knows it by."""
