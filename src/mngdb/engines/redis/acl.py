"""Redis logins as data: read from `ACL LIST`, made from rights, written as ACL rules.

https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from mngdb.model import DesiredInstance
from mngdb.secret import Secret
from mngdb.spec.agent import MONITOR
from mngdb.spec.redis import RedisGrant
from mngdb.spec.redis_commands import AFTER_CATEGORIES, deletes

ADMIN = "admin"
DEFAULT = "default"
_MARK = "mngdb:"

#: What the rules of keys and channels begin with, and what that permits.
_SIGNS = {"~": "read and write on", "%R~": "read on", "%W~": "write on", "&": "channels"}
#: Rules of commands that are named; a login that somebody else made may differ in all of them.
_MOST = 5
#: Everything named here exists in Redis 7.0; commands of later versions come by their category.
#: Categories first, so that what the next list takes away stays away.
_READ = ("+@read", "+@connection", "+@transaction")
_WRITE = ("+@read", "+@write", "+@connection", "+@transaction", "+@pubsub")
_BLOCKED = (
    "-@admin",
    "-@dangerous",
    # functions are the server's, not one app's; FCALL stays
    "-function",
    # these tell the names of other apps' keys and channels; SCAN does too, but apps need it
    "-randomkey",
    # REDIRECT writes into the connections of others until their buffers are full, BCAST tells keys
    "-client|tracking",
    "-pubsub|channels",
    "-pubsub|shardchannels",
)
#: Useful commands that no category above gives, or that @dangerous takes although the server
#: itself guards them: INFO (health checks, queue libraries) and SORT (BY and GET need all keys).
_BACK = ("+info", "+time", "+sort_ro", "+acl|whoami", "+script|load", "+script|exists")
_BACK_READ = (
    "+eval_ro",
    "+evalsha_ro",
    "+fcall_ro",
    "+subscribe",
    "+psubscribe",
    "+ssubscribe",
    "+unsubscribe",
    "+punsubscribe",
    "+sunsubscribe",
)
_BACK_WRITE = ("+sort", "+eval", "+eval_ro", "+evalsha", "+evalsha_ro", "+fcall", "+fcall_ro")
#: What metrics are made of, and no key. CONFIG GET shows no secret: mngdb keeps logins in the ACL
#: file, and the settings that hold passwords are reserved.
_MONITOR = ("-@all", "+info", "+ping", "+config|get", "+slowlog|get", "+slowlog|len",
            "+latency|latest", "+latency|histogram", "+client|setname",
            "+client|no-evict")  # fmt: skip


class User(Struct, frozen=True):
    """A login. `commands` is in Redis' own order and spelling; `flags` without the defaults."""

    name: str
    on: bool
    flags: frozenset[str] = frozenset()
    passwords: frozenset[str] = frozenset()
    """SHA-256 of each, in lower-case hex."""
    keys: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()
    commands: str = "-@all"
    selectors: frozenset[str] = frozenset()

    @property
    def mark(self) -> str | None:
        """The mark of the stack that made this login, if mngdb did."""
        for selector in self.selectors:
            first = selector.split(" ", 1)[0]
            if first.startswith("~" + _MARK) and selector.endswith(" -@all"):
                return first.removeprefix("~" + _MARK)
        return None

    @property
    def locked(self) -> bool:
        """Whether it can neither log in nor do anything."""
        return not (self.on or self.passwords or self.keys or self.channels) and (
            self.commands == "-@all"
        )

    def marked(self, mark: str) -> User:
        """The same with that mark, of a login that has one."""
        return replace(self, selectors=frozenset({_selector(mark)})) if self.mark else self

    def rules(self) -> tuple[str, ...]:
        """The rules that make this login, for `ACL SETUSER` and the ACL file. No plain text."""
        return (
            "on" if self.on else "off",
            *sorted(self.flags),
            *sorted(f"#{password}" for password in self.passwords),
            *sorted(self.keys),
            "resetchannels",
            *sorted(self.channels),
            *self.commands.split(" "),
            *(f"({selector})" for selector in sorted(self.selectors)),
        )


