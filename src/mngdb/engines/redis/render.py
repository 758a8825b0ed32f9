"""What a Redis server of ours runs with: settings, redis.conf, users.acl, argv."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from mngdb.data import text
from mngdb.engines.redis import acl
from mngdb.engines.redis.release import unreadable
from mngdb.model import DesiredInstance, File, Site, Unit
from mngdb.release import Data, Release
from mngdb.spec.redis import RedisGrant, RedisInstance

#: Settings of several words, which redis.conf takes unquoted.
_LISTS = frozenset(
    {
        "bind",
        "save",
        "client-output-buffer-limit",
        "oom-score-adj-values",
        "latency-tracking-info-percentiles",
    }
)
#: What stands before an eviction policy where it is noted.
_KEEPS = "maxmemory-policy "
#: A setting, and the value by which a server is known that reads its log only to switch it off: it
#: does not rewrite the log before.
READING = ("auto-aof-rewrite-percentage", "1999999999")
#: Redis ignores the RDB file when the AOF is on and has no files yet, and the AOF when it is off:
#: switched on or off while the server was stopped, it would start empty. So it starts with the
#: newer of what is on disk, and the switch is made live, where Redis carries the data over. A log
#: that was overtaken is put aside, or a later switch would bring the past back.
#: A log that is only read to be switched off live is marked: what comes after is in the snapshot
#: alone, whatever the times of the two files say; until the log is switched on again, which gives
#: it another base, then a manifest with it. Nothing else does: before it is off, it is not
#: rewritten. It is switched off in no other way: a running Redis leaves it as it was.
#: A log that was restored into a server that keeps nothing on disk is read likewise, once.
RESTORED = ".log-was-restored"
_START = (
    text(__file__, "start.sh").replace("READING", " ".join(READING)).replace("RESTORED", RESTORED)
)
_DIR, _AOF, _RDB = "appendonlydir", "appendonly.aof", "dump.rdb"


def spec_of(asked: DesiredInstance) -> RedisInstance:
    """The instance's part of the file."""
    spec = asked.instance.spec
    assert isinstance(spec, RedisInstance)  # noqa: S101 - the registry has paired them
    return spec


def policy(asked: DesiredInstance) -> str:
    """Its eviction policy: what an earlier `up` had for apps stays where the file says nothing, for
    their keys may still be there."""
    before = next((one for one in asked.known if one.startswith(_KEEPS)), "")
    return spec_of(asked).policy(before.removeprefix(_KEEPS))


def unmarked(asked: DesiredInstance) -> frozenset[str]:
    """What the next `up` has to know of its eviction policy: that keys must not be lost."""
    found = policy(asked)
    derived = "eviction" not in spec_of(asked).model_fields_set and not found.startswith("allkeys")
    return frozenset({_KEEPS + found} if derived and asked.managed else ())


def settings(asked: DesiredInstance) -> dict[str, str]:
    """Directive to value, as `CONFIG GET` prints it; the file's own `settings` last.

    Durations are in seconds, `slowlog-log-slower-than` is in microseconds, sizes are in bytes.
    """
    spec = spec_of(asked)
    return _fixed(asked) | _tunable(asked) | _own(spec)


def explicit(asked: DesiredInstance) -> dict[str, str]:
    """The part of `settings` that the file names: all that counts on a server not ours."""
    spec = spec_of(asked)
    named = {
        directive
        for key, directives in _DIRECTIVES.items()
        if key in spec.model_fields_set
        for directive in directives
    }
    return {k: v for k, v in _tunable(asked).items() if k in named} | _own(spec)


def release(asked: DesiredInstance) -> Release:
    """Which server it would be."""
    return asked.site.program.release if asked.site else Release("", "")


def unit(asked: DesiredInstance) -> Unit:
    """The unit. Its files hold hashes of secrets, never plain text. Pure."""
    site = asked.site
    assert site is not None  # noqa: S101 - only servers that are ours are rendered
    values = settings(asked)
    conf = f"{site.conf}/redis.conf"
    lines = [_line(name, value) for name, value in values.items() if (name, value) != _NO_TLS]
    lines += [
        _line("dir", site.data),
        _line("aclfile", f"{site.conf}/users.acl"),
        "daemonize no",
        'logfile ""',
    ]
    users = [" ".join(("user", u.name, *u.rules())) for u in acl.wanted(asked).values()]
    grants = asked.instance.granted(RedisGrant)
    kept = tuple(
        f"user {acl.login_name(one, grants[one]) if one in grants else one} "
        for one in sorted(asked.unusable)
    )
    return Unit(
        name=asked.instance.unit,
        instance=asked.instance.name,
        engine="redis",
        argv=("/bin/sh", "-c", _START, site.program.server, conf, *_disk(values, site)),
        files=(
            File("redis.conf", "\n".join(lines) + "\n"),
            File("users.acl", "\n".join(users) + "\n", kept),
        ),
        login_files=frozenset({"users.acl"}),
        # beside the log a snapshot is one more copy
        holds=(f"{_DIR}/*", _AOF) if values["appendonly"] == "yes" else (_RDB,),
        data=Data((_RDB, f"{_DIR}/*"), partial(unreadable, release(asked), mode(values) != "none")),
    )


#: Builds without TLS before Redis 8 do not know the directive.
_NO_TLS = ("tls-port", "0")
#: Keys of the file to the directives that follow from them.
_DIRECTIVES = {
    "memory": ("maxmemory",),
    "eviction": ("maxmemory-policy",),
    "samples": ("maxmemory-samples",),
    "appendonly": ("appendonly",),
    "appendfsync": ("appendfsync",),
    "rewrite_percentage": ("auto-aof-rewrite-percentage",),
    "rewrite_min_size": ("auto-aof-rewrite-min-size",),
    "save": ("save",),
    "timeout": ("timeout",),
    "tcp_keepalive": ("tcp-keepalive",),
    "max_clients": ("maxclients",),
    "slow": ("slowlog-log-slower-than",),
    "slow_entries": ("slowlog-max-len",),
}


