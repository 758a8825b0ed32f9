"""The file as it is written: every key that may stand in it, with its default."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Discriminator, Field, Tag, field_validator, model_validator

from mngdb.spec.agent import Agent
from mngdb.spec.alerts import Alerts
from mngdb.spec.base import BaseGrant, BaseInstance, Model, located
from mngdb.spec.engine_info import ENGINE_INFO, MONGODB, POSTGRES, REDIS, EngineName
from mngdb.spec.mongodb import MongodbGrant, MongodbInstance
from mngdb.spec.names import InstanceName, PlainName, check_app
from mngdb.spec.postgres import PostgresGrant, PostgresInstance
from mngdb.spec.redis import RedisGrant, RedisInstance
from mngdb.spec.target import Target
from mngdb.spec.units import Duration
from mngdb.spec.web import RedisInsight, Sso


class Models(NamedTuple):
    """What the file says of an instance of an engine, and of an app's right in it."""

    instance: type[BaseInstance]
    grant: type[BaseGrant]


#: One line an engine.
MODELS: dict[EngineName, Models] = {
    POSTGRES.name: Models(PostgresInstance, PostgresGrant),
    REDIS.name: Models(RedisInstance, RedisGrant),
    MONGODB.name: Models(MongodbInstance, MongodbGrant),
}


def _engine_of(value: Any) -> str | None:
    engine = value.get("engine") if isinstance(value, dict) else getattr(value, "engine", None)
    return engine if isinstance(engine, str) else None


NamedInstance = Annotated[
    Annotated[PostgresInstance, Tag("postgres")]
    | Annotated[RedisInstance, Tag("redis")]
    | Annotated[MongodbInstance, Tag("mongodb")],
    Discriminator(
        _engine_of,
        custom_error_type="engine",
        custom_error_message=f"name its engine: {', '.join(ENGINE_INFO)}",
    ),
]


class Binaries(Model):
    """Folders that hold the servers' programs, in place of all others. A relative one lies beside
    the file."""

    postgres: str | None = None
    """Folder with `postgres`, `initdb` and `pg_ctl`."""
    redis: str | None = None
    """Folder with `redis-server`."""
    valkey: str | None = None
    """Folder with `valkey-server`."""
    mongodb: str | None = None
    """Folder with `mongod`."""


class Vault(Model):
    """Where secrets live: `files`, `environ`, or `{files: {path: …}}`."""

    kind: Literal["files", "environ"] = "files"
    """`files`: one file a secret, readable by its owner only. `environ`: variables called
    MNGDB_SECRET_INSTANCE_LOGIN, which somebody else sets."""
    path: str | None = None
    """Folder of the secret files. Default: `secrets` in the stack's own directory
    (docs/state.md)."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"kind": value}
        if isinstance(value, dict) and set(value) == {"files"}:
            files = value["files"]
            if files is not None and not isinstance(files, dict):
                raise ValueError("write {files: {path: FOLDER}}")
            if "kind" in (files or {}):
                raise ValueError("write {files: {path: FOLDER}}")
            return {"kind": "files", **(files or {})}
        return value

    @model_validator(mode="after")
    def _path_is_for_files(self) -> Vault:
        if self.path is not None and self.kind != "files":
            raise ValueError("a path is for the files vault only")
        return self


class Keep(Model):
    """How many snapshots stay."""

    daily: int = Field(default=7, ge=0)
    """Daily snapshots that stay."""
    weekly: int = Field(default=4, ge=0)
    """Weekly snapshots that stay."""
    monthly: int = Field(default=12, ge=0)
    """Monthly snapshots that stay."""
    point_in_time: Duration = timedelta(hours=24)
    """How far back any moment can be restored."""


class Drill(Model):
    """How often a restore is tried, and how long it may take."""

    every: Duration = timedelta(days=90)
    """How often."""
    rto: Duration = timedelta(minutes=30)
    """How long a restore may take."""


_TIME = "([01][0-9]|2[0-3]):[0-5][0-9]"


def _time_of_day(value: str) -> str:
    if not re.fullmatch(_TIME, value):
        raise ValueError(f"{value!r} is not a time of day; write 03:00")
    return value


class Backup(Model):
    """Backups. This version reads the keys and takes no backups yet."""

    store: str = "./backups"
    """Folder, or `s3://bucket/prefix`."""
    keep: Keep = Field(default_factory=Keep)
    """How many snapshots stay."""
    at: Annotated[
        str,
        AfterValidator(_time_of_day),
        Field(json_schema_extra={"pattern": f"^{_TIME}$"}),
    ] = "03:00"
    """Time of day, UTC."""
    drill: Drill = Field(default_factory=Drill)
    """How often a restore is tried, and how long it may take."""


AppName = Annotated[str, AfterValidator(check_app)]


class StackFile(Model):
    """A mngdb.yaml."""

    name: PlainName = "mng"
    """Name of the stack; its units are called NAME-pg, NAME-redis, NAME-mongo, NAME-INSTANCE."""
    target: Target = Field(default_factory=lambda: Target.model_validate("local"))
    """Where instances live that do not say so themselves."""
    tls: bool = False
    """Encrypt connections to every instance that does not say otherwise. Clients verify: the URLs
    of `mngdb env APP` name the CA's file. With target compose that is `/etc/mngdb/ca.crt` in the
    app's container, where it has to mount `ca.crt` of the rendered folder (it is no secret)."""
    vault: Vault = Field(default_factory=Vault)
    """Where secrets live."""
    binaries: Binaries = Field(default_factory=Binaries)
    """Folders that hold the servers' programs, in place of all others. A relative one lies beside
    the file."""
    postgres: PostgresInstance | None = None
    """The default PostgreSQL instance."""
    redis: RedisInstance | None = None
    """The default Redis instance."""
    mongodb: MongodbInstance | None = None
    """The default MongoDB instance."""
    instances: dict[InstanceName, NamedInstance] = Field(default_factory=dict)
    """More instances, under names of their own."""
    apps: dict[AppName, dict[str, Any]] = Field(
        default_factory=dict,
        json_schema_extra={"additionalProperties": {"type": "object"}},
    )
    """App to instance to right: what each app may use."""
    backup: Backup | None = None
    """Backups. This version reads the keys and takes no backups yet."""
    sso: Sso | None = None
    """Single sign-on for pages: a realm of Keycloak."""
    redisinsight: RedisInsight | None = None
    """RedisInsight behind the single sign-on."""
    alerts: Alerts = Field(default_factory=Alerts)
    """Which alerts there are, and who is told."""
    agent: Agent | bool = Field(default_factory=Agent)
    """Metrics for Prometheus, alerts, restarts of servers that died. Where no server is on this
    machine: if this key or channels of `alerts:` are in the file. `false`: no such process, and
    no exporters."""

    @field_validator("agent", mode="before")
    @classmethod
    def _on_is_default(cls, value: Any) -> Any:
        return {} if value is None or value is True else value

    @field_validator("postgres", "redis", "mongodb", "apps", mode="before")
    @classmethod
    def _empty_is_default(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("apps", mode="before")
    @classmethod
    def _no_rights(cls, value: Any) -> Any:
        """An app whose lines are all commented out is one without rights."""
        if not isinstance(value, dict):
            return value
        return {app: {} if rights is None else rights for app, rights in value.items()}

    @model_validator(mode="after")
    def _names_are_free(self) -> StackFile:
        for name in self.instances:
            if name in ENGINE_INFO:
                raise located(f"{name!r} is the default instance's own key", "instances", name)
            if name == "alerts":
                raise located("'alerts' is taken: channels' secrets begin so", "instances", name)
        return self
