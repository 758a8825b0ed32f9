"""pg_settings as metrics: booleans, numbers, and amounts in seconds or bytes."""

from __future__ import annotations

from mngdb.engines.postgres.batch import Row
from mngdb.samples import Family, Sample

_UNITS = {
    "ms": ("seconds", 0.001),
    "s": ("seconds", 1.0),
    "min": ("seconds", 60.0),
    "h": ("seconds", 3600.0),
    "d": ("seconds", 86400.0),
    "B": ("bytes", 1.0),
    "kB": ("bytes", 1024.0),
    "8kB": ("bytes", 8192.0),
    "16kB": ("bytes", 16384.0),
    "32kB": ("bytes", 32768.0),
    "64kB": ("bytes", 65536.0),
    "MB": ("bytes", float(1 << 20)),
    "16MB": ("bytes", float(16 << 20)),
    "GB": ("bytes", float(1 << 30)),
    "TB": ("bytes", float(1 << 40)),
}


def settings(rows: list[Row], server: str) -> list[Family]:
    """A family for each row of name, setting, unit, type. -1 is a word, not an amount."""
    found = []
    for row in rows:
        setting, value, unit, kind = (
            one.decode(errors="replace") if one is not None else "" for one in row
        )
        number = float(value == "on") if kind == "bool" else float(value)
        name, text = "pg_settings_" + setting.replace(".", "_"), f"Server Parameter: {setting}"
        if unit in _UNITS:
            word, factor = _UNITS[unit]
            name += f"_{word}"
            text += f" [Units converted to {word}.]"
            number = number if number == -1 else number * factor
        found.append(Family(name, "gauge", text, (Sample(name, (("server", server),), number),)))
    return found
