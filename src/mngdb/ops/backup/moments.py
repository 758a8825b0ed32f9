"""Moments as people write them, and as they are said back."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from mngdb.errors import UsageError

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d|w)[a-z]*\s+ago")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_CLOCK = re.compile(r"\d{1,2}:\d\d(:\d\d(\.\d+)?)?")
_HINT = "write '2026-11-21 14:03:07' (local time), '2026-11-21T14:03:07Z' or '10m ago'"


def parse(text: str, now: float) -> float:
    """Seconds since the epoch. Without a time zone it is this machine's local time; a time of day
    is the last one that was. Raises UsageError for what is no moment, or none that was, and for a
    local time that there was twice or not at all."""
    text = text.strip()
    if found := _AGO.fullmatch(text.lower()):
        return now - float(found[1]) * _UNITS[found[2]]
    if _CLOCK.fullmatch(text):
        return _time_of_day(text, now)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a time", _HINT) from None
    if moment.tzinfo is None:
        moment = _local(moment, text)
    if moment.timestamp() > now:
        raise UsageError(f"{shown(moment.timestamp())} is in the future", _HINT)
    return moment.timestamp()


def _time_of_day(text: str, now: float) -> float:
    today = datetime.fromtimestamp(now).astimezone()
    try:
        hour, _, rest = text.partition(":")
        clock = datetime.fromisoformat(f"{today.date()} {hour.zfill(2)}:{rest}")
    except ValueError:
        raise UsageError(f"{text!r} is not a time of day", _HINT) from None
    moment = _local(clock, text)
    if moment.timestamp() > now:
        moment = _local(clock - timedelta(days=1), text)
    return moment.timestamp()


def _local(moment: datetime, text: str) -> datetime:
    """A local time with its zone. Raises UsageError where clocks were changed at that time."""
    first, second = (moment.replace(fold=fold).astimezone() for fold in (0, 1))
    if first.utcoffset() != second.utcoffset():
        hint = f"write it with its zone: {first.isoformat(sep=' ')}"
        if first.replace(tzinfo=None) == second.replace(tzinfo=None) == moment.replace(fold=0):
            zones = f"{first.strftime('%Z')} or {second.strftime('%Z')}"
            raise UsageError(f"{text} was twice, for clocks were set back: {zones}?", hint)
        raise UsageError(f"{text} never was, for clocks were set forward", hint)
    return first


def shown(moment: float) -> str:
    """A moment in local time with its zone, and in UTC where that differs."""
    local = datetime.fromtimestamp(moment, UTC).astimezone()
    text = local.strftime("%Y-%m-%d %H:%M:%S %Z")
    if not local.utcoffset():
        return text
    return f"{text} ({datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%SZ})"
