"""What is wrong with an app's login, in one sentence: its rights by a dry run, its work as the app.

Nothing is changed: the write that is tried (SETRANGE with an empty value) never writes.
"""

from __future__ import annotations

import re
import secrets
from fnmatch import fnmatchcase

from mngdb.engines.redis import full
from mngdb.engines.redis.acl import login_name
from mngdb.engines.redis.client import RefusedError, Session, connect, unwritable
from mngdb.engines.redis.look import parse_info, told
from mngdb.errors import StepError
from mngdb.model import Access, DesiredInstance
from mngdb.spec.redis import RedisGrant

#: What no app may do unless the file names it; each of these only reads.
_FORBIDDEN = (
    ("config|get", ("CONFIG", "GET", "port")),
    ("acl|list", ("ACL", "LIST")),
    ("client|list", ("CLIENT", "LIST")),
)
#: What stands for any name in a key or channel that is tried.
_PROBE = re.compile(r"mngdb-probe-[0-9a-f]{16}")


def rehearse(session: Session, asked: DesiredInstance) -> dict[str, str]:
    """Apps to what they cannot do that they should, or could do that they should not: by a dry run,
    since a refusal would stand in the server's list of them. On an adopted server others say which
    commands a login may run, and what it may do beyond the file. Raises UnobservableError."""
    adopt = asked.instance.adopt
    grants = asked.instance.granted(RedisGrant)
    logins = {app: login_name(app, grant) for app, grant in grants.items()}
    tries = [
        (app, wanted, command)
        for app, grant in grants.items()
        for wanted, commands in (
            (True, [*_work(grant), *_listens(grant)]),
            (False, [] if adopt else _excess(grant)),
        )
        for command in commands
    ]
    answers = session.ask_all(
        [["ACL", "DRYRUN", logins[app], *command] for app, _, command in tries]
    )
    found: dict[str, str] = {}
    for (app, wanted, command), answer in zip(tries, answers, strict=True):
        if isinstance(answer, RefusedError) and answer.code == "ERR" and "not found" in str(answer):
            continue  # its login tells that there is no such user
        allowed = told(answer, "ACL DRYRUN") == "OK"
        if adopt and not (allowed or _of_pattern(str(answer))):
            continue
        if wanted and not allowed:
            found.setdefault(app, _refused(app, command, str(answer)))
        elif allowed and not wanted:
            found.setdefault(app, f"{app!r} may {' '.join(command)} but should not")
    return found


def diagnose(access: Access, asked: DesiredInstance, app: str) -> str | None:
    """One sentence on what `up` mends, or None when all is well. Raises ConnectError when no login
    succeeds, or when the server takes no writes (kinds `disk` and `memory`), and StepError for a
    replica."""
    grant = asked.instance.granted(RedisGrant)[app]
    # what the dry run did not find there, would be a refusal
    tries = [] if asked.instance.adopt else _work(grant)
    with connect(access) as session:
        for command, answer in zip(tries, session.ask_all(tries), strict=True):
            if not isinstance(answer, RefusedError):
                continue
            _raise_if_no_writes(session, answer)
            if answer.code == "NOPERM":
                return _refused(access.user, command, answer.message)
            if answer.code == "READONLY":
                raise StepError("the server is a read-only replica", "connect to its primary")
        if tries:
            _raise_if_full(session, grant)
    return None


def _work(grant: RedisGrant) -> list[list[str]]:
    """What the app can do, unless the file takes the command from it."""
    tries = [["PING"]]
    for key in map(_example, grant.keys):
        tries.append(["EXISTS", key])
        if grant.access == "readwrite":
            tries.append(["SETRANGE", key, "0", ""])
    return [one for one in tries if f"-{one[0].lower()}" not in grant.commands]


def _listens(grant: RedisGrant) -> list[list[str]]:
    """How the app subscribes to its channels."""
    if "-subscribe" in grant.commands:
        return []
    patterns = [] if "-psubscribe" in grant.commands else grant.patterns
    return [
        *(["SUBSCRIBE", _example(one)] for one in grant.heard if one not in grant.patterns),
        *(["PSUBSCRIBE", one] for one in patterns),
    ]


def _excess(grant: RedisGrant) -> list[list[str]]:
    """What the app must not be able to do."""
    tries = [list(c) for name, c in _FORBIDDEN if not _named(name, grant)]
    foreign = f"mngdb-not-yours-{secrets.token_hex(8)}"
    if not any(fnmatchcase(foreign, pattern) for pattern in grant.keys):
        tries.append(["EXISTS", foreign])
    if grant.access == "readonly" and grant.keys and not _named("setrange", grant):
        tries.append(["SETRANGE", _example(grant.keys[0]), "0", ""])
    return tries


def _refused(user: str, command: list[str], said: str) -> str:
    """The sentence about a refusal in Redis' words."""
    name, pattern = command[0], _PROBE.sub("*", "".join(command[1:2]))
    what = f"the command {name}"
    if "channel" in said:
        what = f"the channel {pattern!r}"
    elif "access" in said:
        what = f"the key {pattern!r} ({name})"
    return f"the server's ACL refuses {user!r} {what}"


def _of_pattern(said: str) -> bool:
    """Whether a refusal is of a key or a channel, not of a command."""
    return "channel" in said or "access" in said


def _named(command: str, grant: RedisGrant) -> bool:
    return bool({f"+{command}", f"+{command.split('|', 1)[0]}"} & set(grant.commands))


def _example(pattern: str) -> str:
    """A key that the pattern allows and that nobody else uses."""
    return pattern.replace("*", f"mngdb-probe-{secrets.token_hex(8)}").replace("?", "x")


def _raise_if_no_writes(session: Session, answer: RefusedError) -> None:
    if answer.code == "MISCONF":
        raise unwritable(session.access, answer.message) from answer
    if answer.code == "OOM":
        raise full.error(_info(session), session.access.instance) from answer


def _raise_if_full(session: Session, grant: RedisGrant) -> None:
    """Of a server that takes small writes still. An app that may not ask leaves no refusal."""
    asks = not any(rule.startswith(("-info", "-@")) for rule in grant.commands)
    if grant.access == "readwrite" and asks:
        refusal = full.refusal(_info(session), session.access.instance)
        if refusal is not None:
            raise refusal


def _info(session: Session) -> dict[str, str]:
    """Empty, where the file takes INFO from this app."""
    try:
        return parse_info(session.ask("INFO"))
    except RefusedError:
        return {}
