"""How a PostgreSQL server's settings in force are judged: what the checks of settings share."""

from __future__ import annotations

from collections.abc import Callable

from mngdb.checks.catalogue import Judge, Settings
from mngdb.checks.postgres.inside import nowhere
from mngdb.errors import UnobservableError
from mngdb.facts.postgres import PostgresFacts, Setting
from mngdb.findings import Judgement, judged, not_applicable

#: Where a value comes from when it is this session's alone.
_MASKED = frozenset({"client", "session", "user", "database", "database user"})
#: Units as pg_settings has them, in bytes.
_BYTES = {"B": 1, "kB": 1 << 10, "8kB": 8 << 10, "MB": 1 << 20, "16MB": 16 << 20, "GB": 1 << 30}

_MILLISECONDS = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


def look(facts: PostgresFacts, name: str) -> Setting | None:
    """A setting; None when this version has none of that name. Raises UnobservableError when this
    login does not see the server's own value."""
    found = facts.settings.value.get(name)
    if found is None and not facts.sees_all:
        raise UnobservableError(f"{name} is not visible to our login (GRANT pg_read_all_settings)")
    if found is not None and found.source in _MASKED:
        raise UnobservableError(
            f"{name} is overridden for our login: the server's value is not visible"
        )
    return found


def text(facts: PostgresFacts, name: str) -> str:
    """A setting's value; empty when this version has none. Raises UnobservableError."""
    found = look(facts, name)
    return found.value if found else ""


def size(facts: PostgresFacts, name: str) -> int:
    """A setting's value in bytes; -1 has no limit. Raises UnobservableError."""
    found = look(facts, name)
    if found is None:
        raise UnobservableError(f"this version has no {name}")
    number = int(found.value)
    return number if number < 0 else number * _BYTES[found.unit or "B"]


def setting(name: str, good: Callable[[str], bool]) -> Judge[PostgresFacts]:
    """Judges one setting in force."""

    def judge(facts: PostgresFacts) -> Judgement:
        found = look(facts, name)
        if found is None:
            return not_applicable(f"this version has no {name}")
        return judged(good(found.value), f"{name} {_shown(found)}")

    return judge


def _shown(found: Setting) -> str:
    """As a person would write it: 10GB, not 10485760kB."""
    if found.value in {"", "0", "-1"} or not found.unit:
        return found.value or "is empty"
    scale, step = (_BYTES, 1024) if found.unit in _BYTES else (_MILLISECONDS, 1000)
    number = int(float(found.value) * scale[found.unit])
    words = ["B", "kB", "MB", "GB", "TB"] if step == 1024 else ["ms", "s"]
    while len(words) > 1 and number % step == 0:
        number //= step
        words = words[1:]
    return f"{number}{words[0]}"


_UP = "'mngdb up' sets it on managed servers; elsewhere ALTER SYSTEM SET %s"
_RELOAD = "; SELECT pg_reload_conf()"

SETTINGS = Settings(
    setting,
    {
        "setting": _UP.replace("%s", "%s = %s") + _RELOAD,
        "up": _UP + _RELOAD,
        "up-restart": _UP + ", then restart",
        "key": "postgres: {settings: {%s}}, then 'mngdb up'",
        "reset": "ALTER SYSTEM RESET %s" + _RELOAD,
        "apps": "'mngdb up' restores the app's login; elsewhere %s",
        "databases": "'mngdb up' revokes it in the file's databases; elsewhere %s",
    },
    {"nowhere": nowhere},
)
