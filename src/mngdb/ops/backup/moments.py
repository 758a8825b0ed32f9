"""Moments as people write them, and as they are said back."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mngdb.errors import UsageError

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d|w)[a-z]*\s+ago")
#: The same without its last word.
_SPAN = re.compile(r"\d+(\.\d+)?\s*[smhdw][a-z]*")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DAY = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?!\d)")
_WORD = re.compile(r"(yesterday|today)\s+(?=\d)", re.IGNORECASE)
_CLOCK = re.compile(r"\d{1,2}:\d\d(:\d\d(\.\d+)?)?")
#: A clock and what follows it: an offset, or the name of a zone.
_ZONED = re.compile(r"(.*\d:\d\d(?::\d\d(?:\.\d+)?)?)\s*([+-]\d\d(?::?\d\d)?|[A-Za-z][\w/+-]*)")
#: Any of them has a moment in every zone.
_YEARS = range(1970, 9999)
#: What comes after it is a command.
_BEFORE = re.compile(r"before(?:[\s-]+last)?[\s-]+(.*)", re.IGNORECASE | re.DOTALL)
#: What `shown` adds in brackets.
_AGAIN = re.compile(r"\s*\([^()]*Z\)")
_HINT = (
    "write '2026-11-21 14:03:07' (local time), '2026-11-21T14:03:07Z', "
    "'2026-11-21 14:03:07 Asia/Seoul', 'yesterday 14:03' or '10m ago'; --latest: the newest"
)


def command(text: str) -> str | None:
    """The command just before which it is: `before-last-flushall`, `before 'DROP TABLE orders'`;
    None: it is a moment, for `parse`. Raises UsageError where none is named."""
    found = _BEFORE.fullmatch(text.strip())
    if found is None:
        return None
    named = " ".join(found[1].strip("'; ").split())
    if not named:
        raise UsageError(f"{text!r} names no command", "write \"before 'DROP TABLE orders'\"")
    return named


def parse(text: str, now: float, newest: float = 0.0) -> float:
    """Seconds since the epoch. Without a time zone it is this machine's local time; a time of day
    is the last one that was. What `shown` says is understood. Raises UsageError for what is no
    moment, or none that was, and for a local time that there was twice or not at all. `newest`: a
    moment that was, though the clock has been set back since."""
    text = text.strip()
    moment = _parsed(text, now)
    if moment < 0:
        raise UsageError(f"{text!r} is not between 1970 and now", _HINT)
    if moment > max(now, newest):
        raise UsageError(f"{shown(moment)} is in the future", _HINT)
    return moment


def _parsed(text: str, now: float) -> float:
    if found := _AGO.fullmatch(text.lower()):
        ago = now - float(found[1]) * _UNITS[found[2]]
        return ago if "." in found[1] or ago < 0 else float(math.floor(ago))
    body, zone = _AGAIN.sub("", text), ""
    if found := _ZONED.fullmatch(body):
        body, zone = found[1].strip(), found[2]
    if found := _WORD.match(body):
        today = datetime.fromtimestamp(now, UTC).astimezone(_zone(zone)).date()
        day = today - timedelta(days=found[1].lower() == "yesterday")
        hour, _, rest = body[found.end() :].partition(":")
        body = f"{day} {hour.zfill(2)}:{rest}"
    if found := _DAY.match(body):
        try:
            date(int(found[1]), int(found[2]), int(found[3]))
        except ValueError:
            raise UsageError(f"there is no {found[0]} in the calendar", _HINT) from None
    if _CLOCK.fullmatch(body):
        return _time_of_day(body, zone, now)
    if _SPAN.fullmatch(text.lower()):
        raise UsageError(f"{text!r} is not a time", f"did you mean '{text} ago'?")
    try:
        moment = datetime.fromisoformat(body)
    except ValueError:
        raise UsageError(f"{text!r} is not a time", _HINT) from None
    if moment.year not in _YEARS:
        raise UsageError(f"{text!r} is not between 1970 and now", _HINT)
    return (moment if moment.tzinfo else _zoned(moment, zone, text)).timestamp()


def _time_of_day(clock: str, zone: str, now: float) -> float:
    text = f"{clock} {zone}".rstrip()
    today = datetime.fromtimestamp(now, UTC).astimezone(_zone(zone))
    try:
        hour, _, rest = clock.partition(":")
        moment = datetime.fromisoformat(f"{today.date()} {hour.zfill(2)}:{rest}")
    except ValueError:
        raise UsageError(f"{text!r} is not a time of day", _HINT) from None
    found = _zoned(moment, zone, text).timestamp()
    return found if found <= now else _zoned(moment - timedelta(days=1), zone, text).timestamp()


def _zone(name: str) -> tzinfo | None:
    """The zone of this name, or offset; None: this machine's, which may be called by the letters
    that it has in summer or winter. Raises UsageError."""
    if not name or name in _letters():
        return None
    if name.upper() in {"Z", "UTC"}:
        return UTC
    if name[0] in "+-":
        digits = name[1:].replace(":", "").ljust(4, "0")
        offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
        if offset < timedelta(days=1):
            return timezone(-offset if name[0] == "-" else offset)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(f"{name!r} is not a time zone", _HINT) from None


def _letters() -> set[str]:
    """What this machine's zone is called in a year."""
    days = (datetime(2026, month, 1).astimezone() for month in range(1, 13))
    return {day.strftime("%Z") for day in days} - {"UTC"}


def _zoned(moment: datetime, zone: str, text: str) -> datetime:
    """A time of a zone. Raises UsageError where its clocks were changed then, unless the zone's
    letters say which of both it is."""
    place = _zone(zone)
    first, second = (
        moment.replace(tzinfo=place, fold=fold).astimezone(UTC).astimezone(place) for fold in (0, 1)
    )
    if first.utcoffset() != second.utcoffset():
        hint = f"write it with its zone: {first.isoformat(sep=' ')}"
        if first.replace(tzinfo=None, fold=0) == second.replace(tzinfo=None, fold=0) == moment:
            named = [one for one in (first, second) if one.strftime("%Z") == zone]
            if named:
                return named[0]
            zones = f"{first.strftime('%Z')} or {second.strftime('%Z')}"
            raise UsageError(f"{text} was twice, for clocks were set back: {zones}?", hint)
        raise UsageError(f"{text} never was, for clocks were set forward", hint)
    return first


def shown(moment: float) -> str:
    """A moment in local time with its zone, and in UTC where that differs; with milliseconds where
    it has some."""
    # of an integer: a float's fraction is cut, so that .924 would be .923
    whole, part = divmod(round(moment * 1000), 1000)
    exact = datetime.fromtimestamp(whole, UTC)
    local, fraction = exact.astimezone(), f".{part:03}" if part else ""
    text = f"{local:%Y-%m-%d %H:%M:%S}{fraction} {local:%Z}"
    if not local.utcoffset():
        return text
    return f"{text} ({exact:%Y-%m-%dT%H:%M:%S}{fraction}Z)"


def exact(moment: float) -> str:
    """A moment as `parse` reads it, to the millisecond before it."""
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
