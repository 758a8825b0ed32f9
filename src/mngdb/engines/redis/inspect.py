"""Fills in `facts.redis`: judged by effect, in one round trip where that can be."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import hiredis

from mngdb.engines.redis import acl, render
from mngdb.engines.redis.client import RefusedError, Session
from mngdb.engines.redis.observe import parse_info
from mngdb.engines.redis.wire import ReplyError, Wire
from mngdb.errors import UnobservableError
from mngdb.facts.redis import Login, RedisFacts
from mngdb.findings import Seen, see
from mngdb.model import Access, Asked
from mngdb.spec.redis import RedisGrant

#: Requirement B13: what the guide blocks, one real call each.
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
_HASHES = frozenset(hashlib.sha256(word.encode()).hexdigest() for word in WELL_KNOWN)


def inspect(session: Session, asked: Asked) -> RedisFacts:
    """Everything that the checks of Redis judge. What the server refuses is a reason, no error.
    Raises ConnectError when the connection is lost."""
    config, info, users = session.ask_all(
        [["CONFIG", "GET", "*"], ["INFO", "everything"], ["ACL", "LIST"]]
    )
    site = asked.site
    grants = {
        name: frozenset(rule.lstrip("+") for rule in grant.commands if rule[0] == "+")
        for name, grant in asked.instance.grants.items()
        if isinstance(grant, RedisGrant)
    }
    told: Seen[Mapping[str, str]] = see(lambda: parse_info(_answer(info, "INFO")))
    settings = see(lambda: _settings(config, told))
    return RedisFacts(
        config=settings,
        info=told,
        logins=see(lambda: _logins(session, asked, _answer(users, "ACL LIST"))),
        open_to_all=see(lambda: _stranger(session.access) is True),
        plain=see(lambda: not session.access.tls or _stranger(session.access) is not None),
        apps=grants,
        admin=session.access.user,
        password_lengths={
            name: len(secret.reveal())
            for name, secret in asked.secrets.items()
            if name in grants or name == acl.ADMIN
        },
        wanted=render.settings(asked) if asked.managed else render.explicit(asked),
        remote=_remote(settings),
        enclosed=bool(site and site.listen),
        memory=site.memory if site else 0,
        managed=asked.managed,
    )


def _answer(answer: Any, what: str) -> Any:
    if isinstance(answer, RefusedError):
        raise UnobservableError(f"{what} is refused: {answer.message}")
    return answer


def _settings(config: Any, told: Seen[Mapping[str, str]]) -> Mapping[str, str]:
    """The settings in force: all of them, or what INFO has of them where CONFIG is not to be had,
    as with those who rent out servers. Raises UnobservableError where both are refused."""
    if not isinstance(config, RefusedError) or told.missing is not None:
        return _pairs(_answer(config, "CONFIG GET"))
    info = told.value
    found = {name: info[field] for field, name in _TOLD.items() if field in info}
    if "aof_enabled" in info:
        found["appendonly"] = "yes" if info["aof_enabled"] == "1" else "no"
    return Some(found, f"CONFIG GET is refused: {config.message}")


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


def _pairs(flat: Sequence[str]) -> Mapping[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _remote(settings: Seen[Mapping[str, str]]) -> bool:
    """Whether others than this machine can reach it; where nobody tells, they can."""
    try:
        addresses = settings.value.get("bind", "").split()
    except UnobservableError:
        return True
    local = all(one.lstrip("-").startswith("127.") or one.lstrip("-") == "::1" for one in addresses)
    return not addresses or not local


def _logins(session: Session, asked: Asked, lines: Iterable[str]) -> tuple[Login, ...]:
    users = [acl.parse(line) for line in lines]
    tries: list[tuple[str, str, list[str]]] = []
    for user in users:
        key, channel = _own(asked, user.name)
        for name, command in (DANGEROUS | USEFUL | USEFUL_WRITE).items():
            words = [word.format(key=key, channel=channel) for word in command]
            tries.append((user.name, name, ["ACL", "DRYRUN", user.name, *words]))
    answers = session.ask_all([words for _, _, words in tries])
    may: dict[str, set[str]] = {user.name: set() for user in users}
    for (login, name, _), answer in zip(tries, answers, strict=True):
        if isinstance(answer, RefusedError):
            if "not found" in answer.message:
                continue  # a command that this server does not have
            raise UnobservableError(f"ACL DRYRUN is refused: {answer.message}")
        if answer == "OK":
            may[login].add(name)
    return tuple(
        Login(
            user.name,
            user.on,
            "nopass" in user.flags,
            bool(user.passwords & _HASHES),
            "~*" in user.keys or "allkeys" in user.flags,
            "&*" in user.channels or "allchannels" in user.flags,
            frozenset(may[user.name]),
        )
        for user in users
    )


def _own(asked: Asked, name: str) -> tuple[str, str]:
    """A key and a channel that the file gives this login."""
    grant = asked.instance.grants.get(name)
    if not isinstance(grant, RedisGrant):
        return "k", "c"
    channels = grant.keys if grant.channels is None else grant.channels
    first = channels[0] if channels else "c"
    return grant.keys[0].replace("*", "x"), first.replace("*", "x")


def _stranger(at: Access) -> bool | None:
    """Whether a PING without login and encryption is answered; None: nothing comes back."""
    try:
        wire = Wire(replace(at, tls=False), _PATIENCE)
    except OSError as error:
        raise UnobservableError(f"{at.host}:{at.port} cannot be reached: {error}") from None
    try:
        (answer,) = wire.ask([["PING"]])
    except (OSError, hiredis.ProtocolError):
        return None  # it hangs up on who does not speak TLS
    finally:
        wire.close()
    return not isinstance(answer, ReplyError)
