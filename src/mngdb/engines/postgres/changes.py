"""Which of the server's settings are not as wanted. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from mngdb.engines.postgres.facts import Facts, Setting
from mngdb.engines.postgres.render import settings
from mngdb.model import Change, DesiredInstance

#: PostgreSQL's units as multiples of the smallest of their kind (bytes, microseconds).
_UNITS = {
    "B": 1,
    "kB": 1 << 10,
    "MB": 1 << 20,
    "GB": 1 << 30,
    "TB": 1 << 40,
    "8kB": 8 << 10,
    "us": 1,
    "ms": 1000,
    "s": 10**6,
    "min": 60 * 10**6,
    "h": 3600 * 10**6,
    "d": 86400 * 10**6,
}
_QUANTITY = re.compile(r"(-?\d+(?:\.\d+)?)\s*([a-zA-Z]*)")
_TRUE, _FALSE = {"on", "true", "yes", "1"}, {"off", "false", "no", "0"}


#: Where a value comes from when this session does not see the server's own.
_MASKED = {"client", "session", "user", "database", "database user", "environment variable"}
#: The name of the change that takes away what ALTER SYSTEM laid over our files.
OVERLAY = "ALTER SYSTEM"


def differing(asked: DesiredInstance, facts: Facts) -> tuple[Change, ...]:
    """Settings that are not as the file asks; none where the server does not tell them."""
    if not facts.settings:
        return ()
    return compare(settings(asked), facts.settings, ours=asked.managed, overlaid=facts.overlaid)


def compare(
    wanted: Mapping[str, str],
    found: Mapping[str, Setting],
    *,
    ours: bool,
    overlaid: Sequence[str] = (),
) -> tuple[Change, ...]:
    """The settings that differ. One that the server does not have yet (an extension's, before its
    library is loaded) counts as different. On a server that is `ours`, so does whatever else a
    configuration file or ALTER SYSTEM sets."""
    changes = []
    lower = {name.lower(): setting for name, setting in found.items()}  # TimeZone, DateStyle
    for name, value in wanted.items():
        if name.lower().startswith("tcp_"):
            continue  # a session over the socket sees 0 for these, whatever the server has
        setting = lower.get(name.lower())
        if setting is None:
            changes.append(Change(name, "unset", value, reloadable=True))
        elif setting.source in _MASKED:
            continue
        elif canonical(value, setting) != canonical(setting.value, setting, bare=setting.unit):
            changes.append(Change(name, _shown(setting), value, setting.reloadable))
    if ours:
        known = {name.lower() for name in wanted}
        changes += [
            Change(name, _shown(setting), "its default", setting.reloadable)
            for name, setting in found.items()
            if setting.source == "configuration file" and name.lower() not in known
        ]
    if overlaid:
        changes.append(Change(OVERLAY, ", ".join(overlaid), "nothing", reloadable=True))
    return tuple(changes)


def _shown(setting: Setting) -> str:
    return f"{setting.value}{setting.unit}" if setting.unit else setting.value or "''"


def canonical(value: str, setting: Setting, bare: str = "") -> str | float | bool:
    """A value in a form that compares. `bare` is the unit of a number without one; a number in a
    file without a unit is in the setting's own unit, as PostgreSQL reads it."""
    text = value.strip()
    if setting.kind == "bool":
        return text.lower() in _TRUE if text.lower() in _TRUE | _FALSE else text
    if setting.kind in {"integer", "real"}:
        match = _QUANTITY.fullmatch(text)
        if match is None:
            return text
        unit = match[2] or bare or setting.unit
        return float(match[1]) * _UNITS.get(unit, 1) if setting.unit else float(match[1])
    if setting.kind == "enum":
        return text.lower()
    return re.sub(r"\s*,\s*", ",", text)


def milliseconds(value: str) -> int | None:
    """What a setting of milliseconds comes to, `30s` or `30000`; None: it is in no such form."""
    match = _QUANTITY.fullmatch(value.strip())
    if match is None or (match[2] or "ms") not in _UNITS:
        return None
    return round(float(match[1]) * _UNITS[match[2] or "ms"] / _UNITS["ms"])