def _fixed(asked: DesiredInstance) -> dict[str, str]:
    """What only a server of ours has."""
    spec, site = spec_of(asked), asked.site
    port, found = str(spec.port), dict[str, str]()
    if asked.instance.tls and site is not None and site.tls is not None:
        found = {
            "port": "0",
            "tls-port": port,
            "tls-cert-file": site.tls.own,
            "tls-key-file": site.tls.own,
            "tls-ca-cert-file": site.tls.ca,
            "tls-auth-clients": "no",
        }
    else:
        found = {"port": port, "tls-port": "0"}
    return found | {
        "bind": " ".join(asked.listen),
        "protected-mode": "yes",
        "enable-debug-command": "no",
        "enable-protected-configs": "no",
        "enable-module-command": "no",
        "appenddirname": _DIR,
        "appendfilename": _AOF,
        "dbfilename": _RDB,
        "aof-timestamp-enabled": "yes",
        "aof-use-rdb-preamble": "yes",
        "rdbcompression": "yes",
        "rdbchecksum": "yes",
        # a backup's file must not come back as the data of a server that keeps none
        "rdb-del-sync-files": "yes",
        "stop-writes-on-bgsave-error": "yes",
        # milliseconds: LATENCY then says what the slow log cannot (forks, disk)
        "latency-monitor-threshold": "100",
        # its log ends with a script that goes through all keys, as long as it takes
        **({"busy-reply-threshold": "0"} if asked.instance.role == "source" else {}),
    }


#: What clients may take together, in bytes: answers that nobody reads count as data, and would push
#: out everybody's keys. The client that takes most is let go: a value of up to half of the limit is
#: read and written as without one.
_CLIENTS_LEAST = 32 << 20


def _tunable(asked: DesiredInstance) -> dict[str, str]:
    """What follows from keys of the file; the defaults are the guide's."""
    spec, site = spec_of(asked), asked.site
    memory = asked.instance.memory
    found = {
        "maxmemory-policy": policy(asked),
        "maxmemory-samples": str(spec.samples),
        "appendonly": "yes" if spec.appendonly else "no",
        "appendfsync": spec.appendfsync,
        "auto-aof-rewrite-percentage": str(spec.rewrite_percentage),
        "auto-aof-rewrite-min-size": str(spec.rewrite_min_size),
        "save": spec.save_points(),
        "timeout": str(int(spec.timeout.total_seconds())),
        "tcp-keepalive": str(int(spec.tcp_keepalive.total_seconds())),
        "maxclients": str(spec.max_clients),
        "slowlog-log-slower-than": str(round(spec.slow.total_seconds() * 1_000_000)),
        "slowlog-max-len": str(spec.slow_entries),
    }
    if site is not None or memory.bytes is not None:
        # a share of a machine that we do not see is nothing to compare
        limit = memory.of(site.memory if site else 0)
        found["maxmemory"] = str(limit)
        # without a version nobody looked for the program: the server runs, so it is none of old
        if site is not None and int(site.program.version.partition(".")[0] or "7") >= 7:
            found["maxmemory-clients"] = str(max(limit // 5, min(limit // 4, _CLIENTS_LEAST)))
        if asked.instance.archived:
            found |= _archived(limit)
    return found


#: What the server keeps of its log for the archive, in bytes: a share of its memory, the least, the
#: most. It counts as data.
_KEPT_SHARE, _KEPT_LEAST, _KEPT_MOST = 16, 1 << 20, 256 << 20
#: What may wait for the archive at least, in bytes: one value has to fit. More than what is kept
#: does not count as data.
_WAITING_LEAST = 64 << 20


def _archived(limit: int) -> dict[str, str]:
    """What lets the agent be away for a moment, and takes no more memory where its store is away
    for long: Redis then lets it go."""
    kept = max(_KEPT_LEAST, min(limit // _KEPT_SHARE, _KEPT_MOST))
    return {
        "repl-backlog-size": str(kept),
        # it would begin another history an hour after the last replica
        "repl-backlog-ttl": "0",
        "client-output-buffer-limit": f"replica {max(2 * kept, _WAITING_LEAST)} 0 0",
        # seconds: a PING is a part of the log, which is stored
        "repl-ping-replica-period": "30",
    }


def _own(spec: RedisInstance) -> dict[str, str]:
    # the file turns YAML's true and false into on and off; Redis says yes and no
    switch = {"on": "yes", "off": "no"}
    return {name.lower(): switch.get(value, value) for name, value in spec.settings.items()}


def _disk(values: dict[str, str], site: Site) -> tuple[str, ...]:
    """What `_START` looks at, in its order."""
    names = ("appenddirname", "appendfilename", "dbfilename")
    return (site.data, *(values[name] for name in names), mode(values))


def mode(values: Mapping[str, str]) -> str:
    """What outlives the server: `yes`: its log, `no`: its snapshots, `none`."""
    # without log and snapshots nothing is meant to outlive the server
    return values["appendonly"] if values["appendonly"] == "yes" or values["save"] else "none"


def _line(name: str, value: str) -> str:
    words = value.split() if name in _LISTS and value else [value]
    return " ".join([name, *(_quoted(word) for word in words)])


def _quoted(word: str) -> str:
    """As redis.conf takes it: Redis undoes \\" and \\\\ inside double quotes."""
    if word and all(c.isalnum() or c in "-_./:%" for c in word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
