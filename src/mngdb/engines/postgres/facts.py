"""What `observe` finds and `reconcile` judges, as plain data."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from mngdb.engines.postgres import maintenance, render
from mngdb.engines.postgres.levels import Level
from mngdb.model import DesiredInstance

#: Stands in the comment of every role that mngdb makes, before the mark.
MARK = "mngdb: an app of stack "

#: As `MARK`, of the login that metrics are read by.
MONITOR_MARK = "mngdb: reads metrics for stack "

Counts = Mapping[tuple[str, str, str], int]


class Setting(Struct, frozen=True):
    """A row of pg_settings. `unit` is PostgreSQL's (8kB, ms, …); `reloadable`: by a reload."""

    value: str
    unit: str
    kind: str
    reloadable: bool
    source: str = "default"


class Carried(Struct, frozen=True, order=True):
    """A setting that sessions of a role begin with: in one database, or in each ('')."""

    name: str
    value: str
    database: str = ""


class Role(Struct, frozen=True):
    """A login role. `password` says whether the vault's secret is the role's, None: no telling."""

    comment: str
    login: bool = True
    special: tuple[str, ...] = ()
    """Attributes beyond LOGIN: SUPERUSER, CREATEDB, CREATEROLE, REPLICATION, BYPASSRLS."""
    connections: int = -1
    password: bool | None = True
    settings: Mapping[str, str] = field(default_factory=dict)
    member_of: tuple[tuple[str, str], ...] = ()
    """Roles that it is a member of, each with the role that granted it."""
    expires: bool = False
    within_reach: bool = True
    """Whether the administrator may act for it: always so for a superuser."""
    owns: Mapping[str, int] = field(default_factory=dict)
    """Database to the number of objects in it that it owns, the database itself included; '' for
    what is the whole server's."""
    carried: tuple[Carried, ...] = ()
    """All settings that its sessions begin with, `settings` among them."""

    @property
    def mark(self) -> str | None:
        """Whose it is, as the policy for logins has it; None: mngdb did not make it."""
        for mark in (MARK, MONITOR_MARK):
            if self.comment.startswith(mark):
                return self.comment.removeprefix(mark)
        return None


class Granted(Struct, frozen=True):
    """A right that somebody has beyond what initdb gave: `REVOKE privilege ON on FROM to`."""

    to: str
    """A role; '' is PUBLIC."""
    by: str
    """Who passed it on; '': the object's owner."""
    privilege: str
    grantable: bool
    option: bool
    """The right itself is in order, to pass it on is not."""
    on: str
    """As GRANT names it: `FUNCTION pg_read_file(text)`."""


class Outsider(Struct, frozen=True):
    """A login that the file does not name, on a server of ours."""

    name: str
    special: tuple[str, ...]
    """Attributes beyond LOGIN, as in `Role`."""
    groups: tuple[str, ...]
    """Roles whose rights it has, by itself or by others."""
    owns: tuple[str, ...]
    """Its databases."""


class Inside(Struct, frozen=True):
    """Rights and objects in one database. Grantee '' is PUBLIC; a privilege that may be passed on
    ends in `*`."""

    extensions: frozenset[str] = frozenset({"plpgsql"})
    totals: Mapping[str, int] = field(default_factory=dict)
    """Objects of each kind (table, sequence, schema) that belong to no extension."""
    granted: Counts = field(default_factory=dict)
    """(kind, grantee, privilege) to the number of objects that name it; also kind `column`."""
    defaults: frozenset[tuple[str, str, str, str, str]] = frozenset()
    """Default privileges: (for role, in schema or '', kind, grantee, privilege)."""
    owners: Mapping[str, int] = field(default_factory=dict)
    """Owner to the number of tables, sequences, views and schemas that belong to no extension."""
    system: tuple[Granted, ...] = ()
    """Rights on the server's own objects."""
    code: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """(owner, kind) to the number of them, superusers' left out. Kinds: `function`, `definer` (a
    function that runs with its owner's rights), `view`; `trigger`, `rule`, `policy`, whose owner is
    their table's; `expression`: a default, a check or an index that runs SQL given as text."""
    levels: Mapping[str, Level] = field(default_factory=dict)
    """Role to what its rights come to, also those that it has from groups; of an adopted server."""
    by_public: tuple[str, ...] = ()
    """Logins with rights on its tables that may connect by PUBLIC's right alone; of an adopted
    server."""
    refused: Mapping[str, int] = field(default_factory=dict)
    """Owner to the number of its tables that the app which owns the database may not work with."""


