"""What is looked at on a Redis server, in one round trip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from mngdb.engines.redis import acl, render
from mngdb.engines.redis.client import RefusedError, Session, place
from mngdb.engines.redis.facts import Facts, open_files
from mngdb.engines.redis.release import release
from mngdb.errors import UnobservableError, UsageError
from mngdb.model import DesiredInstance
from mngdb.spec.redis import RedisGrant
from mngdb.words import numbers

#: Selectors, key permissions and `ACL DRYRUN` came with it.
OLDEST = 7
#: Older servers tell a login's rules in words of their own, not as they were given.
_KEEPS_RULES = (7, 2)


def observe(session: Session, asked: DesiredInstance) -> Facts:
    """Settings, logins and unknown commands. Raises UnobservableError; UsageError if too old."""
    rules = _named_commands(asked)
    commands = [name for name in rules if not name.startswith("@")]
    asking = [["INFO", "server"], ["ACL", "LIST"], ["CONFIG", "GET", "*"], ["ACL", "CAT"]]
    if commands:
        asking.append(["COMMAND", "INFO", *commands])
    info, users, config, categories, *described = session.ask_all(asking)
    where = f"{asked.instance.name} (Redis at {place(session.access)})"
    server = release(_info(info, where))
    version = numbers(server.version)
    if version < (OLDEST,):
        raise UsageError(
            f"{where} is version {server.version}; mngdb needs Redis {OLDEST} or newer",
            "upgrade the server: older versions cannot restrict an app to its keys",
        )
    lines = _need(users, f"{where} does not show its users")
    settings: dict[str, str] = {}
    if isinstance(config, RefusedError):
        # a provider may keep CONFIG for itself; that matters only if the file asks for settings
        if asked.managed or render.explicit(asked):
            _need(config, f"{where} does not show its settings")
    else:
        settings = dict(zip(config[::2], config[1::2], strict=True))
    categories = _need(categories, f"{where} does not show its categories")
    known = {f"@{name}" for name in categories}
    if described:
        found = _need(described[0], f"{where} does not show its commands")
        known |= {name for name, entry in zip(commands, found, strict=True) if entry}
    found_users = {user.name: user for user in map(acl.parse, lines)}
    if version < _KEEPS_RULES:
        found_users |= _as_wanted(session, asked, found_users, categories)
    acl_file = bool(settings.get("aclfile"))
    return Facts(
        settings=settings,
        users=found_users,
        release=server,
        open_files=open_files(),
        unknown=frozenset(rules - known),
        kept=asked.managed or acl_file or not settings,
        acl_file=acl_file and not asked.managed,
    )


def _as_wanted(
    session: Session, asked: DesiredInstance, users: Mapping[str, acl.User], names: Sequence[str]
) -> dict[str, acl.User]:
    """The logins that permit what the file asks for, with their rules spelled as we do."""
    answers = session.ask_all([["ACL", "CAT", name] for name in names])
    categories = {name: frozenset(found) for name, found in zip(names, answers, strict=True)}
    return {
        name: replace(users[name], commands=user.commands)
        for name, user in acl.wanted(asked).items()
        if name in users
        and acl.permitted(users[name].commands, categories)
        == acl.permitted(user.commands, categories)
    }


def parse_info(text: str) -> dict[str, str]:
    """`INFO`'s lines as a mapping."""
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {key: value.strip() for key, value in pairs}


def _info(answer: Any, where: str) -> dict[str, str]:
    return parse_info(_need(answer, f"{where} does not report its version"))


def _need(answer: Any, message: str) -> Any:
    if isinstance(answer, RefusedError):
        raise UnobservableError(
            f"{message}: {answer.message}", "log in as a user with that right (all of +@admin)"
        ) from answer
    return answer


def _named_commands(asked: DesiredInstance) -> set[str]:
    """Commands and categories that the file names, without their sign."""
    grants = asked.instance.granted(RedisGrant)
    return {rule[1:] for grant in grants.values() for rule in grant.commands}
