"""The file as it is written: every key that may stand in it, with its default."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    Tag,
    create_model,
    field_validator,
    model_validator,
)

from mngdb.spec.agent import Agent
from mngdb.spec.alerts import Alerts
from mngdb.spec.app import AppKeys
from mngdb.spec.base import BaseInstance, Model, located
from mngdb.spec.engine_info import ENGINE_INFO, EngineName
from mngdb.spec.engine_models import MODELS
from mngdb.spec.jwt import Jwt
from mngdb.spec.names import InstanceName, PlainName, check_app
from mngdb.spec.target import Target
from mngdb.spec.target_info import DEFAULT_STACK
from mngdb.spec.team import Team
from mngdb.spec.units import Duration, Rate, Size, format_duration, parse_size
from mngdb.spec.vault import Vault
from mngdb.spec.web import RedisInsight, Sso


def _engine_of(value: Any) -> str | None:
    engine = value.get("engine") if isinstance(value, dict) else getattr(value, "engine", None)
    return engine if isinstance(engine, str) else None


if TYPE_CHECKING:
    NamedInstance = BaseInstance
else:
    NamedInstance = Annotated[
        Union[  # noqa: UP007 - of as many as there are
            tuple(Annotated[one.instance, Tag(name)] for name, one in MODELS.items())
        ],
        Discriminator(
            _engine_of,
            custom_error_type="engine",
            custom_error_message=f"name its engine: {', '.join(ENGINE_INFO)}",
        ),
    ]


class Binaries(Model):
    """Folders of the servers' programs, instead of those found automatically. Relative paths start
    at the file's folder."""

    postgres: str | None = None
    """Folder with `postgres`, `initdb` and `pg_ctl`."""
    redis: str | None = None
    """Folder with `redis-server`."""
    valkey: str | None = None
    """Folder with `valkey-server`."""
    mongodb: str | None = None
    """Folder with `mongod`."""


class Keep(Model):
    """How many snapshots are kept."""

    daily: int = Field(default=7, ge=0)
    """Daily snapshots to keep."""
    weekly: int = Field(default=4, ge=0)
    """Weekly snapshots to keep."""
    monthly: int = Field(default=12, ge=0)
    """Monthly snapshots to keep."""
    point_in_time: Duration = timedelta(hours=24)
    """How far back a restore to any point in time is possible."""


class Drill(Model):
    """How often a restore is tested, and how long it may take."""

    every: Duration = timedelta(days=7)
    """How often the agent tries one. A `check` fails 90 days after the last that passed, or after
    `every` where that is longer."""
    rto: Duration = timedelta(minutes=30)
    """How long a restore may take."""


_TIME = "([01][0-9]|2[0-3]):[0-5][0-9]"


def _time_of_day(value: str) -> str:
    time, _, zone = value.partition(" ")
    if not re.fullmatch(_TIME, time):
        raise ValueError(f"{value!r} is not a time of day; write 03:00, or 03:00 Asia/Seoul")
    if zone:
        _time_zone(zone)
    return value


def _time_zone(value: str) -> str:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    if value == "UTC":
        return value  # also where no others are installed
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{value!r} is not a time zone; write one as Asia/Seoul") from None
    return value


#: Names in the vault: the private key of backups that no recipient in the file is for, the secret
#: that signs them, and the login to a bucket.
BACKUP_SECRETS = ("backup_key", "backup_mac", "backup_access-key-id", "backup_secret-access-key")
#: What helps where a bucket has no login, or refuses it.
GIVE_LOGIN = " and ".join(f"'mngdb secret set {name}'" for name in BACKUP_SECRETS[2:])
NEW_LOGIN = f"check what the store's login may do; {GIVE_LOGIN} bring a new one"


_ENDPOINT = re.compile(r"https?://(\[[0-9a-fA-F:.]+\]|[\w.-]+)(:\d{1,5})?(/\S*)?")


