"""Key patterns of apps: which of them overlap, and which are probably a slip. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from mngdb.model import DesiredInstance, Notice
from mngdb.spec.redis import RedisGrant

#: Overlaps that a notice names.
_SHOWN = 3


def notices(asked: DesiredInstance) -> Iterator[Notice]:
    """What a person should know of the patterns, none of which is wrong by itself."""
    name, grants = asked.instance.name, asked.instance.granted(RedisGrant)
    found = shared(grants)
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        yield Notice(
            name,
            f"apps share keys: {'; '.join(found[:_SHOWN])}{more}",
            "if they are not meant to, give each app a pattern of its own: 'APP:*'",
        )
    for app, grant in grants.items():
        only = grant.keys[0] if len(grant.keys) == 1 else ""
        if only and _literal(only) == only:
            yield Notice(
                name,
                f"{app} has access to one key only, {only!r}, and not to keys that begin so",
                f"apps: {{{app}: {{{name}: '{only}:*'}}}}",
            )


def shared(grants: Mapping[str, RedisGrant]) -> list[str]:
    """Two apps each that can access the same keys, with the patterns by which they do. One that
    may only read shares them on purpose: that is written in the file."""
    writers = {app: grant for app, grant in grants.items() if grant.access == "readwrite"}
    every = sorted((_literal(p), p, app) for app, grant in writers.items() for p in grant.keys)
    found: dict[tuple[str, str], str] = {}
    for index, (head, one, app) in enumerate(every):
        for other_head, other, other_app in every[index + 1 :]:
            if not other_head.startswith(head):
                break  # sorted: nor does any that follows
            if app != other_app and overlap(one, other):
                first, second = sorted((app, other_app))
                which = one if one == other else f"{one}, {other}"
                found.setdefault((first, second), f"{first} and {second} ({which})")
    return [found[pair] for pair in sorted(found)]


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
