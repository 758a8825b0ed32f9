"""What Redis refused its clients (ACL LOG), and which line of the file would permit it.

https://redis.io/docs/latest/commands/acl-log/
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct
from pydantic import ValidationError

from mngdb.engines.redis.acl import DEFAULT, by_login
from mngdb.engines.redis.client import Session
from mngdb.engines.redis.look import pairs, told
from mngdb.facts.denied import OLD_CLIENT, Denied, quoted, shape
from mngdb.model import DesiredInstance
from mngdb.spec.redis import RedisGrant
from mngdb.spec.redis_commands import harms_neighbours

#: Entries: the server keeps 128 unless it is told otherwise (acllog-max-len).
_MOST = "1000"
#: What helps logins that no app has.
_REMEDIES = {
    DEFAULT: "the client sends no user name, or no login at all: 'mngdb env APP' prints one",
}
#: Refusals in other words than the command's and an object's.
_WITHIN = {"lua": " in a script", "multi": " in a transaction", "module": " in a module"}


class _Entry(Struct, frozen=True):
    """An entry of ACL LOG."""

    reason: str
    login: str
    object: str
    command: str
    within: str
    times: int
    age: float

    @property
    def what(self) -> str:
        """What was refused."""
        if self.reason == "auth":
            return "a login"
        if self.reason == "command":
            return self.object.upper().replace("|", " ") + self.within
        return (
            f"{self.command.upper()} on the {self.reason} {quoted(shape(self.object))}{self.within}"
        )


def look(session: Session, asked: DesiredInstance) -> tuple[Denied, ...]:
    """Refusals, the latest first. Raises UnobservableError where the login may not ask."""
    (answer,) = session.ask_all([["ACL", "LOG", _MOST]])
    entries = [_entry(one) for one in told(answer, "ACL LOG")]
    grants = by_login(asked)
    writes = _writes(session, entries, grants)
    by_line: dict[tuple[str, str], list[_Entry]] = defaultdict(list)
    for one in entries:
        by_line[one.login, one.reason].append(one)
    found = []
    for (login, reason), some in by_line.items():
        remedy = _REMEDIES.get(login, "the file has no such app")
        app, grant = grants.get(login, (login, None))
        if grant is not None:
            remedy = OLD_CLIENT.format(app=app)
            if reason != "auth":
                remedy = _line(asked, app, grant, some, writes)
        by_what: dict[str, list[_Entry]] = defaultdict(list)
        for one in some:
            by_what[one.what].append(one)
        found += [
            Denied(
                app,
                what,
                remedy,
                sum(one.times for one in same),
                min(one.age for one in same),
                mild=reason == "auth",
            )
            for what, same in by_what.items()
        ]
    return tuple(sorted(found, key=lambda one: one.age))


def _entry(answer: Sequence[Any] | Mapping[str, Any]) -> _Entry:
    said = answer if isinstance(answer, Mapping) else pairs(answer)
    found = re.search(r"(?:^| )cmd=(\S+)", said["client-info"])
    return _Entry(
        said["reason"],
        said["username"],
        said["object"],
        found[1].replace("|", " ") if found else "something",
        _WITHIN.get(said["context"], ""),
        int(said["count"]),
        float(said["age-seconds"]),
    )


def _writes(
    session: Session, entries: Sequence[_Entry], grants: Mapping[str, tuple[str, RedisGrant]]
) -> frozenset[str]:
    """Of the commands that apps were refused who may only read, those that write."""
    names = sorted(
        {
            one.object
            for one in entries
            if one.reason == "command"
            and one.login in grants
            and grants[one.login][1].access == "readonly"
        }
    )
    if not names:
        return frozenset()
    answers = told(session.ask_all([["COMMAND", "INFO", *names]])[0], "COMMAND INFO")
    return frozenset(n for n, a in zip(names, answers, strict=True) if a and "write" in a[2])


def _line(
    asked: DesiredInstance,
    app: str,
    grant: RedisGrant,
    entries: Sequence[_Entry],
    writes: frozenset[str],
) -> str:
    """The line of the file that would permit all of these, refused for the same reason."""
    place, reason = f"apps.{app}.{asked.instance.name}", entries[0].reason
    if grant.access == "readonly" and any(_writing(one, grant, writes) for one in entries):
        return f"{place}.access: readwrite"
    refused = list(dict.fromkeys(one.object for one in entries))
    if reason == "command":
        return _commands(asked, place, grant, [f"+{one}" for one in refused])
    if reason == "channel":
        literal = [one.object for one in entries if one.command == "psubscribe"]
        below = [one for one in literal if not _refuses(grant, "patterns", grant.patterns, one)]
        others = [one if one in literal else _prefix(one) for one in refused if one not in below]
        had = [one for one in grant.heard if one not in grant.patterns]
        parts = [_with(place, grant, "patterns", grant.patterns, below)] if below else []
        parts += [_with(place, grant, "channels", had, others)] if others else []
        return "; ".join(parts)
    owners = {key: _owner(asked, app, key) for key in refused}
    free = [_prefix(key) for key, owner in owners.items() if not owner]
    parts = [_with(place, grant, "keys", grant.keys, free)] if free else []
    parts += [
        f"{quoted(shape(key))} is a key of {owner}: it is for that app alone"
        for key, owner in owners.items()
        if owner
    ]
    return "; ".join(dict.fromkeys(parts))


def _owner(asked: DesiredInstance, app: str, key: str) -> str:
    """Another app whose key it is; empty: it is nobody's."""
    for other, grant in asked.instance.granted(RedisGrant).items():
        if other != app and any(fnmatchcase(key, pattern) for pattern in grant.keys):
            return other
    return ""


