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

from mngdb.engines.redis.acl import ADMIN, DEFAULT, by_login
from mngdb.engines.redis.client import Session
from mngdb.engines.redis.look import pairs, told
from mngdb.engines.redis.patterns import overlap
from mngdb.facts.denied import OLD_CLIENT, Denied, quoted, shape, stranger
from mngdb.model import DesiredInstance
from mngdb.spec.presets import presets
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
        remedy = _REMEDIES.get(login) or stranger(login, ADMIN)
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
    untold = {one: said for one in refused if (said := _untold(grant, one))}
    parts = list(dict.fromkeys(untold.values()))
    rest = [one for one in refused if one not in untold]
    literal = {one.object for one in entries if one.command == "psubscribe"}
    field, had = "keys", grant.keys
    if reason == "channel":
        field, had = "channels", [one for one in grant.heard if one not in grant.patterns]
        below = [
            one
            for one in rest
            if one in literal and not _refuses(grant, "patterns", grant.patterns, one)
        ]
        rest = [one for one in rest if one not in below]
        parts += [_with(place, grant, "patterns", grant.patterns, below)] if below else []
    wanted = dict.fromkeys(one if one in literal else _prefix(one) for one in rest)
    owned = {one: why for one in wanted if (why := _others(asked, app, field, one))}
    free = [one for one in wanted if one not in owned]
    parts += [_with(place, grant, field, had, free)] if free else []
    return "; ".join([*parts, *owned.values()])


def _untold(grant: RedisGrant, name: str) -> str:
    """What software has to be told that uses its own names while the file gives it a prefix."""
    for software in grant.software:
        preset = presets()[software]
        plain, prefixed = preset.default, preset.rights(grant.prefix)
        if plain is None or plain.own or prefixed is None or prefixed == plain:
            continue
        if any(fnmatchcase(name, one) for one in (*plain.keys, *plain.channels)):
            return f"{software} was not told its prefix: {'; '.join(prefixed.client)}"
    return ""


def _others(asked: DesiredInstance, app: str, field: str, pattern: str) -> str:
    """Why a pattern of keys or channels is not the app's to have; empty: it is nobody's."""
    if pattern[:1] in {"*", "?", "["}:
        return f"{quoted(pattern)} would be {field} of every app: use names that begin as its own"
    for other, grant in asked.instance.granted(RedisGrant).items():
        theirs = grant.keys if field == "keys" else grant.heard
        if other != app and any(overlap(pattern, one) for one in theirs):
            return f"{quoted(pattern)} has {field} of {other}: they are for that app alone"
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