class BackupStore(Model):
    """Where backups are kept: a directory, or a bucket that speaks S3."""

    url: str
    """A directory, relative to the file's folder, or `s3://BUCKET/PREFIX`."""
    endpoint: str | None = None
    """URL of a bucket that is not at AWS."""
    region: str | None = None
    """Region of the bucket."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"url": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _whole(self) -> BackupStore:
        scheme, found, rest = self.url.partition("://")
        if not self.url.strip():
            raise ValueError("the store is empty; write a directory or s3://BUCKET/PREFIX")
        if self.url.startswith("s3:") and not found:
            raise ValueError(f"{self.url!r} is not a store; write s3://BUCKET/PREFIX")
        if found and scheme != "s3":
            raise ValueError(f"{scheme}:// is not a store; write a directory or s3://BUCKET/PREFIX")
        if found and not rest.strip("/"):
            raise ValueError("the bucket is missing; write s3://BUCKET/PREFIX")
        if not found and (self.endpoint or self.region):
            raise ValueError("endpoint and region are for s3:// only")
        if self.endpoint is not None and not _ENDPOINT.fullmatch(self.endpoint):
            raise ValueError(f"endpoint {self.endpoint!r} is not a URL; write https://HOST")
        return self


def _recipient(value: str) -> str:
    if value.upper().startswith("AGE-SECRET-KEY"):
        raise ValueError("this is a private key; write the public one, which begins with age1")
    if not re.fullmatch("age1[02-9ac-hj-np-z]{58}", value):
        raise ValueError(f"{value[:20]!r} is not an age public key; it begins with age1")
    return value


class Backup(Model):
    """Backups."""

    store: BackupStore | None = None
    """Where they are kept: a directory, or `s3://BUCKET/PREFIX`. Default: `backups` in mngdb's own
    directory (docs/state.md)."""
    recipients: list[Annotated[str, AfterValidator(_recipient)]] = Field(default_factory=list)
    """Public keys (age) that backups are encrypted for, by people who keep the private ones.
    Default: a key of mngdb's own, in the vault as `backup_key`."""
    keep: Keep = Field(default_factory=Keep)
    """How many snapshots are kept."""
    at: Annotated[
        str,
        AfterValidator(_time_of_day),
        Field(json_schema_extra={"pattern": f"^{_TIME}( [A-Za-z0-9_+/-]+)?$"}),
    ] = "03:00"
    """Time of day: `03:00` (in the stack's `timezone`), or with a time zone, `03:00 Asia/Seoul`.
    Backups begin within five minutes after it, so that several stacks do not begin at once."""
    full: Duration = timedelta(days=7)
    """How often a snapshot holds everything. Those between hold what has changed since the one
    before (PostgreSQL 17 or later; the other engines' always hold everything). `0s`: all do."""
    logical: bool = False
    """Whether `pg_dump` writes a logical snapshot of PostgreSQL each time, too: other major
    versions can read it. MongoDB's snapshots are logical in any case."""
    rate: Rate | None = None
    """How much the snapshots of all instances together may read per second, before compression:
    `50mb/s`. The log that is archived has no such limit. Default: as fast as they can."""
    drill: Drill = Field(default_factory=Drill)
    """How often a restore is tested, and how long it may take."""

    @model_validator(mode="before")
    @classmethod
    def _long(cls, value: Any) -> Any:
        if value is True or isinstance(value, str):
            text = str(value)
            unsaid = text.lower() in {"", "true", "on", "yes"} or not text.isprintable()
            store = "…" if unsaid else text[:60]
            raise ValueError(
                f"write backup: {{store: {store}}}, with a directory or s3://BUCKET/PREFIX"
            )
        return value


class Rotation(Model):
    """When passwords are replaced by new ones: of apps, of the administrators of the stack's own
    servers, and of the monitor. The agent does it; apps read the new ones by `mngdb.client`."""

    every: Duration
    """How old a password may be."""
    grace: Duration = timedelta(minutes=15)
    """How long sessions that the old password opened are waited for; then they are ended."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        # a number, too, is told that it lacks its unit
        given = isinstance(value, str | int | float) and not isinstance(value, bool)
        return {"every": value} if given else value

    @model_validator(mode="after")
    def _longer(self) -> Rotation:
        least = max(self.grace, timedelta(hours=1))
        if self.every <= least:
            text = "1h" if least > self.grace else f"grace ({format_duration(self.grace)})"
            raise ValueError(f"every: {format_duration(self.every)}: has to be more than {text}")
        return self


class Logs(Model):
    """How long the logs of servers that run as processes of this machine are kept. The agent sets a
    log aside at 32 MB, and compresses it if the file has this key."""

    keep: Duration
    """How long old logs are kept: `365d`."""
    size: Size = parse_size("10gb")
    """What the old logs of one server may take, compressed; the oldest are removed first."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"keep": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _at_least(self) -> Logs:
        if self.keep < timedelta(days=1):
            raise located("logs are kept for 1d at least", "keep")
        if self.size < 64 << 20:
            raise located("old logs need at least 64mb", "size")
        return self


