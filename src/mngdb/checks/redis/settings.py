"""How a Redis server's settings in force are judged: what the checks of settings share."""

from __future__ import annotations

from collections.abc import Callable

from mngdb.checks.catalogue import Judge, Settings
from mngdb.facts.redis import RedisFacts
from mngdb.findings import Judgement, judged, not_applicable


def setting(name: str, good: Callable[[str], bool]) -> Judge[RedisFacts]:
    """Judges one value of CONFIG GET."""

    def judge(facts: RedisFacts) -> Judgement:
        value = facts.config.value.get(name)
        if value is None:
            return not_applicable(f"this version has no {name}")
        return judged(good(value), f"{name} {value or 'is empty'}")

    return judge


_UP = "'mngdb up' sets it on managed servers; elsewhere '%s' in redis.conf, then restart"

SETTINGS = Settings(
    setting,
    {
        "setting": _UP.replace("%s", "%s %s"),
        "up": _UP,
        "key": "redis: {%s}, then 'mngdb up'",
        "apps": "'mngdb up' restores the app's login; elsewhere ACL SETUSER NAME %s",
    },
)