def parse(line: str) -> User:
    """A login from a line of `ACL LIST`: `user NAME on #hash ~keys &channels +commands (…)`."""
    _, name, *tokens = line.split(" ")
    flags, commands, selectors = set[str](), list[str](), set[str]()
    passwords, keys, channels = set[str](), set[str](), set[str]()
    rest = iter(tokens)
    for token in rest:
        if token.startswith("("):
            inner = [token]
            while not inner[-1].endswith(")"):
                inner.append(next(rest, ")"))
            selectors.add(" ".join(inner)[1:-1])
        elif token.startswith("#"):
            passwords.add(token[1:])
        elif token.startswith(("~", "%")):
            keys.add(token)
        elif token.startswith("&"):
            channels.add(token)
        elif token.startswith(("+", "-")):
            commands.append(token)
        else:
            flags.add(token)
    return User(
        name=name,
        on="on" in flags,
        # resetchannels is how Redis begins a channel list, the other three are the default
        flags=frozenset(flags - {"on", "off", "sanitize-payload", "resetchannels"}),
        passwords=frozenset(passwords),
        keys=frozenset(keys),
        channels=frozenset(channels),
        commands=" ".join(commands),
        selectors=frozenset(selectors),
    )


def app_user(name: str, grant: RedisGrant, secrets: Iterable[Secret], mark: str) -> User:
    """The login of an app: its keys and channels, the useful commands, the mark of the stack. Each
    of its secrets lets it in."""
    sign = "~" if grant.access == "readwrite" else "%R~"
    return User(
        name=name,
        on=True,
        passwords=frozenset(map(sha256, secrets)),
        keys=_patterns(sign, grant.keys),
        channels=_patterns("&", grant.heard) | levels(grant),
        commands=" ".join(command_rules(grant)),
        selectors=frozenset({_selector(mark)}),
    )


def levels(grant: RedisGrant) -> frozenset[str]:
    """The rules for patterns below the app's channels; they permit no other channel."""
    return frozenset(f"&{pattern}" for pattern in grant.levels)


def admin_user(secret: Secret) -> User:
    """The administrator of a server that is ours."""
    return User(
        name=ADMIN,
        on=True,
        passwords=frozenset({sha256(secret)}),
        keys=frozenset({"~*"}),
        channels=frozenset({"&*"}),
        commands="+@all",
    )


def monitor_user(secret: Secret, mark: str) -> User:
    """The login that metrics are read by."""
    return User(
        name=MONITOR,
        on=True,
        passwords=frozenset({sha256(secret)}),
        commands=" ".join(_MONITOR),
        selectors=frozenset({_selector(mark)}),
    )


def default_user(secret: Secret | None = None) -> User:
    """The login of who names none, unless an app has it: off, or in a container, where
    `redis-cli -a … ping` is what people know, the administrator's by the same secret. It has every
    right also where it is off: a server that loads its append-only file runs MULTI and scripts by
    these rights, and drops what they do not allow (redis/redis#14541, valkey-io/valkey#3983)."""
    return User(
        name=DEFAULT,
        on=secret is not None,
        passwords=frozenset({sha256(secret)} if secret else ()),
        keys=frozenset({"~*"}),
        channels=frozenset({"&*"}),
        commands="+@all",
    )


def locked_user(name: str, mark: str | None = None) -> User:
    """A login that can do nothing; it keeps the mark of the stack that made it."""
    marks = frozenset({_selector(mark)}) if mark else frozenset[str]()
    return User(name=name, on=False, selectors=marks)


def command_rules(grant: RedisGrant) -> list[str]:
    """The rules for commands as Redis prints them.

    Categories that the file adds stand before mngdb's own denials: `+@keyspace` does not bring
    FLUSHALL back. Single commands stand last, as written.
    """
    readonly = grant.access == "readonly"
    categories = [rule for rule in grant.commands if rule.startswith("+@")]
    single = [rule for rule in grant.commands if not rule.startswith("+@")]
    allowed = _READ if readonly else _WRITE
    back = _BACK + (_BACK_READ if readonly else _BACK_WRITE)
    rules: list[str] = []
    blocked = _BLOCKED + (AFTER_CATEGORIES if categories else ())
    for rule in (*allowed, *categories, *blocked, *back, *single):
        name = rule[1:]
        # a later rule for the same command (or its subcommands) replaces the earlier one
        rules = [r for r in rules if r[1:] != name and not r[1:].startswith(name + "|")]
        rules.append(rule)
    return ["-@all", *rules]


