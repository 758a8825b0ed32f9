"""What the file says of a PostgreSQL instance and of an app's right in it."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from mngdb.spec.base import BaseInstance, Logical, PortOrAuto, RecoveryPoint, Version, located
from mngdb.spec.engine_info import POSTGRES
from mngdb.spec.names import PostgresName
from mngdb.spec.several import DatabasesGrant
from mngdb.spec.units import Milliseconds

#: Connections that are the administrator's, and of the others the share that one of several apps
#: may have: a leak leaves room for the rest.
RESERVED = 5
#: Those of them that the monitor may take as well, since PostgreSQL 16.
RESERVED_MONITOR = 2
_SHARE = 0.6
#: Databases that each server has: who owned one could keep the administrator out.
_EVERYBODYS = frozenset({"postgres", "template0", "template1"})
#: Settings by which commits wait for the store.
_OF_COMMITS = frozenset({"synchronous_standby_names", "synchronous_commit"})
_HERE = "the instance's own keys (port, bind, tls) and from where its files are"


class PostgresInstance(BaseInstance):
    """A PostgreSQL server."""

    reserved_settings: ClassVar[dict[str, str]] = dict.fromkeys(
        (
            "listen_addresses",
            "port",
            "unix_socket_directories",
            "unix_socket_permissions",
            "hba_file",
            "ident_file",
            "data_directory",
            "config_file",
            "ssl",
            "ssl_cert_file",
            "ssl_key_file",
            "ssl_ca_file",
            "external_pid_file",
        ),
        _HERE,
    ) | {"password_encryption": "mngdb: logins are SCRAM only"}

    engine: Literal["postgres"] = "postgres"
    """The engine: required under `instances`, implied elsewhere."""
    version: Version | None = "17"
    port: PortOrAuto = POSTGRES.port
    max_connections: int = Field(default=200, ge=10, le=10_000)
    """Maximum number of connections, including administrators."""
    slow: Milliseconds = timedelta(milliseconds=500)
    """Statements that take longer than this are logged."""
    recovery_point: RecoveryPoint = "stream"
    """With `backup:`, what a commit waits for. `stream`: for the server's disk; if the machine is
    lost, so is the last second. `sync`: until the store has it, so that nothing is lost that was
    acknowledged; if the store takes nothing for 5 s, commits stop waiting until it does again, and
    an alert fires. `strict`: as `sync`, but commits wait as long as it takes
    (docs/backup.md)."""
    logical: Logical | None = None
    """With `backup:`, whether `pg_dump` writes a logical snapshot each time, too. `only`: there is
    no other one, and no log, as of a managed server whose administrator may not read its log.
    Default: what `logical` under `backup` says."""

    @model_validator(mode="after")
    def _commits_may_wait(self) -> PostgresInstance:
        if self.recovery_point == "stream":
            return self
        if self.logical == "only":
            raise located("'logical: only' has no log that commits could wait for", "logical")
        for name in self.settings:
            if name.lower() in _OF_COMMITS:
                why = f"'recovery_point: {self.recovery_point}'"
                raise located(f"the setting {name!r} is derived from {why}", "settings", name)
        return self

    def unapplied(self) -> set[str]:
        """What is computed from the machine, and the settings of this file's own defaults."""
        return {"memory", "max_connections", "slow"}

    @property
    def files(self) -> int:
        """Up to max_files_per_process (1000) in each of its processes."""
        return 1024

    @property
    def backlog(self) -> int:
        """Its manual, "listen_backlog": twice its connections."""
        return 2 * self.max_connections


class PostgresGrant(DatabasesGrant):
    """Rights of an app in a PostgreSQL instance. Short form: the database's name."""

    database: PostgresName
    """The database; created if missing, never dropped by `up`."""
    databases: list[PostgresName] = Field(default_factory=lambda: [])
    """Several databases, as for tests, a shadow database or tenants: `[shop, shop_test,
    "tenant_*"]`. The first is the main one, unless `database` names it. Those with whole names are
    created. `tenant_*` are all databases that begin with `tenant_`, once they exist: the app makes
    them (`create_databases`), or an administrator does."""
    create_databases: bool = False
    """Let the app create and drop databases of its own (CREATEDB), as `prisma migrate dev` and
    Django's `test` do. What it creates remains its own: `up` only closes it to PUBLIC."""
    access: Literal["owner", "readwrite", "readonly"] = "owner"
    """`owner` can create and change tables; each database is owned by one app. `readonly` changes
    no table; PostgreSQL lets each login create large objects and write messages to the WAL."""
    connections: int | None = Field(default=None, ge=-1, le=10_000)
    """Maximum number of connections of this app; -1: no limit but the server's. Default: if several
    apps share a server that mngdb runs, 60 % of the connections available to apps, so that a
    connection leak leaves room for the others; otherwise -1."""
    statement_timeout: Milliseconds = timedelta(0)
    """Cancel statements that take longer than this; 0s: never."""
    lock_timeout: Milliseconds = timedelta(0)
    """Cancel statements that wait longer than this for a lock; 0s: never."""
    idle_in_transaction_timeout: Milliseconds = timedelta(minutes=10)
    """Terminate sessions that are idle in a transaction for longer than this; 0s: never."""
    extensions: list[PostgresName] = Field(default_factory=lambda: [])
    """Extensions to create in the databases."""

    @property
    def limit(self) -> int:
        """`connections` as PostgreSQL takes it."""
        return -1 if self.connections is None else self.connections

    def among(self, instance: PostgresInstance) -> Self:
        """The same with the limit of one of several apps, where the file says nothing."""
        if self.connections is not None:
            return self
        for_apps = instance.max_connections - RESERVED
        made = self.model_copy(update={"connections": int(for_apps * _SHARE)})
        made.model_fields_set.discard("connections")  # the file does not have it
        return made

    def covers(self, name: str) -> bool:
        """Whether a database is among them: never one that each server has."""
        return name not in _EVERYBODYS and super().covers(name)

    @field_validator("database")
    @classmethod
    def _not_everybodys(cls, value: str) -> str:
        if value in _EVERYBODYS:
            raise ValueError(
                f"{value} is the server's own database, which every login may enter; name another"
            )
        return value

    @field_validator("databases")
    @classmethod
    def _none_everybodys(cls, value: list[str]) -> list[str]:
        return [cls._not_everybodys(one) for one in value]

    @model_validator(mode="after")
    def _owners_create(self) -> Self:
        if self.create_databases and self.access != "owner":
            text = f"an app with 'access: {self.access}' creates no databases"
            raise located(text, "create_databases")
        return self
