"""How a PostgreSQL server's settings in force are judged: what the checks of settings share."""

from __future__ import annotations

from collections.abc import Callable

from mngdb.errors import UnobservableError
from mngdb.facts.postgres import PostgresFacts, Setting
from mngdb.findings import Judgement, judged, no_matter

Judge = Callable[[PostgresFacts], Judgement]
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
        raise UnobservableError(f"{name} is not shown to us (GRANT pg_read_all_settings)")
    if found is not None and found.source in _MASKED:
        raise UnobservableError(f"{name} is set for our login: the server's own is not seen")
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


def setting(name: str, good: Callable[[str], bool]) -> Judge:
    """Judges one setting in force."""

    def judge(facts: PostgresFacts) -> Judgement:
        found = look(facts, name)
        if found is None:
            return no_matter(f"this version has no {name}")
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


def among(*wanted: str) -> Callable[[str], bool]:
    """One of these values."""
    return lambda value: value in wanted


def between(low: float, high: float) -> Callable[[str], bool]:
    """A number from `low` to `high`, in the setting's own unit."""
    return lambda value: low <= float(value) <= high


def key(words: str) -> str:
    """The remedy that is a setting of the file."""
    return f"postgres: {{settings: {{{words}}}}}, then 'mngdb up'"


#: After ALTER SYSTEM, what a running server takes.
RELOAD = "; SELECT pg_reload_conf()"


def reset(*names: str) -> str:
    """The SQL that gives settings back their defaults, or what the server's files say."""
    return "; ".join(f"ALTER SYSTEM RESET {name}" for name in names) + RELOAD


def up(words: str, *, restart: bool = False) -> str:
    """The remedy for what `mngdb up` sets by itself, with the SQL for other servers."""
    then = ", and a restart" if restart else RELOAD
    return f"'mngdb up' sets it on servers that it runs; elsewhere ALTER SYSTEM SET {words}{then}"