def permitted(rules: str, categories: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """The commands that rules permit, subcommands as `config|get`."""
    every = frozenset[str]().union(*categories.values())
    found = frozenset[str]()
    for rule in rules.split():
        name = rule[1:]
        if name == "@all":
            named = every
        elif name.startswith("@"):
            named = categories[name[1:]]
        else:
            # one that is not listed is a first argument, as in +select|0
            named = frozenset(c for c in every if f"{c}|".startswith(f"{name}|"))
            named = named or frozenset({name})
        found = found | named if rule[0] == "+" else found - named
    # what has subcommands is nothing by itself
    return found - {command.partition("|")[0] for command in every if "|" in command}


def wanted(asked: DesiredInstance, *, sparing: bool = False) -> dict[str, User]:
    """Every login that the file asks for, without the apps' while it is closed. The server's own
    two only where it is ours. `sparing`: without what deletes the keys of all, for there are some
    of apps that left the file."""
    users = {}
    apps = {} if asked.instance.closed else asked.instance.granted(RedisGrant)
    if asked.managed:
        users[ADMIN] = admin_user(asked.secrets[ADMIN])
        users[DEFAULT] = default_user(asked.secrets[ADMIN] if asked.tunnel else None)
    if asked.instance.monitored:
        users[MONITOR] = monitor_user(asked.secrets[MONITOR], asked.mark)
    for app, grant in apps.items():
        both = filter(None, (asked.secrets[app], asked.also.get(app)))
        name = login_name(app, grant)
        if sparing:
            commands = [rule for rule in grant.commands if not deletes(rule)]
            grant = grant.model_copy(update={"commands": commands})
        users[name] = app_user(name, grant, both, asked.mark)
    return users


def login_name(app: str, grant: RedisGrant) -> str:
    """What the server calls an app's login."""
    return DEFAULT if grant.default else app


def by_login(asked: DesiredInstance) -> dict[str, tuple[str, RedisGrant]]:
    """Login to the app that has it, and its right."""
    grants = asked.instance.granted(RedisGrant).items()
    return {login_name(app, grant): (app, grant) for app, grant in grants}


def describe(grant: RedisGrant) -> str:
    """The right in plain English; channels where they are not those of the keys."""
    verb = "read and write" if grant.access == "readwrite" else "read"
    parts = [f"{verb} on {', '.join(dict.fromkeys(grant.keys)) or 'no keys'}"]
    if grant.channels is not None:
        parts.append(f"channels {', '.join(dict.fromkeys(grant.channels)) or 'none'}")
    more = [one for one in dict.fromkeys(grant.patterns) if one not in (grant.channels or ())]
    more += grant.levels if grant.channels is not None else []
    parts += [f"PSUBSCRIBE {', '.join(more)}"] if more else []
    parts += [" ".join(grant.commands)] if grant.commands else []
    head = f"for {', '.join(grant.software)}: " if grant.software else ""
    return head + ", ".join(parts)


def excess(user: User, other: User) -> str:
    """What a login has that another has not: keys and channels in plain English, rules of commands
    and selectors as Redis spells them. Empty when there is nothing."""
    had, rules = other.keys | other.channels, user.keys | user.channels
    parts = []
    for sign, what in _SIGNS.items():
        patterns = sorted(r.removeprefix(sign) for r in rules - had if r.startswith(sign))
        # sorted: one comes before those that follow from it
        patterns = [p for n, p in enumerate(patterns) if not _follows(p, patterns[:n])]
        if patterns and f"{sign}*" not in had:
            parts.append(f"{what} {', '.join(patterns)}")
    kept = set(other.commands.split(" "))
    commands = [rule for rule in user.commands.split(" ") if rule not in kept]
    commands += [f"({selector})" for selector in sorted(user.selectors - other.selectors)]
    more = f" and {len(commands) - _MOST} more" if len(commands) > _MOST else ""
    parts += [" ".join(commands[:_MOST]) + more] if commands else []
    return ", ".join(parts)


def _follows(pattern: str, others: Iterable[str]) -> bool:
    """Whether a pattern is another with more parts that are stars: `a:*:*` of `a:*`."""
    return any(re.fullmatch(re.escape(one) + r"([:./]\*)+", pattern) for one in others)


def lacking(found: User, wanted: User) -> Iterator[str]:
    """The rules that give a login of others the keys and channels of `wanted` that it has not. Its
    commands are its own."""
    if "~*" not in found.keys:
        yield from sorted(key for key in wanted.keys if not _has(found.keys, key))
    if "&*" not in found.channels:
        yield from sorted(wanted.channels - found.channels)


def _has(keys: Iterable[str], wanted: str) -> bool:
    sign, _, pattern = wanted.partition("~")
    # who may read and write may read
    every = (key.partition("~") for key in keys)
    return any(has in {pattern, "*"} and how in {"", sign} for how, _, has in every)


def _patterns(sign: str, patterns: Iterable[str]) -> frozenset[str]:
    # Redis refuses further patterns after one that already means everything
    found = {sign + pattern for pattern in patterns}
    return frozenset({sign + "*"} if sign + "*" in found else found)


def _selector(mark: str) -> str:
    """Permits nothing, says who made the login; spelled as Redis prints it."""
    return f"~{_MARK}{mark} resetchannels -@all"


def sha256(secret: Secret) -> str:
    """A password as rules name it."""
    return hashlib.sha256(secret.reveal().encode()).hexdigest()
