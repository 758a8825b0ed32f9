"""Which of the server's settings are not as wanted. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mngdb.engines.postgres.observe import Setting
from mngdb.model import Change

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


def compare(wanted: Mapping[str, str], found: Mapping[str, Setting]) -> tuple[Change, ...]:
    """The settings that differ. One that the server does not have yet (an extension's, before its
    library is loaded) counts as different."""
    changes = []
    lower = {name.lower(): setting for name, setting in found.items()}  # TimeZone, DateStyle
    for name, value in wanted.items():
        if name.lower().startswith("tcp_"):
            continue  # a session over the socket sees 0 for these, whatever the server has
        setting = lower.get(name.lower())
        if setting is None:
            changes.append(Change(name, "unset", value, hot=True))
        elif canonical(value, setting) != canonical(setting.value, setting, bare=setting.unit):
            shown = f"{setting.value}{setting.unit}" if setting.unit else setting.value
            changes.append(Change(name, shown or "''", value, setting.hot))
    return tuple(changes)


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
