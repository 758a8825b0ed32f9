"""What took MongoDB long: system.profile, which holds what took longer than `slow`.

https://www.mongodb.com/docs/manual/reference/database-profiler/
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from mngdb.engines.mongodb.client import NAME, Document, Refused, Session
from mngdb.engines.mongodb.databases import OWN, of_apps, of_file
from mngdb.facts.slow import Missing, Slow, Span, Statement
from mngdb.model import DesiredInstance
from mngdb.secret import app_of

#: The newest entries of a database that are looked at: its profile is a capped collection.
_ENTRIES = 5000
_RANGES = frozenset({"$gt", "$gte", "$lt", "$lte", "$regex", "$ne", "$nin", "$exists"})


def look(session: Session, asked: DesiredInstance, span: Span) -> Slow:
    """Slow operations by their shape."""
    query: Document = {"ns": {"$not": {"$regex": r"\.system\."}}, "appName": {"$ne": NAME}}
    if span.since:
        query["ts"] = {"$gte": datetime.now(tz=UTC) - timedelta(seconds=span.since)}
    found: list[Statement] = []
    off = []
    for database in of_apps(session, asked):
        off += [database] if _is_off(session, database) else []
        profile = session.client[database]["system.profile"]
        found += _grouped(database, profile.find(query).sort("$natural", -1).limit(_ENTRIES))
    note = f"the profiler is disabled in {', '.join(off)}: nothing is recorded there; "
    note += "'mngdb up', or " * asked.managed + "db.setProfilingLevel(1, {slowms: 100})"
    return Slow(tuple(found), note * bool(off))


def of_lines(lines: Iterable[str], asked: DesiredInstance) -> Slow:
    """The same from lines of a server's log, which do not say whose operation it was."""
    entries: dict[str, list[Document]] = defaultdict(list)
    apps = set(of_file(asked))
    for line in lines:
        entry = _read(line)
        database, _, collection = str(entry.get("ns", "")).partition(".")
        wanted = database in apps if apps else database not in OWN
        if wanted and "system." not in collection and entry.get("appName") != NAME:
            entries[database].append(entry)
    return Slow(tuple(one for name, some in entries.items() for one in _grouped(name, some)))


def _read(line: str) -> Document:
    """A slow operation as the profiler has it; empty: the line is of something else."""
    try:
        said = json.loads(line)["attr"]
        return {**said, "op": str(said["type"]), "millis": said["durationMillis"]}
    except (ValueError, LookupError, TypeError):
        return {}


def _grouped(database: str, entries: Iterable[Document]) -> list[Statement]:
    """Operations of one database by the app and by their shape."""
    groups: dict[tuple[str, str], list[Document]] = defaultdict(list)
    for entry in entries:
        app = app_of(str(entry.get("user", "")).partition("@")[0])
        groups[app, _text(entry)].append(entry)
    return [_statement(database, app, text, some) for (app, text), some in groups.items()]


def _is_off(session: Session, database: str) -> bool:
    try:
        return int(session.command("profile", -1, on=database)["was"]) == 0
    except Refused:
        return False  # who may not ask for the level may read what there is


def _statement(database: str, app: str, text: str, group: list[Document]) -> Statement:
    times = [float(entry["millis"]) for entry in group]
    worst = max(group, key=lambda entry: entry["millis"])
    why, missing = _why(database, worst)
    returned = sum(int(entry.get("nreturned", 0)) for entry in group) / len(group)
    total = sum(times)
    return Statement(
        database, app, text, len(group), total, total / len(group), max(times), returned,
        tuple(why), tuple(missing),
    )  # fmt: skip


def _why(database: str, entry: Mapping[str, Any]) -> tuple[list[str], list[Missing]]:
    said, missing = [], []
    examined, returned = int(entry.get("docsExamined", 0)), int(entry.get("nreturned", 0))
    collection = str(entry["ns"]).partition(".")[2]
    fields, equal = wanted(entry)
    if "COLLSCAN" in str(entry.get("planSummary", "")):
        where = f" to find {', '.join(fields)}" if fields else ""
        said.append(f"reads all of {collection} ({examined:,} documents for {returned}){where}")
        if fields:
            missing.append(Missing(database, collection, fields, examined, equal=equal))
    elif examined > 1000 and examined > 20 * max(1, returned):
        said.append(f"its index still reads {examined:,} documents for {returned}")
        if fields:
            missing.append(Missing(database, collection, fields, examined, equal=equal))
    if entry.get("hasSortStage"):
        said.append("sorts in memory: no index provides that order")
    if entry.get("usedDisk"):
        said.append("spills to disk")
    return said, missing


def wanted(entry: Mapping[str, Any]) -> tuple[tuple[str, ...], int]:
    """The fields of the index that would serve it: equality, then sort, then range; and how many
    are compared for equality."""
    condition, order = _parts(entry)
    equal = [f for f, v in condition.items() if f[:1] != "$" and not _is_range(v)]
    ranges = [f for f, v in condition.items() if f[:1] != "$" and _is_range(v)]
    return tuple(dict.fromkeys([*equal, *order, *ranges])), len(equal)


def _is_range(value: object) -> bool:
    return isinstance(value, Mapping) and any(key in _RANGES for key in value)


def _parts(entry: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The condition and the order of an operation."""
    command = entry.get("command", {})
    words = ("filter", "q", "query")  # the third of findAndModify, distinct and count
    condition: Document = next((command[one] for one in words if command.get(one)), {})
    order = command.get("sort") or {}
    if entry.get("op") in {"update", "remove"} and "q" in command:
        condition = command["q"]
    for stage in command.get("pipeline", ()):
        condition = condition or stage.get("$match", {})
        order = order or stage.get("$sort", {})
    return condition, order


def _text(entry: Mapping[str, Any]) -> str:
    """The operation without its values."""
    condition, order = _parts(entry)
    collection = str(entry["ns"]).partition(".")[2]
    command = entry.get("command", {})
    name = str(entry["op"]) if entry["op"] in {"update", "remove", "insert"} else ""
    name = name or next(iter(command), str(entry["op"]))
    text = f"{collection}.{name}({_shape(condition)})"
    return text + (f".sort({', '.join(f'{k}: {v}' for k, v in order.items())})" if order else "")


def _shape(condition: object) -> str:
    if isinstance(condition, Mapping):
        inner = ", ".join(
            f"{key}: {_shape(value)}" if isinstance(value, Mapping | list) else f"{key}: ?"
            for key, value in condition.items()
        )
        return f"{{{inner}}}"
    if isinstance(condition, list):
        kinds = dict.fromkeys(_shape(one) if isinstance(one, Mapping) else "?" for one in condition)
        return f"[{', '.join(kinds)}]"
    return "?"
