"""Fills in `facts.redis`: judged by effect, in one round trip where that can be."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import hiredis
from msgspec import Struct
from msgspec.structs import replace

from mngdb.dial import only_here
from mngdb.engines.redis import acl, patterns, render
from mngdb.engines.redis.client import RefusedError, Session
from mngdb.engines.redis.look import Look, look
from mngdb.engines.redis.wire import ReplyError, Wire
from mngdb.errors import UnobservableError
from mngdb.facts.redis import Login, RedisFacts, Rights
from mngdb.findings import Seen, see
from mngdb.model import Access, DesiredInstance
from mngdb.spec.redis import RedisGrant

#: Requirement B13: what the guide blocks, and what does the same harm; one real call each.
DANGEROUS: dict[str, tuple[str, ...]] = {
    "flushall": ("FLUSHALL",),
    "flushdb": ("FLUSHDB",),
    "config|set": ("CONFIG", "SET", "maxmemory", "1"),
    "config|get": ("CONFIG", "GET", "maxmemory"),
    "shutdown": ("SHUTDOWN", "NOSAVE"),
    "keys": ("KEYS", "*"),
    "save": ("SAVE",),
    "bgsave": ("BGSAVE",),
    "bgrewriteaof": ("BGREWRITEAOF",),
    "debug": ("DEBUG", "JMAP"),
    "acl|setuser": ("ACL", "SETUSER", "x"),
    "module|load": ("MODULE", "LOAD", "/x"),
    "replicaof": ("REPLICAOF", "NO", "ONE"),
    "monitor": ("MONITOR",),
    "slaveof": ("SLAVEOF", "NO", "ONE"),
    "psync": ("PSYNC", "?", "-1"),
    "failover": ("FAILOVER",),
    "acl|load": ("ACL", "LOAD"),
    "acl|deluser": ("ACL", "DELUSER", "x"),
    "config|rewrite": ("CONFIG", "REWRITE"),
    "cluster|reset": ("CLUSTER", "RESET"),
    "client|pause": ("CLIENT", "PAUSE", "1"),
    "restore": ("RESTORE", "{key}", "0", "x"),
    "client|kill": ("CLIENT", "KILL", "ID", "0"),
    "migrate": ("MIGRATE", "127.0.0.1", "1", "k", "0", "1"),
    "swapdb": ("SWAPDB", "0", "1"),
}
#: What an app works with, as requirement B13 lists it; `{key}` and `{channel}` are its own.
USEFUL: dict[str, tuple[str, ...]] = {
    "ping": ("PING",),
    "info": ("INFO",),
    "get": ("GET", "{key}"),
    "scan": ("SCAN", "0"),
    "client|setname": ("CLIENT", "SETNAME", "x"),
    "subscribe": ("SUBSCRIBE", "{channel}"),
    "xrange": ("XRANGE", "{key}", "-", "+"),
}
USEFUL_WRITE: dict[str, tuple[str, ...]] = {
    "set": ("SET", "{key}", "1"),
    "eval": ("EVAL", "return 1", "0"),
    "publish": ("PUBLISH", "{channel}", "x"),
    "xadd": ("XADD", "{key}", "*", "f", "v"),
    "multi": ("MULTI",),
}
#: Names that no app's pattern is meant for: who may use all of these may use any.
_ANY = ("Zq7:mngdb", "0-mngdb", "_mngdb", "xmngdb.9")
#: What reads or writes a key, whichever of them a login has.
_ON_KEYS = (
    *("GET {key}", "HGETALL {key}", "LRANGE {key} 0 1", "SMEMBERS {key}", "ZRANGE {key} 0 1"),
    *("XRANGE {key} - +", "DUMP {key}", "SET {key} 1", "HSET {key} f v", "LPUSH {key} v"),
    *("SADD {key} v", "ZADD {key} 1 v", "XADD {key} * f v", "DEL {key}"),
)
_ON_CHANNELS = ("SUBSCRIBE {channel}", "PUBLISH {channel} x")
#: The first that anybody tries.
WELL_KNOWN = (
    *("redis", "foobared", "password", "admin", "root", "123456", "12345678", "secret"),
    *("changeme", "default", "test", "letmein", "passw0rd", "password123", "redis123"),
    *("strong_password", "your-password", "your-strong-password-here"),
)
#: Fields of INFO that are settings.
_TOLD = {
    "maxmemory": "maxmemory",
    "maxmemory_policy": "maxmemory-policy",
    "maxclients": "maxclients",
}
#: Seconds for the answer to a stranger.
_PATIENCE = 2.0


def _hash(word: str) -> str:
    return hashlib.sha256(word.encode()).hexdigest()


_HASHES = frozenset(map(_hash, WELL_KNOWN))


def inspect(session: Session, asked: DesiredInstance, health: bool) -> RedisFacts:
    """Everything that the checks of Redis judge. What the server refuses is a reason, no error.
    Raises ConnectError when the connection is lost."""
    seen = look(session, "everything")
    site = asked.site
    grants = {
        name: frozenset(rule.lstrip("+") for rule in grant.commands if rule[0] == "+")
        for name, (_, grant) in acl.by_login(asked).items()
    }
    settings = see(lambda: _settings(seen))
    return RedisFacts(
        config=settings,
        info=seen.info,
        logins=see(lambda: _logins(session, asked, seen.users.value), not health),
        open_to_all=see(lambda: _stranger(session.access) is True, not health),
        plain=see(lambda: _plain(session.access, settings), not health),
        apps=grants,
        admin=session.access.user,
        known=_known(session, asked),
        whole=frozenset(n for n, (_, grant) in acl.by_login(asked).items() if grant.whole),
        shared=tuple(patterns.shared(asked.instance.granted(RedisGrant))),
        password_lengths={
            name: len(secret.reveal())
            for name, secret in asked.secrets.items()
            if name in asked.instance.grants.keys() - asked.unknown or name == acl.ADMIN
        },
        wanted=render.settings(asked) if asked.managed else render.explicit(asked),
        remote=_remote(settings),
        without_tls=asked.instance.spec.without_tls or "",
        enclosed=bool(site and site.listen),
        version=asked.version,
        memory=site.memory if site else 0,
        managed=asked.managed,
        adopted=asked.instance.adopt,
    )


def _known(session: Session, asked: DesiredInstance) -> frozenset[str]:
    return frozenset({session.access.user, *acl.wanted(asked)})


def _settings(seen: Look) -> Mapping[str, str]:
    """The settings in force: all of them, or what INFO has of them where CONFIG is not to be had,
    as with those who rent out servers. Raises UnobservableError where both are refused."""
    refusal, info = seen.settings.missing, seen.info.found
    if refusal is None or info is None:
        return seen.settings.value
    found = {name: info[field] for field, name in _TOLD.items() if field in info}
    if "aof_enabled" in info:
        found["appendonly"] = "yes" if info["aof_enabled"] == "1" else "no"
    return Some(found, refusal)


class Some(Mapping[str, str]):
    """Some settings; to ask for another one raises UnobservableError with the reason."""

    def __init__(self, known: Mapping[str, str], reason: str) -> None:
        self._known, self._reason = known, reason

    def __getitem__(self, name: str) -> str:
        if name not in self._known:
            raise UnobservableError(self._reason)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


def _remote(settings: Seen[Mapping[str, str]]) -> bool:
    """Whether others than this machine can reach it; where nobody tells, they can."""
    try:
        addresses = settings.value.get("bind", "").split()
    except UnobservableError:
        return True
    return not addresses or not all(only_here(one.removeprefix("-")) for one in addresses)


def _logins(
    session: Session, asked: DesiredInstance, users: Sequence[acl.User]
) -> tuple[Login, ...]:
    tries = {user.name: list(_tries(asked, user.name)) for user in users}
    for user in users:
        if user.on and user.name not in _known(session, asked):
            tries[user.name] += _on_apps(asked)
    answers = iter(
        session.ask_all(
            [["ACL", "DRYRUN", name, *one.words] for name, mine in tries.items() for one in mine]
        )
    )
    found = {name: [(one, next(answers)) for one in mine] for name, mine in tries.items()}
    return tuple(
        Login(
            user.name,
            user.on,
            "nopass" in user.flags,
            bool(user.passwords & (_HASHES | {_hash(user.name), _hash(f"{user.name}123")})),
            see(partial(_rights, found[user.name], _nameless(asked, user.name))),
            bool(user.passwords) and user.passwords <= _ruling(users, user.name),
        )
        for user in users
    )


def _ruling(users: Sequence[acl.User], but: str) -> frozenset[str]:
    """Hashes of the passwords of the other logins that may do everything."""
    every = [one for one in users if one.name != but and one.on and one.commands == "+@all"]
    return frozenset[str]().union(*(one.passwords for one in every if "~*" in one.keys))


class _Try(Struct, frozen=True):
    """A call, as what it is tried: a command by its name, or one on a name of `_ANY` or of an
    app."""

    kind: str
    name: str
    words: list[str]


def _tries(asked: DesiredInstance, login: str) -> Iterator[_Try]:
    key, channel = _own(asked, login)
    for name, command in (DANGEROUS | USEFUL | USEFUL_WRITE).items():
        yield _Try("command", name, [one.format(key=key, channel=channel) for one in command])
    for kind, calls in (("keys", _ON_KEYS), ("channels", _ON_CHANNELS)):
        for call in calls:
            for name in _ANY:
                yield _Try(kind, call, call.format(key=name, channel=name).split())


def _on_apps(asked: DesiredInstance) -> Iterator[_Try]:
    """What reads or writes the keys of each app."""
    for login, (app, _) in acl.by_login(asked).items():
        key, channel = _own(asked, login)
        for call in _ON_KEYS:
            yield _Try("apps", app, call.format(key=key, channel=channel).split())


def _nameless(asked: DesiredInstance, login: str) -> bool:
    """Whether the file gives an app no keys or no channels: no call on one is permitted."""
    _, grant = acl.by_login(asked).get(login, ("", None))
    return grant is not None and not (grant.keys and grant.heard)


def _rights(answers: Sequence[tuple[_Try, Any]], nameless: bool) -> Rights:
    """`nameless`: a command that is refused for the key or the channel alone is permitted."""
    granted: dict[str, Counter[str]] = {
        kind: Counter() for kind in ("command", "keys", "channels", "apps")
    }
    for one, answer in answers:
        if isinstance(answer, RefusedError):
            if "not found" in answer.message:
                continue  # a command that this server does not have
            raise UnobservableError(f"ACL DRYRUN is refused: {answer.message}")
        command = one.kind == "command" and nameless and " to access the " in str(answer)
        granted[one.kind][one.name] += answer == "OK" or command
    return Rights(
        frozenset(+granted["command"]),
        len(_ANY) in granted["keys"].values(),
        len(_ANY) in granted["channels"].values(),
        frozenset(+granted["apps"]),
    )


def _own(asked: DesiredInstance, name: str) -> tuple[str, str]:
    """A key and a channel that the file gives this login."""
    _, grant = acl.by_login(asked).get(name, ("", None))
    if grant is None:
        return "k", "c"
    key, channel = (grant.keys or ["k"])[0], (grant.heard or ["c"])[0]
    return key.replace("*", "x"), channel.replace("*", "x")


def _plain(at: Access, settings: Seen[Mapping[str, str]]) -> bool:
    """Whether the server answers without encryption, at this port or at another of its own."""
    if not at.tls:
        return True
    try:
        port = settings.value.get("port", "0")
    except UnobservableError:
        port = "0"
    return port != "0" or _stranger(replace(at, tls=False)) is not None


def _stranger(at: Access) -> bool | None:
    """Whether a PING without a login is answered; None: nothing comes back."""
    try:
        wire = Wire(at, _PATIENCE)
    except OSError as error:
        raise UnobservableError(f"{at.host}:{at.port} cannot be reached: {error}") from None
    try:
        (answer,) = wire.ask([["PING"]])
    except (OSError, hiredis.ProtocolError):
        return None  # it hangs up on who does not speak TLS, or shows no certificate
    finally:
        wire.close()
    return not isinstance(answer, ReplyError)
