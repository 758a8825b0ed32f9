"""The backup schedule: when Atlas takes snapshots, and how long it keeps them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime

from mngdb.spec.file import Backup
from mngdb.targets.atlas.api import Json
from mngdb.targets.atlas.session import AtlasStep, Found, Make, Session, Wanted

#: A week's snapshot is Sunday's, a month's that of the first.
_SUNDAY, _FIRST = 7, 1
_DAY = 86400.0


def items(backup: Backup) -> set[tuple[str, int, str, int]]:
    """Policy items: frequency, interval, unit and value of the retention."""
    keep = backup.keep
    every = (
        ("daily", 1, "days", keep.daily),
        ("weekly", _SUNDAY, "weeks", keep.weekly),
        ("monthly", _FIRST, "months", keep.monthly),
    )
    return {one for one in every if one[3] > 0}


def hour(backup: Backup) -> tuple[int, int]:
    """Hour and minute of the snapshots, in UTC."""
    time, _, zone = backup.at.partition(" ")
    hours, minutes = (int(part) for part in time.split(":"))
    if not zone:
        return hours, minutes
    from zoneinfo import ZoneInfo

    today = datetime.now(tz=ZoneInfo(zone)).replace(hour=hours, minute=minutes)
    moment = today.astimezone(UTC)
    return moment.hour, moment.minute


def window(backup: Backup) -> int:
    """Days of continuous backup."""
    return math.ceil(backup.keep.point_in_time.total_seconds() / _DAY)


def found_items(schedule: Json) -> set[tuple[str, int, str, int]]:
    """Policy items that were found."""
    return {
        (
            str(one["frequencyType"]),
            int(one["frequencyInterval"]),
            str(one["retentionUnit"]),
            int(one["retentionValue"]),
        )
        for policy in schedule.get("policies", ())
        for one in policy.get("policyItems", ())
    }


def steps(wanted: Wanted, found: Found, make: Make) -> Iterator[AtlasStep]:
    """One step for all that differs; of a cluster that is to be made, what it will be."""
    backup, schedule = wanted.backup, found.schedule
    at = "{:02}:{:02} UTC".format(*hour(backup))
    days = window(backup)
    text = "; ".join(
        [f"{_said(items(backup))} at {at}", *([f"point in time {days} d"] if days else [])]
    )
    if schedule is not None:
        same = (
            found_items(schedule) == items(backup)
            and (schedule.get("referenceHourOfDay"), schedule.get("referenceMinuteOfHour"))
            == hour(backup)
            and (not days or schedule.get("restoreWindowDays") == days)
        )
        if same:
            return
    yield make("change", f"backup schedule {wanted.cluster}", text, _set)


def _said(found: set[tuple[str, int, str, int]]) -> str:
    order = ("daily", "weekly", "monthly")
    ordered = sorted(found, key=lambda one: order.index(one[0]))
    return ", ".join(f"{name} for {value} {unit}" for name, _, unit, value in ordered)


def _set(session: Session) -> None:
    """Snapshots that were taken before keep their own retention."""
    backup = session.wanted.backup
    found = session.api.get(*session.cluster("backup", "schedule"))
    policies = found.get("policies") or [{}]
    hours, minutes = hour(backup)
    body: Json = {
        "referenceHourOfDay": hours,
        "referenceMinuteOfHour": minutes,
        "updateSnapshots": False,
        "policies": [
            {
                **({"id": policies[0]["id"]} if policies[0].get("id") else {}),
                "policyItems": [
                    {
                        "frequencyType": name,
                        "frequencyInterval": interval,
                        "retentionUnit": unit,
                        "retentionValue": value,
                    }
                    for name, interval, unit, value in sorted(items(backup))
                ],
            }
        ],
    }
    if window(backup):
        body["restoreWindowDays"] = window(backup)
    session.api.patch(body, *session.cluster("backup", "schedule"))
