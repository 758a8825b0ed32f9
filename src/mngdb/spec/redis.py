"""What the file says of a Redis instance and of an app's right in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from mngdb.spec.base import BaseGrant, BaseInstance, Model, PortOrAuto, Version, located
from mngdb.spec.engine_info import REDIS
from mngdb.spec.names import RedisGlob, RedisPattern
from mngdb.spec.presets import Preset, check_name, prefix_of, presets
from mngdb.spec.redis_commands import check_rule, denies, harms_neighbours
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

EVICTIONS: tuple[Eviction, ...] = get_args(Eviction)
#: The setting that publishes what becomes of keys.
EVENTS = "notify-keyspace-events"
#: What ends the parts of a channel's name, and how many more parts PSUBSCRIBE may name with `*`.
_SEPARATORS, _LEVELS = ":./", 2
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
    port: PortOrAuto = REDIS.port
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

    def serving(self, rights: Mapping[str, BaseGrant]) -> RedisInstance:
        """The same with what the apps' software needs, where the file does not say another."""
        every = [preset for _, _, preset in _software(rights)]
        needed = {one.eviction for one in every}
        more: dict[str, Any] = {}
        if "eviction" not in self.model_fields_set and needed & {"noeviction", "volatile"}:
            more["eviction"] = "noeviction" if "noeviction" in needed else "volatile-lru"
        flags = "".join(sorted({f for one in every for f in one.settings.get(EVENTS, "")}))
        if flags and EVENTS not in self.settings:
            more["settings"] = self.settings | {EVENTS: flags}
        if not more:
            return self
        found = self.model_copy(update=more)
        found.model_fields_set.discard("eviction")  # the file does not say it
        return found

    def policy(self, before: str) -> Eviction:
        """The eviction policy: never one that evicts more than `before`, which apps needed that may
        have left the file, unless the file says it."""
        if "eviction" in self.model_fields_set or before not in EVICTIONS:
            return self.eviction
        return min(self.eviction, before, key=_evicts)

    def unapplied(self) -> set[str]:
        """A share of a machine that nobody sees; a size is set."""
        return {"memory"} if self.memory is None or self.memory.bytes is None else set()

    def contradictions(self, rights: Mapping[str, BaseGrant]) -> Iterator[tuple[str, str, str]]:
        """What the apps' software needs and cannot have together: key, sentence, hint."""
        every = [*_software(rights)]
        kept = [one for one in every if one[2].eviction in {"noeviction", "volatile"}]
        cached = [one for one in every if one[2].eviction == "allkeys"]
        if kept and cached and "eviction" not in self.model_fields_set:
            (app, name, _), (other, cache, _) = kept[0], cached[0]
            text = f"{name} of {app} must not lose keys, and {cache} of {other} fills the memory"
            hint = "give one of them an instance of its own, or write 'eviction' for this one"
            yield "eviction", f"{text} with keys that never expire", hint
        said = self.settings.get(EVENTS)
        for app, name, preset in every:
            flags = preset.settings.get(EVENTS, "")
            if said is not None and not events(flags) <= events(said):
                text = f"{name} of {app} needs {EVENTS} {flags}, and the file says {said!r}"
                yield "settings", text, "remove the setting, or add what is missing"


def _evicts(policy: str) -> int:
    """How much a policy may evict: nothing, keys with an expiry, any key."""
    return ["noeviction", "volatile", "allkeys"].index(policy.partition("-")[0])


def _software(rights: Mapping[str, BaseGrant]) -> Iterator[tuple[str, str, Preset]]:
    """App, name and preset of all that uses an instance."""
    for app, grant in rights.items():
        for name in grant.software if isinstance(grant, RedisGrant) else ():
            yield app, name, presets()[name]


