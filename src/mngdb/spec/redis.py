"""What the file says of a Redis instance and of an app's right in it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from mngdb.spec.base import BaseGrant, BaseInstance, Model, Port, Version, located
from mngdb.spec.engine_info import REDIS
from mngdb.spec.names import RedisPattern
from mngdb.spec.units import Duration, Seconds, Size, parse_size

Eviction = Literal[
    "noeviction",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
]


#: What it lets wait when the file says nothing.
_BACKLOG = 511


class SavePoint(Model):
    """Write an RDB snapshot when, within `after`, at least `changes` keys changed."""

    after: Seconds
    """Interval, in whole seconds."""
    changes: int = Field(ge=1, le=2_147_483_647)
    """Minimum number of changed keys."""

    @model_validator(mode="after")
    def _not_at_once(self) -> SavePoint:
        if not self.after:
            raise located("a save point needs at least 1s", "after")
        return self


class RedisInstance(BaseInstance):
    """A Redis server. The defaults are the production guide's."""

    reserved_settings: ClassVar[dict[str, str]] = dict.fromkeys(
        (
            "port",
            "bind",
            "dir",
            "aclfile",
            "pidfile",
            "logfile",
            "daemonize",
            "requirepass",
            "masterauth",
            "user",
            "rename-command",
            "include",
            "unixsocket",
            "unixsocketperm",
            "loadmodule",
            "maxmemory",
            "maxmemory-policy",
            "maxmemory-samples",
            "appendfsync",
            "appendonly",
            "save",
            "timeout",
            "tcp-keepalive",
            "maxclients",
            "protected-mode",
            "slowlog-log-slower-than",
            "slowlog-max-len",
            "tls-port",
            "tls-cert-file",
            "tls-key-file",
            "tls-ca-cert-file",
            "tls-auth-clients",
            "tls-key-file-pass",
            "tls-client-key-file-pass",
            "replicaof",
            "slaveof",
            "masteruser",
            "appenddirname",
            "appendfilename",
            "dbfilename",
            "enable-debug-command",
            "enable-protected-configs",
            "enable-module-command",
        ),
        "the instance's own keys and from where its files are",
    )

    engine: Literal["redis"] = "redis"
    """The engine: required under `instances`, implied elsewhere."""
    server: Literal["redis", "valkey"] = "redis"
    """Server program. Valkey can come from this machine or from pip; target compose supports only
    Redis."""
    version: Version | None = "8"
    """Required version, major (8) or more exact (8.2); the installed version is compared with it.
    Default: 8, for Valkey 9."""
    port: Port = REDIS.port
    eviction: Eviction = "allkeys-lru"
    """Eviction policy when memory is full; queues need `noeviction`."""
    samples: int = Field(default=5, ge=1, le=64)
    """Keys sampled for each eviction (maxmemory-samples)."""
    appendonly: bool = True
    """Log every write (AOF)."""
    appendfsync: Literal["always", "everysec", "no"] = "everysec"
    """When the log is synced to disk."""
    rewrite_percentage: int = Field(default=100, ge=0, le=10_000)
    """Rewrite the log when it has grown by this percentage."""
    rewrite_min_size: Size = parse_size("64mb")
    """Do not rewrite a log smaller than this."""
    save: list[SavePoint] = Field(
        default_factory=lambda: [
            SavePoint(after=timedelta(seconds=900), changes=1),
            SavePoint(after=timedelta(seconds=300), changes=10),
            SavePoint(after=timedelta(seconds=60), changes=10_000),
        ]
    )
    """RDB snapshots."""
    timeout: Seconds = timedelta(seconds=300)
    """Idle connections are closed after this."""
    tcp_keepalive: Seconds = timedelta(seconds=300)
    """Interval of TCP keepalive probes on idle connections."""
    max_clients: int = Field(default=10_000, ge=10, le=1_000_000)
    """Maximum number of connections."""
    slow: Duration = timedelta(milliseconds=10)
    """Commands that take longer than this are recorded in the slow log."""
    slow_entries: int = Field(default=128, ge=1, le=100_000)
    """Entries that the slow log keeps."""

    @property
    def program(self) -> str:
        """Redis, or Valkey in its place."""
        return self.server

    @property
    def clients(self) -> int:
        """`maxclients`."""
        return self.max_clients

    @property
    def files(self) -> int:
        """One for each client, and 32 that it keeps for itself."""
        return self.max_clients + 32

    @property
    def tasks(self) -> int:
        """One thread serves all clients."""
        return 0

    @property
    def backlog(self) -> int:
        """`tcp-backlog`."""
        return int(self.settings.get("tcp-backlog", _BACKLOG))

    @model_validator(mode="before")
    @classmethod
    def _own_version(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("server") == "valkey":
            return {"version": "9"} | value
        return value

    def save_points(self) -> str:
        """The save points as Redis writes them: "900 1 300 10"."""
        return " ".join(f"{int(p.after.total_seconds())} {p.changes}" for p in self.save)


#: Rules that give back what the guide blocks (requirement B13).
_NEVER = {
    f"+{word}"
    for word in (
        "@all",
        "@dangerous",
        "@admin",
        "flushall",
        "flushdb",
        "config",
        "shutdown",
        "debug",
        "save",
        "bgsave",
        "acl",
        "module",
        "replicaof",
        "monitor",
    )
}


def _command_rule(value: str) -> str:
    if not re.fullmatch(r"[+-]@?[a-z][a-z0-9_.-]*(\|[a-z0-9_.-]+)?", value):
        raise ValueError(f"{value!r} is not a command rule; write +command, -command, +@category")
    if value in _NEVER:
        raise ValueError(f"{value!r} allows the dangerous commands again; name single commands")
    return value


class RedisGrant(BaseGrant):
    """Rights of an app in a Redis instance. Short form: a key pattern, or a list of them."""

    keys: list[RedisPattern] = Field(min_length=1)
    """Patterns of the keys that the app can access."""
    channels: list[RedisPattern] | None = None
    """Patterns of its pub/sub channels. Default: the same as `keys`."""
    access: Literal["readwrite", "readonly"] = "readwrite"
    """`readonly` can read its keys but not change them."""
    default: bool = False
    """The app logs in by its password alone, as the server's user `default`:
    `redis://:PASSWORD@host:6379`, for clients without a user name. One app of an instance, which
    may use all of its keys; best on an instance of its own."""
    commands: list[Annotated[str, AfterValidator(_command_rule)]] = Field(
        default_factory=lambda: []
    )
    """Additional ACL rules for commands, applied after mngdb's: `+keys`, `-eval`."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"keys": [value]}
        if isinstance(value, dict) and value.get("default") is True and "keys" not in value:
            return value | {"keys": ["*"]}
        if isinstance(value, dict) and isinstance(value.get("keys"), str):
            return value | {"keys": [value["keys"]]}
        return {"keys": value} if isinstance(value, list) else value

    @model_validator(mode="after")
    def _default_loads_the_log(self) -> RedisGrant:
        """A server that starts replays its append-only file with the rights of `default`: what
        these do not allow would be lost."""
        if not self.default:
            return self
        why = "the server loads its append-only file with the rights of the user 'default'"
        if self.keys != ["*"]:
            raise located(f"an app with 'default: true' has all keys ('*'): {why}", "keys")
        if self.access != "readwrite":
            raise located(f"an app with 'default: true' cannot be readonly: {why}", "access")
        for index, rule in enumerate(self.commands):
            if rule.startswith("-"):
                text = f"an app with 'default: true' cannot lose commands: {why}"
                raise located(text, "commands", index)
        return self