class Database(Struct, frozen=True):
    """A database: its owner, and who may do what with it (grantee '' is PUBLIC)."""

    owner: str
    granted: frozenset[tuple[str, str]]
    inside: Inside | None = None
    open: bool = True
    """Whether it takes connections at all."""
    limit: int = -1
    """Its own connection limit; -1 for none, -2 for a database that DROP DATABASE left half."""
    template: bool = False
    let_in: bool = True
    """Whether its owner may connect to it: who owns it can revoke that from itself."""
    unseen: str = ""
    """Why it could not be looked into, although it is open."""


class Maintenance(Struct, frozen=True):
    """What everybody may do in the database `postgres` beyond entering it, as SQL names it;
    `readers`: whether who reads metrics finds pg_stat_statements."""

    reach: tuple[str, ...] = ()
    readers: bool = True


class Lockout(Struct, frozen=True):
    """A setting with which no session begins: of a database, a role, or a role in a database."""

    database: str
    role: str
    name: str
    why: str


class Facts(Struct, frozen=True):
    """Everything that `reconcile` judges."""

    version: str
    admin: str
    """The role that looks and changes."""
    superuser: bool
    checksums: bool
    settings: Mapping[str, Setting]
    roles: Mapping[str, Role]
    databases: Mapping[str, Database]
    namesakes: Mapping[str, Role] = field(default_factory=dict)
    """Roles that another stack of the same name made, and that the file does not name."""
    admin_password: bool = True
    replicates: bool = True
    """Whether the administrator may read the write-ahead log."""
    statistics: bool = False
    """Whether pg_stat_statements is there, in the administrator's database."""
    monitor: Role | None = None
    """The login that metrics are read by."""
    monitored: frozenset[str] = frozenset()
    """Databases that it may connect to."""
    not_ours: frozenset[str] = frozenset()
    """Databases into which this administrator may let nobody."""
    main: str = "postgres"
    """The database in which it reads what is the whole server's: the administrator's own."""
    overlaid: tuple[str, ...] = ()
    """Settings that ALTER SYSTEM laid over our files."""
    system: tuple[Granted, ...] = ()
    """As `Inside.system`, in the administrator's database and of the whole server."""
    outsiders: tuple[Outsider, ...] = ()
    """Looked for on servers of ours alone."""
    lockouts: tuple[Lockout, ...] = ()
    unnamed: Mapping[str, str] = field(default_factory=dict)
    """Databases that the file does not name to their sizes, for people; on servers of ours."""
    maintenance: Maintenance = Maintenance()
    unavailable: frozenset[str] = frozenset()
    """Extensions of the file that the server does not have the files of."""
    slot: bool = False
    """Whether there is the slot that keeps WAL for the archive."""
    awaited: bool = False
    """Whether commits wait for whoever follows the log."""
    followed: bool = False
    """Whether somebody follows it."""
    entered: bool = True
    """Whether the file's databases were looked into; else what is in them is not judged."""


#: What CREATE DATABASE gives; the rest is in `Inside`'s defaults.
NEW = Database("", frozenset({("", "CONNECT"), ("", "TEMPORARY")}), Inside(totals={"schema": 1}))


def initial(asked: DesiredInstance) -> Facts:
    """A server that `render` has just made: its settings are as wanted, nothing is in it."""
    site = asked.site
    default = frozenset({("", "CONNECT"), ("", "TEMPORARY")})
    template = frozenset({("", "CONNECT")})
    return Facts(
        version=site.program.version if site else "",
        admin=render.ADMIN,
        superuser=True,
        checksums=True,
        settings={},
        roles={},
        databases={
            "postgres": Database(render.ADMIN, default, None),
            "template1": Database(render.ADMIN, template, None),
        },
        admin_password=False,
        maintenance=maintenance.initial(),
    )
