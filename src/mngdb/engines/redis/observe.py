"""A Redis server as `reconcile` judges it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from mngdb.engines.redis import acl, render
from mngdb.engines.redis.client import RefusedError, Session, place
from mngdb.engines.redis.facts import Facts, open_files
from mngdb.engines.redis.look import look, told
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
    where = f"{asked.instance.name} (Redis at {place(session.access)})"
    try:
        return _facts(session, asked, where)
    except UnobservableError as error:
        hint = "log in as a user with that right (all of +@admin)"
        raise UnobservableError(f"{where}: {error.message}", hint) from None


def _facts(session: Session, asked: DesiredInstance, where: str) -> Facts:
    grants = asked.instance.granted(RedisGrant).values()
    named = {rule[1:] for grant in grants for rule in grant.commands}
    commands = [name for name in named if not name.startswith("@")]
    more = [["COMMAND", "INFO", *commands]] if commands else []
    sections = "server persistence" if asked.managed else "server"
    seen = look(session, sections, ["ACL", "CAT"], *more)
    server = release(seen.info.value)
    version = numbers(server.version)
    if version < (OLDEST,):
        raise UsageError(
            f"{where} is version {server.version}; mngdb needs Redis {OLDEST} or newer",
            "upgrade the server: older versions cannot restrict an app to its keys",
        )
    # who may not see logins may describe a server that has none of the file's
    blind = asked.instance.adopt and not (asked.instance.grants or asked.instance.monitored)
    users = {user.name: user for user in (seen.users.found or () if blind else seen.users.value)}
    # a provider may keep CONFIG for itself; that matters only if the file asks for settings
    needed = asked.managed or render.explicit(asked)
    settings = seen.settings.value if needed else seen.settings.found or {}
    if blind and isinstance(seen.more[0], RefusedError):
        return Facts(settings=settings, users=users, release=server, open_files=open_files())
    categories, *described = map(told, seen.more, ("ACL CAT", "COMMAND INFO"))
    known = {f"@{name}" for name in categories}
    for found in described:
        known |= {name for name, entry in zip(commands, found, strict=True) if entry}
    if version < _KEEPS_RULES:
        users |= _as_wanted(session, asked, users, categories)
    acl_file = bool(settings.get("aclfile")) if settings else None
    return Facts(
        settings=settings,
        users=users,
        release=server,
        open_files=open_files(),
        unknown=frozenset(named - known),
        kept=asked.managed or acl_file is not False,
        unsaved=seen.info.value.get("rdb_last_bgsave_status", "ok") != "ok",
        acl_file=not asked.managed and acl_file,
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
