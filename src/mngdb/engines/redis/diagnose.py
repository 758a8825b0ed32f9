"""What is wrong with an app's login, tried as the app itself, in one sentence.

Nothing is changed: the write that is tried (SETRANGE with an empty value) never writes.
"""

from __future__ import annotations

import secrets
from fnmatch import fnmatchcase

from mngdb.engines.redis.client import RefusedError, Session, connect
from mngdb.engines.redis.look import parse_info
from mngdb.errors import ConnectError
from mngdb.facts.redis_memory import Beside, beside_keys
from mngdb.model import Access, DesiredInstance
from mngdb.spec.redis import RedisGrant

#: What no app may do unless the file names it; each of these only reads.
_FORBIDDEN = (
    ("config|get", ("CONFIG", "GET", "port")),
    ("acl|list", ("ACL", "LIST")),
    ("client|list", ("CLIENT", "LIST")),
)
_AGAIN = "`mngdb up` sets the login's rights"


def diagnose(access: Access, asked: DesiredInstance, app: str) -> str | None:
    """One sentence, or None when all is well. Raises ConnectError when no login succeeds,
    or when the server takes no writes (kinds `disk` and `memory`)."""
    grant = asked.instance.granted(RedisGrant)[app]
    with connect(access) as session:
        return (
            _missing(session, access.user, grant)
            or _excess(session, access.user, grant)
            or _channels(session, access.user, grant)
        )


def _missing(session: Session, user: str, grant: RedisGrant) -> str | None:
    """What the app cannot do that it should."""
    readonly = grant.access == "readonly"
    for pattern in grant.keys:
        key = _example(pattern)
        tries = [["PING"], ["EXISTS", key]]
        if not readonly:
            tries.append(["SETRANGE", key, "0", ""])
        for command, answer in zip(tries, session.ask_all(tries), strict=True):
            if not isinstance(answer, RefusedError):
                continue
            _raise_if_no_writes(session, answer)
            name = command[0].lower()
            if answer.code == "NOPERM" and f"-{name}" not in grant.commands:
                what = "the key" if "access" in answer.message else "the command"
                subject = repr(pattern) if what == "the key" else command[0]
                return (
                    f"the server's ACL refuses {user!r} {what} {subject} "
                    f"({command[0]} on {key!r}); {_AGAIN}"
                )
            if answer.code == "READONLY":
                return "the server is a read-only replica; connect to its primary"
    return None


def _excess(session: Session, user: str, grant: RedisGrant) -> str | None:
    """What the app can do that it should not."""
    tries = [list(c) for name, c in _FORBIDDEN if not _named(name, grant)]
    foreign = f"mngdb-not-yours-{secrets.token_hex(8)}"
    if not any(fnmatchcase(foreign, pattern) for pattern in grant.keys):
        tries.append(["EXISTS", foreign])
    if grant.access == "readonly" and not _named("setrange", grant):
        tries.append(["SETRANGE", _example(grant.keys[0]), "0", ""])
    for command, answer in zip(tries, session.ask_all(tries), strict=True):
        if not (isinstance(answer, RefusedError) and answer.code == "NOPERM"):
            return f"{user!r} may {' '.join(command).strip()} but should not; {_AGAIN}"
    return None


def _channels(session: Session, user: str, grant: RedisGrant) -> str | None:
    if "-subscribe" in grant.commands:
        return None
    for pattern in grant.keys if grant.channels is None else grant.channels:
        channel = _example(pattern)
        try:
            session.ask("SUBSCRIBE", channel)
        except RefusedError as error:
            if error.code == "NOPERM":
                return f"the server's ACL refuses {user!r} the channel {pattern!r}; {_AGAIN}"
            raise
        session.ask("UNSUBSCRIBE", channel)
    return None


def _named(command: str, grant: RedisGrant) -> bool:
    return bool({f"+{command}", f"+{command.split('|', 1)[0]}"} & set(grant.commands))


def _example(pattern: str) -> str:
    """A key that the pattern allows and that nobody else uses."""
    return pattern.replace("*", f"mngdb-probe-{secrets.token_hex(8)}").replace("?", "x")


def _raise_if_no_writes(session: Session, answer: RefusedError) -> None:
    if answer.code == "MISCONF":
        raise ConnectError(
            "Redis cannot write to its disk and refuses writes",
            "free space on the disk of its data folder; see the error in its log",
            "disk",
        ) from answer
    if answer.code == "OOM":
        text = "Redis is out of memory and its eviction policy evicts no keys"
        name, other = session.access.instance, _beside_keys(session)
        hint = f"{name}: {{memory: …}}; 'mngdb keys {name}' shows what uses it"
        if other:
            text, hint = f"{text}: {other.text}", other.command
        raise ConnectError(text, hint, "memory") from answer


def _beside_keys(session: Session) -> Beside | None:
    try:
        return beside_keys(parse_info(session.ask("INFO", "memory")), session.access.instance)
    except RefusedError:
        return None  # the file takes INFO from this app