class RedisGrant(BaseGrant):
    """Rights of an app in a Redis instance. Short form: a key pattern, or a list of them."""

    for_: list[Annotated[str, AfterValidator(check_name)]] | None = Field(
        default=None, alias="for", min_length=1
    )
    """The software that uses it, one name or a list: `celery`, `[django, bullmq]`. Adds the keys,
    channels, commands and server settings that it needs (docs/presets.md). The first of `keys` is
    its prefix."""
    keys: list[RedisPattern] = Field(default_factory=lambda: [])
    """Patterns of the keys that the app can access. Required, unless `for` names software that has
    keys of its own. Hash tags are written as they are: `"{shop}:*"`."""
    channels: list[RedisPattern] | None = None
    """Patterns of its pub/sub channels. Default: the same as `keys`; with `for`, those that the
    software needs. `"chat:*"` permits SUBSCRIBE to all channels that begin so, and PSUBSCRIBE of
    `chat:*`, `chat:*:*` and `chat:*:*:*`; for others see `patterns`."""
    patterns: list[RedisGlob] = Field(default_factory=lambda: [])
    """Further patterns that it gives to PSUBSCRIBE: Redis compares them letter by letter, so
    `channels: ["chat:*"]` does not permit `PSUBSCRIBE chat:room:*`. Each has to be below one of
    `channels`."""
    access: Literal["readwrite", "readonly"] = "readwrite"
    """`readonly` can read its keys but not change them."""
    default: bool = False
    """The app logs in by its password alone, as the server's user `default`:
    `redis://:PASSWORD@host:6379`, for clients without a user name. One app of an instance, which
    may use all of its keys; best on an instance of its own."""
    commands: list[Annotated[str, AfterValidator(check_rule)]] = Field(default_factory=lambda: [])
    """Additional ACL rules for commands, applied after mngdb's: `+role`, `-eval`. Rules that would
    harm other apps (`+flushdb`, `+keys`, `+client|list`) require an instance that the app has to
    itself."""

    _written: RedisGrant | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"keys": [value]}
        if isinstance(value, dict):
            if value.get("default") is True and "keys" not in value:
                value = value | {"keys": ["*"]}
            both = {key: [value[key]] for key in ("keys", "for") if isinstance(value.get(key), str)}
            if isinstance(names := value.get("for"), list):
                both["for"] = [one for index, one in enumerate(names) if one not in names[:index]]
            return value | both
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

    @model_validator(mode="after")
    def _whole(self) -> RedisGrant:
        for name in self.for_ or ():
            self._check(name)
        if not self.keys and not self.for_:
            raise located("needs at least one pattern of keys, or 'for'", "keys")
        found = self.resolved(alone=False)
        channels = found.keys if found.channels is None else found.channels
        for index, pattern in enumerate(self.patterns):
            if not any(_covers(one, pattern) for one in channels):
                text = f"{pattern!r} is not below any of the app's channels"
                hint = ", ".join(channels) or "none"
                raise located(f"{text} ({hint}); add one to 'channels'", "patterns", index)
        return self

    def _check(self, name: str) -> None:
        """Whether the software can work with the rest of what is said here. Raises an error."""
        preset = presets()[name]
        found = preset.rights(self.prefix)
        if self.default:
            return  # it has every key and channel
        if found is None or ("*" in self.keys and not found.own):
            what = "'*' is every key; " if "*" in self.keys else ""
            raise located(f"{what}{name} needs a prefix: write keys: 'APP:*'", "for")
        if preset.prefixed is not None and self.keys and self.prefix is None and not found.own:
            start = self.keys[0].rstrip("*:")
            text = f"{self.keys[0]!r} has no prefix for {name}; write it as '{start or 'APP'}:*'"
            raise located(text, "keys")
        if self.access == "readonly":
            raise located(f"{name} writes to its keys: remove 'access: readonly'", "access")
        needed = [rule[1:] for rule in preset.commands]
        needed += ["subscribe", "publish"] if found.channels else []
        needed += ["psubscribe"] if found.patterns else []
        for index, rule in enumerate(self.commands):
            for command in needed:
                if denies(rule, command):
                    text = f"{name} needs {command.upper()}: remove {rule!r}"
                    raise located(text, "commands", index)

    @property
    def written(self) -> RedisGrant:
        """As the file has it, without what its software needs."""
        return self._written or self

    @property
    def software(self) -> tuple[str, ...]:
        """What uses it, by names of presets."""
        return tuple(self.written.for_ or ())

    @property
    def whole(self) -> bool:
        """Whether its software takes a whole instance, which no other app is on."""
        rights = (presets()[name].rights(self.prefix) for name in self.software)
        return any(one is not None and one.own for one in rights)

    @property
    def prefix(self) -> str | None:
        """What the app's keys begin with, where the file says one."""
        keys = self.written.keys
        return prefix_of(keys[0]) if keys else None

    @property
    def heard(self) -> list[str]:
        """Patterns of all its channels, as ACL rules have them."""
        return [*(self.keys if self.channels is None else self.channels), *self.patterns]

    @property
    def levels(self) -> list[str]:
        """The patterns below its channels that people give to PSUBSCRIBE: `chat:*:*` and
        `chat:*:*:*` of `chat:*`. Channels with names of the software's own have none."""
        rights = [presets()[name].rights(self.prefix) for name in self.software]
        made = {one for found in rights if found for one in found.channels} - {f"{self.prefix}*"}
        found: list[str] = []
        for one in self.keys if self.channels is None else self.channels:
            head = prefix_of(one)
            if head and head[-1] in _SEPARATORS and one not in made and "*" not in self.heard:
                found += [one + f"{head[-1]}*" * count for count in range(1, _LEVELS + 1)]
        return [one for one in found if one not in self.heard]

    def resolved(self, *, alone: bool) -> RedisGrant:
        """The same with everything that its software needs, and without `for`. `alone`: no other
        app is on the instance."""
        if not self.for_:
            return self
        every = [presets()[name] for name in self.for_]
        rights = [one for preset in every if (one := preset.rights(self.prefix))]
        more = [rule for one in every for rule in one.commands + (one.alone if alone else ())]
        if any(one.eviction in {"noeviction", "volatile"} for one in every):
            # jobs and sessions are there, too
            more = [rule for rule in more if rule != "+flushdb"]
        found = self.model_copy(
            update={
                "for_": None,
                "keys": _merged(self.keys, *(one.keys for one in rights)),
                "channels": _merged(self.channels or (), *(one.channels for one in rights)),
                "patterns": _merged(self.patterns, *(one.patterns for one in rights)),
                "commands": _merged(more, self.commands),
            }
        )
        found._written = self
        return found

    def unfit(self, app: str, *, alone: bool) -> Iterator[tuple[str, str, str]]:
        own = "give the app an instance of its own: instances: {NAME: {engine: redis, port: …}}"
        if alone:
            return
        for name in self.for_ or ():
            found = presets()[name].rights(self.prefix)
            if found is not None and found.own:
                yield (
                    "for",
                    f"{name} cannot share an instance: {presets()[name].shared('APP:')}",
                    own,
                )
        for rule in self.commands:
            reason = harms_neighbours(rule)
            if reason:
                yield "commands", f"{rule!r} is for an instance of {app}'s own: {reason}", own


def _merged(*lists: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(one for found in lists for one in found))


def _covers(channel: str, pattern: str) -> bool:
    """Whether every channel that `pattern` means is one of `channel`."""
    expression = "".join({"*": ".*", "?": "[^*]"}.get(c, re.escape(c)) for c in channel)
    return re.fullmatch(expression, pattern) is not None


def events(flags: str) -> set[str]:
    """What the flags of `notify-keyspace-events` mean, one by one."""
    return set(flags.replace("A", "g$lshzxetd"))
