"""Key patterns of apps: which of them overlap, and which are probably a slip. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache

from mngdb.engines.redis.software import one_software
from mngdb.model import DesiredInstance, Notice
from mngdb.spec.presets import presets
from mngdb.spec.redis import RedisGrant

#: What channels of the server itself begin with: keyspace notifications, client-side caching.
_EVENTS = ("__key", "__redis__:")
#: Overlaps that a notice names.
_SHOWN = 3


def notices(asked: DesiredInstance) -> Iterator[Notice]:
    """What a person should know of the patterns, none of which is wrong by itself."""
    name, grants = asked.instance.name, asked.instance.granted(RedisGrant)
    told = _told(grants)
    keys = shared(grants, told)
    heard = [pair for pair in shared_channels(grants, told) if pair not in keys]
    for what, found, give in (
        ("keys", keys, "a pattern of its own"),
        ("channels", heard, "channels of its own"),
    ):
        if found:
            more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            yield Notice(
                name,
                f"apps share {what}: {'; '.join(found[:_SHOWN])}{more}",
                f"if they are not meant to, give each app {give}: 'APP:*'",
            )
    for app, grant in grants.items():
        only = grant.keys[0] if len(grant.keys) == 1 else ""
        if only and _literal(only) == only:
            yield Notice(
                name,
                f"{app} has access to one key only, {only!r}, and not to keys that begin so",
                f"apps: {{{app}: {{{name}: '{only}:*'}}}}",
            )


def shared(grants: Mapping[str, RedisGrant], told: Collection[tuple[str, str]] = ()) -> list[str]:
    """Two apps each that can access the same keys, with the patterns by which they do. One that
    may only read shares them on purpose: that is written in the file. `told`: patterns of apps that
    are left out, where both are among them."""
    return _pairs(grants, {app: grant.keys for app, grant in grants.items()}, told)


def shared_channels(
    grants: Mapping[str, RedisGrant], told: Collection[tuple[str, str]] = ()
) -> list[str]:
    """The same for channels, without those of the server's own events, which are everybody's."""
    channels = {
        app: [one for one in dict.fromkeys(grant.heard) if not one.startswith(_EVENTS)]
        for app, grant in grants.items()
    }
    return _pairs(grants, channels, told)


def _told(grants: Mapping[str, RedisGrant]) -> set[tuple[str, str]]:
    """Apps, each with a pattern of software that it shares with others, which is told by itself."""
    return {
        (app, pattern)
        for one, apps in one_software(grants)
        for app in apps
        if (rights := presets()[one].rights(grants[app].prefix)) is not None
        for pattern in (*rights.keys, *rights.channels, *rights.patterns)
    }


def _pairs(
    grants: Mapping[str, RedisGrant],
    patterns: Mapping[str, list[str]],
    told: Collection[tuple[str, str]],
) -> list[str]:
    writers = [app for app, grant in grants.items() if grant.access == "readwrite"]
    every = sorted((_literal(p), p, app) for app in writers for p in patterns[app])
    found: dict[tuple[str, str], str] = {}
    for index, (head, one, app) in enumerate(every):
        for other_head, other, other_app in every[index + 1 :]:
            if not other_head.startswith(head):
                break  # sorted: nor does any that follows
            if app == other_app or not overlap(one, other):
                continue
            if (app, one) in told and (other_app, other) in told:
                continue
            if not _told_apart(grants[app], one, grants[other_app], other):
                first, second = sorted((app, other_app))
                which = one if one == other else f"{one}, {other}"
                found.setdefault((first, second), f"{first} and {second} ({which})")
    return [found[pair] for pair in sorted(found)]


def _told_apart(grant: RedisGrant, one: str, other_grant: RedisGrant, other: str) -> bool:
    """Whether both patterns are one software's, which has another prefix in each: `redisson_*{a:*`
    and `redisson_*{b:*` overlap in names alone that it never makes. Or one name without a prefix,
    of which the preset says what that means."""
    both = {*grant.software} & {*other_grant.software}
    if one == other:
        return any(one in _everybodys(name) for name in both)
    return any(one in _made(name, grant) and other in _made(name, other_grant) for name in both)


def _everybodys(software: str) -> tuple[str, ...]:
    """The channels that a preset with a prefix has without it."""
    form = presets()[software].prefixed
    return tuple(one for one in form.channels if "{" not in one) if form else ()


def _made(software: str, grant: RedisGrant) -> tuple[str, ...]:
    """What a preset makes of the app's prefix behind words of the software's own."""
    rights, prefix = presets()[software].rights(grant.prefix), grant.prefix
    if rights is None or prefix is None:
        return ()
    return tuple(one for one in (*rights.keys, *rights.channels) if not one.startswith(prefix))


@lru_cache(maxsize=10_000)
def overlap(one: str, other: str) -> bool:
    """Whether some key matches both patterns."""
    if not one or not other:
        return set(one + other) <= {"*"}
    if one[0] == "*":
        return overlap(one[1:], other) or overlap(one, other[1:])
    if other[0] == "*":
        return overlap(other, one)
    return ("?" in (one[0], other[0]) or one[0] == other[0]) and overlap(one[1:], other[1:])


def _literal(pattern: str) -> str:
    """What every key that matches begins with."""
    return re.split("[*?]", pattern, maxsplit=1)[0]