def _writing(one: _Entry, grant: RedisGrant, writes: frozenset[str]) -> bool:
    """Whether it was refused because the app may only read."""
    if one.reason == "command":
        return one.object in writes
    return one.reason == "key" and any(fnmatchcase(one.object, each) for each in grant.keys)


def _prefix(key: str) -> str:
    """The pattern of the keys that a key is one of: `bull:*` of `bull:mail:7`."""
    head, colon, _ = key.partition(":")
    return f"{shape(head)}:*" if head and colon else shape(key)


def _commands(asked: DesiredInstance, place: str, grant: RedisGrant, wanted: Sequence[str]) -> str:
    """The same for rules of commands: some are for an instance that the app has to itself."""
    alone = len(asked.instance.grants) == 1
    harms = {one: why for one in dict.fromkeys(wanted) if (why := harms_neighbours(one))}
    shared = {} if alone else harms
    free = [one for one in wanted if one not in shared]
    parts = [_with(place, grant, "commands", grant.commands, free)] if free else []
    parts += [
        f"{_name(one)} is for an instance of its own ('instances:'): {why}"
        for one, why in shared.items()
    ]
    return "; ".join(parts)


def _with(
    place: str, grant: RedisGrant, field: str, had: Sequence[str], wanted: Sequence[str]
) -> str:
    """The line with what the file would take of `wanted`, and what it takes none of."""
    bad = [one for one in dict.fromkeys(wanted) if _refuses(grant, field, had, one)]
    good = [one for one in wanted if one not in bad]
    parts = []
    if good:
        value = json.dumps([*dict.fromkeys([*had, *good])], ensure_ascii=False)
        parts.append(f"{place}.{field}: {value}")
    if bad:
        parts.append(f"no line of the file permits {', '.join(map(_name, bad))}")
    return "; ".join(parts)


def _refuses(grant: RedisGrant, field: str, had: Sequence[str], one: str) -> bool:
    """Whether the file does not take one more in a list of the app's."""
    given = grant.model_dump(by_alias=True, exclude_unset=True)
    try:
        RedisGrant.model_validate(given | {field: [*had, one]})
    except ValidationError:
        return True
    return False


def _name(wanted: str) -> str:
    return quoted(wanted.removeprefix("+"))