AppName = Annotated[str, AfterValidator(check_app)]


class _Head(Model):
    """The keys that stand above the engines' own."""

    name: PlainName = DEFAULT_STACK
    """Name of the stack; its units are called NAME-pg, NAME-redis, NAME-mongo, NAME-INSTANCE."""
    target: Target = Field(default_factory=lambda: Target.model_validate("local"))
    """Default target of the instances."""
    tls: bool = False
    """Default of `tls` of the instances: encrypt connections. Clients verify the certificates: the
    URLs of `mngdb env APP` contain the path of the CA file. With target compose that is
    `/etc/mngdb/ca.crt` in the app's container: mount `ca.crt` of the rendered folder there (it is
    not a secret)."""
    timezone: Annotated[
        str, AfterValidator(_time_zone), Field(json_schema_extra={"pattern": "^[A-Za-z0-9_+/-]+$"})
    ] = "UTC"
    """Time zone of the stack, as `Asia/Seoul`: of `backup: {at: …}`, of the times in PostgreSQL's
    log and in alerts. Apps' sessions stay in UTC."""
    adopt: bool = False
    """Default of `adopt` of the instances that are external: what is on the server already is kept.
    mngdb creates and grants what the file asks for, and revokes nothing (docs/adopt.md)."""
    vault: Vault = Field(default_factory=Vault)
    """Where secrets are stored."""
    binaries: Binaries = Field(default_factory=Binaries)
    """Folders of the servers' programs, instead of those found automatically. Relative paths start
    at the file's folder."""


def _default_instance(name: EngineName) -> Any:
    return Field(None, description=f"The default {ENGINE_INFO[name].title} instance.")


if TYPE_CHECKING:
    EngineKeys = _Head
else:
    EngineKeys = create_model(
        "EngineKeys",
        __base__=_Head,
        **{name: (one.instance | None, _default_instance(name)) for name, one in MODELS.items()},
    )


#: Names that no instance may have, and what their secrets are of.
_TAKEN = {"alerts": "channels", "backup": "backups", "jwt": "signing keys"}


class StackFile(EngineKeys):
    """A mngdb.yaml."""

    instances: dict[InstanceName, NamedInstance] = Field(default_factory=dict)
    """Additional instances by name."""
    apps: dict[AppName, dict[str, Any]] = Field(
        default_factory=dict,
        json_schema_extra={"additionalProperties": {"type": "object"}},
    )
    """For each app, the instances that it uses and its rights there, and `env`."""
    backup: Backup | None = None
    """Backups, point-in-time recovery and restore drills (docs/backup.md)."""
    jwt: Jwt | None = None
    """Keys for JSON Web Tokens, published to apps (docs/secrets.md)."""
    rotate: Rotation | None = None
    """When passwords are rotated by themselves: `90d`, or `{every: 90d, grace: 15m}`
    (docs/secrets.md). Default: only by `mngdb rotate`."""
    logs: Logs | None = None
    """How long servers' logs are kept: `365d`, or `{keep: 365d, size: 10gb}`. Default: one old log
    of each, of 32 MB."""
    sso: Sso | None = None
    """Single sign-on for web pages: a Keycloak realm."""
    redisinsight: RedisInsight | None = None
    """RedisInsight behind single sign-on."""
    team: Team | None = None
    """Groups of this machine whose members may look at the stack, or operate it (docs/team.md)."""
    alerts: Alerts = Field(default_factory=Alerts)
    """Alert rules and notification channels."""
    agent: Agent | bool = Field(default_factory=Agent)
    """Metrics for Prometheus, alerts, restarts of crashed servers. If no server runs as a process
    on this machine, the agent runs only if the file has this key or channels under `alerts:`.
    `false`: no agent and no exporters."""

    @field_validator("agent", mode="before")
    @classmethod
    def _on_is_default(cls, value: Any) -> Any:
        return {} if value is None or value is True else value

    @field_validator(*MODELS, "apps", mode="before")
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
            if name in AppKeys.model_fields:
                raise located(f"{name!r} is a key of apps", "instances", name)
            if name == "for":
                raise located("'for' is what an app says of its software", "instances", name)
            if name in _TAKEN:
                raise located(
                    f"{name!r} is taken: secrets of {_TAKEN[name]} start with it", "instances", name
                )
        return self
